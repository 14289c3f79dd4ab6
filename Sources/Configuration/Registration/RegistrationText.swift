import Runtime

extension RegistrationConfiguration {
    /// Reads the one-line form of flags and environment variables:
    /// `[PROTOCOL://]SERVICE[:VERSION[:GROUP]]@TARGET[?NAME=VALUE&…]`.
    ///
    /// TARGET is the application's port (`8081`), with an address before it (`10.0.0.5:8081`, `eth0:8081`), or the name of an
    /// inbound listener. Names are `version`, `group`, `weight`, `address`, `registry` (a scheme or URL, several with commas),
    /// `health` (`off` or a path) and `meta.KEY`; special characters in values are written as %XX.
    public init(_ text: String) throws(InvalidValue) {
        guard !text.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f }) else {
            throw InvalidValue("\(text.shown) has blanks; write them as %20")
        }
        let mark = text.firstIndex(of: "?") ?? text.endIndex
        var rest = text[..<mark]
        var kind: ListenerProtocol?
        if let separator = rest.firstRange(of: "://") {
            kind = try SettingValue.choice(String(rest[..<separator.lowerBound]))
            rest = rest[separator.upperBound...]
        }
        guard let sign = rest.lastIndex(of: "@") else {
            throw InvalidValue("\(text.shown) does not say where; write SERVICE@PORT or SERVICE@LISTENER")
        }
        let name = try RegistrationValue.name(String(rest[..<sign]))
        let (port, address) = try Self.target(String(rest[rest.index(after: sign)...]))
        self.init(service: name.service, port: port)
        (self.protocol, version, group) = (kind, name.version, name.group)
        if let address { self.address = address }
        var seen: Set<String> = []
        if address != nil { seen.insert("address") }
        if !version.isEmpty { seen.insert("version") }
        if !group.isEmpty { seen.insert("group") }
        for part in text[mark...].dropFirst().split(separator: "&") { try readParameter(part, &seen) }
    }

    private static func target(_ text: String) throws(InvalidValue) -> (PublishedPort, PublishedAddress?) {
        if let colon = text.lastIndex(of: ":") {
            let port = try RegistrationValue.port(String(text[text.index(after: colon)...]))
            return (.application(port), try RegistrationValue.address(String(text[..<colon])))
        }
        if text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) {
            return (.application(try RegistrationValue.port(text)), nil)
        }
        return (.listener(text), nil)
    }

    private static let names = ["version", "group", "weight", "address", "registry", "health", "meta.KEY"]

    private mutating func readParameter(_ part: Substring, _ seen: inout Set<String>) throws(InvalidValue) {
        let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = RegistryURL.decoded(pair[0]), pair.count == 2, let value = RegistryURL.decoded(pair[1]),
            !value.isEmpty
        else { throw InvalidValue("\(String(part).shown) is not NAME=VALUE, with %XX for special characters") }
        guard seen.insert(name).inserted else { throw InvalidValue("\(name.shown) is given twice") }
        switch name {
        case "version": version = try RegistrationValue.version(value)
        case "group": group = try RegistrationValue.group(value)
        case "weight": weight = try RegistrationValue.weight(value)
        case "address": address = try RegistrationValue.address(value)
        case "registry": registries = value.split(separator: ",").map(String.init)
        case "health" where value == "off": health = nil
        case "health": health?.path = try RegistrationValue.healthPath(value)
        case _ where name.hasPrefix("meta."):
            let key = try RegistrationValue.metadataKey(String(name.dropFirst(5)))
            metadata[key] = try RegistrationValue.metadataValue(value)
        default:
            let near = NearestName.hint(for: name, among: Self.names)
            let hint = near.isEmpty ? "; valid are \(Self.names.joined(separator: ", "))" : near
            throw InvalidValue("unknown parameter \(name.shown) of a registration\(hint)")
        }
    }
}
