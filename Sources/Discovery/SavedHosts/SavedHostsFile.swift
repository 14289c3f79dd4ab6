import FoundationEssentials
import Model
import Runtime

/// The notation of the file in which the last known hosts of one registry are kept.
///
///     greymesh hosts 1 nacos://127.0.0.1:8848
///     http order-service 1795260615 2 [{"address":"10.0.0.1:8080","metadata":{"version":"1.0"}},{"address":"10.0.0.2:8080"}]
///     end 1 9c1185a5c5e9fc54
///
/// One line a service: kind, name (percent-encoded), when the registry confirmed it last (seconds since 1970), number of
/// hosts, hosts. The last line has the number of services and a checksum of all bytes before it: a file that was cut or
/// damaged is recognized as a whole, and one service can be read without reading the others.
enum SavedHostsFile {
    /// Why a file is not used.
    struct Unusable: Error, CustomStringConvertible {
        let description: String
    }

    static let version = 1

    /// The first line.
    static func header(url: String) -> [UInt8] { Array("greymesh hosts \(version) \(url)\n".utf8) }

    /// A service's line.
    static func line(_ key: ServiceKey, _ instances: [Instance], savedAt: Int64) -> [UInt8] {
        let name = PercentEncoding.encode(key.name)
        var bytes = Array("\(key.kind.rawValue) \(name) \(savedAt) \(instances.count) [".utf8)
        for (index, instance) in instances.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(instance, to: &bytes)
        }
        bytes += Array("]\n".utf8)
        return bytes
    }

    private static func append(_ instance: Instance, to bytes: inout [UInt8]) {
        bytes += Array("{\"address\":".utf8)
        JSONString.append("\(instance.address)", to: &bytes)
        if instance.weight != 1 { bytes += Array(",\"weight\":\(instance.weight)".utf8) }
        if !instance.available { bytes += Array(",\"available\":false".utf8) }
        for (name, value) in [("interfaceVersion", instance.interfaceVersion), ("group", instance.group)]
        where !value.isEmpty {
            bytes += Array(",\"\(name)\":".utf8)
            JSONString.append(value, to: &bytes)
        }
        var separator = ",\"metadata\":{"
        for (name, value) in instance.metadata {
            bytes += Array(separator.utf8)
            separator = ","
            JSONString.append(name, to: &bytes)
            bytes.append(UInt8(ascii: ":"))
            JSONString.append(value, to: &bytes)
        }
        if !instance.metadata.isEmpty { bytes.append(UInt8(ascii: "}")) }
        bytes.append(UInt8(ascii: "}"))
    }

    /// What stands in a service's line before its hosts.
    struct Head: Equatable {
        let key: ServiceKey
        let savedAt: Int64
        let count: Int
    }

    /// Reads a line's head; nil where it is none.
    static func head(_ line: some Collection<UInt8>) -> Head? {
        let words = line.split(separator: UInt8(ascii: " "), maxSplits: 4, omittingEmptySubsequences: false)
        guard words.count == 5 else { return nil }
        let texts = words.prefix(4).map { String(decoding: $0, as: UTF8.self) }
        guard let kind = ServiceKey.Kind(rawValue: texts[0]), let name = PercentEncoding.decode(texts[1]),
            let savedAt = Int64(texts[2]), savedAt >= 0, let count = Int(texts[3]), count >= 0
        else { return nil }
        return Head(key: ServiceKey(kind: kind, name: name), savedAt: savedAt, count: count)
    }

    /// Reads a line's hosts.
    static func hosts(_ line: [UInt8]) throws(Unusable) -> [Instance] {
        guard let start = line.firstIndex(of: UInt8(ascii: "[")) else { throw Unusable(description: "no hosts") }
        do {
            let hosts = try JSONDecoder().decode([Host].self, from: Data(line[start...]))
            return hosts.compactMap(\.instance)
        } catch {
            throw Unusable(description: "hosts that cannot be read")
        }
    }

    private struct Host: Decodable {
        let address: String
        let weight: Double?
        let available: Bool?
        let interfaceVersion: String?
        let group: String?
        let metadata: [String: String]?

        var instance: Instance? {
            guard let address = SocketAddress(address) else { return nil }
            let weight = min(max(weight ?? 1, 0), 1_000_000)
            return Instance(
                address: address, weight: weight, available: available ?? true, metadata: Labels(metadata ?? [:]),
                interfaceVersion: interfaceVersion ?? "", group: group ?? "")
        }
    }
}
