import Runtime

/// How the parts of a registration are written in files and flags.
enum RegistrationValue {
    /// `order-service`, `com.acme.OrderService:1.0.0:blue`
    struct Name: Equatable {
        var service: String
        var version = ""
        var group = ""
    }

    static func name(_ text: String) throws(InvalidValue) -> Name {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let service = parts[0]
        guard (1...512).contains(service.utf8.count), isPlain(text),
            !service.utf8.contains(where: "/*,@?&#".utf8.contains)
        else { throw InvalidValue("\(text.shown) is not a service's name") }
        if parts.count == 1 { return Name(service: service) }
        guard parts.count <= 3, ServiceName.isJavaName(service) else {
            throw InvalidValue(
                "\(text.shown) is not a service's name; only an interface has :VERSION:GROUP behind it")
        }
        let group = parts.count > 2 ? parts[2] : ""
        return Name(
            service: service, version: parts[1].isEmpty ? "" : try version(parts[1]),
            group: group.isEmpty ? "" : try self.group(group))
    }

    static func version(_ text: String) throws(InvalidValue) -> String {
        let version = try SettingValue.version(text)
        return version == "0.0.0" ? "" : version
    }

    static func group(_ text: String) throws(InvalidValue) -> String {
        guard (1...128).contains(text.utf8.count), isPlain(text) else {
            throw InvalidValue("\(text.shown) is not a group; 1 to 128 characters without blanks")
        }
        return text
    }

    static func port(_ text: String) throws(InvalidValue) -> UInt16 {
        UInt16(try SettingValue.integer(text, in: 1...65_535))
    }

    static func weight(_ text: String) throws(InvalidValue) -> Int { try SettingValue.integer(text, in: 0...1_000_000) }

    /// `auto`, `10.0.0.5`, `::1`, `eth0`, `host.example.com`
    static func address(_ text: String) throws(InvalidValue) -> PublishedAddress {
        if text == "auto" { return .detected }
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        let bare = isBracketed ? String(text.dropFirst().dropLast()) : text
        if let address = SocketAddress(ip: bare, port: 0) {
            guard !address.isUnspecified else {
                throw InvalidValue("\(text.shown) is no address that others reach; \"auto\" finds one")
            }
            return .named(address.ip)
        }
        if SocketAddress(text) != nil {
            throw InvalidValue("\(text.shown) must stand without a port; \"port\" says it")
        }
        // A name of digits only is an IPv4 address that is wrong.
        guard HostName.isValid(text), text.utf8.contains(where: { $0 > UInt8(ascii: "9") }) else {
            throw InvalidValue(
                "\(text.shown) is not an address; write auto, an IP address, a host name or the name of a network interface"
            )
        }
        return .named(text)
    }

    static func healthPath(_ text: String) throws(InvalidValue) -> String {
        guard text.hasPrefix("/") else { throw InvalidValue("\(text.shown) must begin with \"/\"") }
        guard text.utf8.count <= 1024, text.utf8.allSatisfy({ 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "#") }) else {
            throw InvalidValue("\(text.shown) is not a path; no blanks, no \"#\", %XX for other characters")
        }
        return text
    }

    static func metadataKey(_ text: String) throws(InvalidValue) -> String {
        guard (1...256).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw InvalidValue("\(text.shown) is not a metadata key")
        }
        return text
    }

    static func metadataValue(_ text: String) throws(InvalidValue) -> String {
        guard text.utf8.count <= 4096, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw InvalidValue("\(text.shown) is not a metadata value; at most 4096 bytes without control characters")
        }
        return text
    }

    static let mostLabels = 64

    /// Printable and without blanks.
    private static func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f } }
}

extension PublishedAddress {
    /// Reads `auto`, an IP address, a host name or the name of a network interface.
    public init(_ text: String) throws(InvalidValue) { self = try RegistrationValue.address(text) }
}
