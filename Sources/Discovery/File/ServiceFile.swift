import Configuration
import Model
import Runtime

/// What a services file says:
///
///     services:
///       order-service:
///         - {address: 127.0.0.1:9001, metadata: {version: "1.0"}, weight: 100}
///
/// A Dubbo service is named `interface[:version[:group]]`, one of SOFA RPC `interface[:version[:uniqueId]]`.
struct ServiceFile: Equatable {
    /// Hosts by the name as it stands in the file.
    private(set) var services: [String: [ListedHost]] = [:]

    /// Highest weight of a host; 100 is normal.
    static let highestWeight = 1_000_000

    /// Reads a file's bytes; `file` is its name in errors.
    static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationErrors) -> ServiceFile {
        let document = YAMLDocument(bytes, file: file)
        var reader = Reader(file: file, errors: document.errors)
        var result = ServiceFile()
        if let root = document.root {
            result.services = reader.document(root)
        } else if document.errors.isEmpty {
            // An empty file is one that is just being written, or a mistake.
            reader.fail(1, "the file is empty; a file without services says \"services: {}\"")
        }
        guard reader.errors.isEmpty else { throw ConfigurationErrors(reader.errors) }
        return result
    }

    /// The hosts of a name as those of an interface: which version stands for none is a matter of the protocol.
    func hosts(_ name: String, _ kind: ServiceKey.Kind) -> [ListedHost] {
        let hosts = services[name] ?? []
        guard Self.interfaceName(name).version == kind.noVersion else { return hosts }
        return hosts.map { host in
            var host = host
            host.instance.interfaceVersion = ""
            return host
        }
    }

    /// The parts of a name as an interface. Every name has them: HTTP services are interfaces without version.
    static func interfaceName(_ name: String) -> (interface: Substring, version: String, group: String) {
        let parts = name.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        return (parts[0], parts.count > 1 ? String(parts[1]) : "", parts.count > 2 ? String(parts[2]) : "")
    }
}

private struct Reader {
    let file: String
    var errors: [ConfigurationError]

    mutating func fail(_ line: Int, _ message: String) {
        errors.append(ConfigurationError(file: file, line: line, message: message))
    }

    mutating func document(_ root: YAMLNode) -> [String: [ListedHost]] {
        var services: [String: [ListedHost]] = [:]
        var isThere = false
        for entry in entries(root, "the file", keys: ["services"]) {
            isThere = true
            for service in entries(entry.value, "services", keys: nil) {
                services[service.name] = self.service(service)
            }
        }
        if !isThere && errors.isEmpty { fail(root.line, "the key \"services\" is missing") }
        return services
    }

    private mutating func service(_ entry: YAMLEntry) -> [ListedHost] {
        let parts = entry.name.split(separator: ":", omittingEmptySubsequences: false)
        let isPlain = entry.name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") }
        if !isPlain || parts[0].isEmpty || parts.count > 3 {
            fail(
                entry.line,
                "\"\(entry.name)\" is not a service name; write NAME, INTERFACE:VERSION:GROUP or, for Bolt, INTERFACE:VERSION:UNIQUEID"
            )
        }
        if entry.value.isEmpty { return [] }
        guard case .sequence(let items) = entry.value.content else {
            fail(entry.value.line, "services.\(entry.name) must be a list of hosts")
            return []
        }
        var hosts: [ListedHost] = []
        hosts.reserveCapacity(items.count)
        var lines: [String: Int] = [:]
        for item in items {
            guard let (host, written) = host(item, entry.name) else { continue }
            if let first = lines.updateValue(item.line, forKey: written) {
                fail(item.line, "\(written) stands twice in services.\(entry.name); first on line \(first)")
            }
            hosts.append(host)
        }
        return hosts
    }

    private mutating func host(_ node: YAMLNode, _ service: String) -> (ListedHost, String)? {
        var address: (host: String, port: UInt16, written: String)?
        let (_, version, group) = ServiceFile.interfaceName(service)
        var instance = Instance(address: .unknown, interfaceVersion: version, group: group)
        let before = errors.count
        for entry in entries(node, "a host of \(service)", keys: ["address", "metadata", "weight"]) {
            switch entry.name {
            case "address": address = self.address(entry.value)
            case "weight": instance.weight = weight(entry.value)
            default: instance.metadata = Labels(metadata(entry.value))
            }
        }
        guard let address else {
            if errors.count == before { fail(node.line, "a host of \(service) has no address") }
            return nil
        }
        return (ListedHost(host: address.host, port: address.port, instance: instance), address.written)
    }

    private mutating func address(_ node: YAMLNode) -> (host: String, port: UInt16, written: String)? {
        guard let text = scalar(node, "address") else { return nil }
        if let address = SocketAddress(text), address.port > 0 { return (address.ip, address.port, text) }
        if let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 {
            let name = text[..<colon]
            let isName = name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            // A name of digits only is an IPv4 address that is wrong.
            let hasLetter = name.utf8.contains { $0 > UInt8(ascii: "9") }
            if isName && hasLetter && name.utf8.count <= 253 { return (name.lowercased(), port, text) }
        }
        fail(node.line, "\"\(text.prefix(80))\" is not an address; write HOST:PORT or [IPV6]:PORT")
        return nil
    }

    private mutating func weight(_ node: YAMLNode) -> Double {
        guard let text = scalar(node, "weight") else { return 1 }
        do throws(InvalidValue) {
            return Double(try SettingValue.integer(text, in: 0...ServiceFile.highestWeight)) / 100
        } catch {
            fail(node.line, "weight: \(error.message)")
            return 1
        }
    }

    private mutating func metadata(_ node: YAMLNode) -> [String: String] {
        var metadata: [String: String] = [:]
        if node.isEmpty { return metadata }
        for entry in entries(node, "metadata", keys: nil) where !entry.value.isEmpty {
            metadata[entry.name] = scalar(entry.value, "metadata.\(entry.name)")
        }
        return metadata
    }

    private mutating func scalar(_ node: YAMLNode, _ name: String) -> String? {
        guard case .scalar(let text, _) = node.content, !node.isEmpty else {
            if node.content != .refused { fail(node.line, "\(name) must be a text or a number") }
            return nil
        }
        return text
    }

    /// The entries of a mapping; reports names that are not among `keys`.
    private mutating func entries(_ node: YAMLNode, _ name: String, keys: [String]?) -> [YAMLEntry] {
        guard case .mapping(let entries) = node.content else {
            if node.content != .refused { fail(node.line, "\(name) must be a mapping (name: value)") }
            return []
        }
        guard let keys else { return entries }
        for entry in entries where !keys.contains(entry.name) {
            let hint = NearestName.hint(for: entry.name, among: keys)
            let known = hint.isEmpty ? "; known are \(keys.joined(separator: ", "))" : hint
            fail(entry.line, "unknown key \"\(entry.name.prefix(80))\" in \(name)\(known)")
        }
        return entries.filter { keys.contains($0.name) }
    }
}
