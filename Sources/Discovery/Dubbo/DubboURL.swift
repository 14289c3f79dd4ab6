import Runtime

/// A URL by which Dubbo describes a provider: `dubbo://10.0.0.1:20880/com.acme.Echo?version=1.0.0&group=g&weight=100`.
///
/// It stands, once percent-encoded as a whole, in the names of nodes in ZooKeeper and keys in etcd, and plainly elsewhere.
struct DubboURL: Equatable {
    /// `dubbo`, `tri`, `rest`, `override`, …
    let scheme: String
    /// An address or a name, IPv6 without brackets; empty for none.
    let host: String
    /// 0 for none.
    let port: UInt16
    /// Without its first slash.
    let path: String
    /// In Dubbo's own reading: values are decoded once more where they still hold an escape. Of a parameter given twice the
    /// last counts, and `default.KEY` where there is no `KEY`.
    let parameters: [String: String]

    /// Reads a node's name: the percent-encoded URL (Java's `URLEncoder`, where a blank is `+`).
    init?(encoded name: String) {
        guard let text = Self.decode(name) else { return nil }
        self.init(text)
    }

    /// Reads a URL; nil where it is none.
    init?(_ text: String) {
        guard let separator = text.firstRange(of: "://"), separator.lowerBound > text.startIndex else { return nil }
        scheme = String(text[..<separator.lowerBound])
        let rest = text[separator.upperBound...]
        let mark = rest.firstIndex(of: "?") ?? rest.endIndex
        let slash = rest[..<mark].firstIndex(of: "/") ?? mark
        guard let (host, port) = Self.authority(rest[..<slash]) else { return nil }
        (self.host, self.port) = (host, port)
        path = String(rest[slash..<mark].drop { $0 == "/" })
        var parameters: [String: String] = [:]
        for part in rest[mark...].dropFirst().split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = pair.count == 2 ? String(pair[1]) : ""
            parameters[String(pair[0])] = value.contains("%") ? Self.decode(value) ?? value : value
        }
        self.parameters = DubboProvider.withDefaults(parameters)
    }

    /// The interface: a path can have a context in front of it, the parameter has not.
    var interface: String { parameters["interface"].flatMap { $0.isEmpty ? nil : $0 } ?? path }

    /// The interface version; empty where there is none.
    var version: String { DubboProvider.version(parameters["version"]) }

    /// The group; empty where there is none.
    var group: String { parameters["group"] ?? "" }

    private static func authority(_ text: Substring) -> (String, UInt16)? {
        let address = text.lastIndex(of: "@").map { text[text.index(after: $0)...] } ?? text
        let afterBrackets = address.lastIndex(of: "]") ?? address.startIndex
        var host = address
        var port: UInt16 = 0
        if let colon = address[afterBrackets...].lastIndex(of: ":") {
            guard let number = UInt16(address[address.index(after: colon)...]) else { return nil }
            (host, port) = (address[..<colon], number)
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        return (HostText.bare(String(host)), port)
    }

    /// Undoes Java's `URLEncoder`; nil where an escape is broken.
    static func decode(_ text: String) -> String? {
        PercentEncoding.decode(text.contains("+") ? String(text.map { $0 == "+" ? " " : $0 }) : text)
    }
}
