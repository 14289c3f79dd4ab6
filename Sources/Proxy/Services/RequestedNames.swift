import Model
import Runtime

/// Host names of requests. Neither the case of letters nor a dot at the end counts in them (RFC 9110, section 4.2.3; RFC 1034,
/// section 3.1).
enum HostName {
    /// Whether a host name in lower case can be a service's: not an address, not `localhost`, and of characters that names are
    /// made of.
    static func mayBeService(_ host: ByteString) -> Bool {
        if host.count == 0 || host.count > 253 || host.text == "localhost" { return false }
        var hasLetter = false
        for index in 0..<host.count {
            switch host.base[index] {
            case 0x61...0x7a, 0x5f: hasLetter = true
            case 0x30...0x39, 0x2d, 0x2e: break
            default: return false
            }
        }
        return hasLetter
    }

    /// The name without the dot that says that it is complete.
    static func withoutDot(_ host: ByteString) -> ByteString {
        let hasDot = host.count > 1 && host.base[host.count - 1] == 0x2e
        return ByteString(base: host.base, count: hasDot ? host.count - 1 : host.count)
    }

    /// Writes the name in lower case to `output`, which must have room for it.
    static func lowered(_ host: ByteString, into output: UnsafeMutablePointer<UInt8>) -> ByteString {
        for index in 0..<host.count {
            let byte = host.base[index]
            output[index] = byte &- 0x41 < 26 ? byte | 0x20 : byte
        }
        return ByteString(base: output, count: host.count)
    }
}

/// Names and versions in Dubbo calls.
enum InterfaceName {
    /// Whether bytes can be the name of a Java interface or a configured path: UTF-8, not empty, not long, no control characters,
    /// no blank, and no colon, behind which version and group stand.
    static func isPlausible(_ name: ByteString) -> Bool {
        guard (1...512).contains(name.count), let text = name.validText else { return false }
        return text.unicodeScalars.allSatisfy {
            $0 != ":" && !$0.properties.isWhitespace && $0.properties.generalCategory != .control
        }
    }

    /// Dubbo's `*`: none is asked for.
    @inline(__always)
    static func isAnyVersion(_ version: ByteString) -> Bool { version.count == 1 && version.base[0] == 0x2a }
}

extension ServiceKey {
    /// Whether a request can ask for a service of that name. `listener:NAME` stands for what no request can name.
    public var canBeRequested: Bool {
        let name = ByteString(copying: name.lowercased())
        defer { name.free() }
        return kind == .http ? HostName.mayBeService(name) : InterfaceName.isPlausible(name)
    }
}
