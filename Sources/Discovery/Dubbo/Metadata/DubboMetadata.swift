import FoundationEssentials

/// What a Dubbo 3 application offers in one revision: Dubbo's `MetadataInfo` as JSON.
///
/// `{"app":"shop","revision":"…","services":{"g/demo.Echo:1.0.0:dubbo":{"name":"demo.Echo","params":{…},…},…}}`. An application
/// can have thousands of services; only those that are asked for are decoded, each once for all its instances.
final class DubboMetadata {
    /// One interface in one version, group and protocol.
    struct Service: Equatable {
        let interface: String
        /// Empty where there is none or it is `0.0.0`.
        let version: String
        /// Empty where there is none.
        let group: String
        /// `dubbo`, `tri`, …
        let scheme: String
        /// 0 where it is not said.
        let port: UInt16
        /// `dubbo.tag`, `weight`, what users have set.
        let parameters: [String: String]
    }

    /// The application's name; empty where it is not said.
    let application: String
    private let text: [UInt8]
    private let ranges: [String: [Range<Int>]]
    private var decoded: [String: [Service]] = [:]

    /// Nil when it is no such text.
    init?(_ text: [UInt8]) {
        guard let object = JSONText.object(text), let range = object["services"] else { return nil }
        application = object["app"].flatMap { JSONText.string(text, $0) } ?? ""
        self.text = Array(text[range])
        guard let members = JSONText.members(self.text) else { return nil }
        var ranges: [String: [Range<Int>]] = [:]
        for member in members { ranges[Self.interface(self.text[member.key]), default: []].append(member.value) }
        self.ranges = ranges
    }

    /// What a builder has gathered.
    init(_ builder: Builder) {
        (application, text, ranges) = (builder.application, builder.text, builder.ranges)
    }

    /// Names of all interfaces offered.
    var interfaces: some Collection<String> { ranges.keys }

    /// The services of an interface; those that cannot be read are left out.
    func services(of interface: String) -> [Service] {
        guard let ranges = ranges[interface] else { return [] }
        if let known = decoded[interface] { return known }
        let services = ranges.compactMap { range in
            try? JSONDecoder().decode(Entry.self, from: Data(text[range])).service(interface)
        }
        decoded[interface] = services
        return services
    }

    /// The interface of a key `group/interface:version:protocol`, in which group and version may be missing.
    private static func interface(_ key: ArraySlice<UInt8>) -> String {
        let afterGroup = key.lastIndex(of: UInt8(ascii: "/")).map { key[($0 + 1)...] } ?? key
        return String(decoding: afterGroup.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self)
    }

    /// Gathers services one by one.
    struct Builder {
        fileprivate let application: String
        fileprivate var text: [UInt8] = []
        fileprivate var ranges: [String: [Range<Int>]] = [:]

        /// How many were added, and how large they are in bytes.
        private(set) var count = 0
        var size: Int { text.count }

        init(application: String) { self.application = application }

        /// Adds a service under its key. Of its parameters those are kept that are used.
        mutating func add(_ key: String, _ service: Service) {
            let start = text.count
            let members = [
                ("group", JSONWriter.quote(service.group)), ("version", JSONWriter.quote(service.version)),
                ("protocol", JSONWriter.quote(service.scheme)), ("port", "\(service.port)"),
                ("params", JSONWriter.object(DubboProvider.labels(service.parameters, interface: service.interface))),
            ]
            count += 1
            text += JSONWriter.object(members).utf8
            ranges[DubboMetadata.interface(Array(key.utf8)[...]), default: []].append(start..<text.count)
        }
    }

    private struct Entry: Decodable {
        private enum Key: String, CodingKey {
            case group, version, `protocol`, port, path, params
        }

        let group: String?
        let version: String?
        let scheme: String
        let port: Int
        let parameters: [String: String]

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: Key.self)
            var parameters = values.labels(forKey: .params)
            if let path = try? values.decode(String.self, forKey: .path) { parameters["path"] = path }
            group = (try? values.decode(String.self, forKey: .group)) ?? parameters["group"]
            version = (try? values.decode(String.self, forKey: .version)) ?? parameters["version"]
            scheme = try values.decode(String.self, forKey: .protocol)
            port = (try? values.decode(Int.self, forKey: .port)) ?? 0
            self.parameters = parameters
        }

        func service(_ interface: String) -> Service {
            Service(
                interface: interface, version: DubboProvider.version(version), group: group ?? "", scheme: scheme,
                port: UInt16(exactly: port) ?? 0, parameters: parameters)
        }
    }
}
