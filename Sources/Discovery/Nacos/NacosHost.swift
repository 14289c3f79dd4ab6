import FoundationEssentials

/// One entry of a Nacos instance list, as far as a proxy needs it.
struct NacosHost: Equatable {
    /// An address or a name.
    var ip: String
    var port: UInt16
    /// 0 to 10000; 1 is normal.
    var weight: Double
    /// In the server's opinion, and not switched off by an operator.
    var isUsable: Bool
    /// Null values are left out.
    let metadata: [String: String]
    /// What of it is told. Kept, as it is told again with every change of another host.
    let labels: [String: String]

    init(ip: String, port: UInt16, weight: Double, isUsable: Bool, metadata: [String: String]) {
        self.ip = ip
        self.port = port
        self.weight = weight
        self.isUsable = isUsable
        self.metadata = metadata["protocol"] == nil ? metadata : DubboProvider.withDefaults(metadata)
        labels = Self.labels(self.metadata)
    }
}

extension NacosHost {
    /// Reads an entry of a list; nil when it has no address.
    init?(_ text: [UInt8], in range: Range<Int>) {
        if let plain = NacosHost(plain: text, in: range) {
            self = plain
        } else if let host = try? JSONDecoder().decode(NacosHost.self, from: Data(text[range])) {
            self = host
        } else {
            return nil
        }
    }

    /// Reads an entry as servers usually write it, many times faster than the decoder; nil when it is anything else.
    private init?(plain text: [UInt8], in range: Range<Int>) {
        guard let members = JSONText.members(text, in: range) else { return nil }
        var (ip, port, weight, isUsable) = ("", UInt16(0), 1.0, true)
        var metadata: [String: String] = [:]
        for (key, value) in members {
            if JSONText.equals("ip", text, key) {
                guard let found = Self.plainString(text, value) else { return nil }
                ip = found
            } else if JSONText.equals("port", text, key) {
                guard let found = JSONText.integer(text, value).flatMap(UInt16.init(exactly:)) else { return nil }
                port = found
            } else if JSONText.equals("weight", text, key) {
                guard let found = Double(String(decoding: text[value], as: UTF8.self)), found >= 0, found <= 10_000
                else { return nil }
                weight = found
            } else if JSONText.equals("healthy", text, key) || JSONText.equals("enabled", text, key) {
                if text[value].elementsEqual("true".utf8) { continue }
                guard text[value].elementsEqual("false".utf8) else { return nil }
                isUsable = false
            } else if JSONText.equals("metadata", text, key) {
                guard let labels = JSONText.members(text, in: value) else { return nil }
                for (name, value) in labels {
                    let quoted = name.lowerBound - 1..<name.upperBound + 1
                    guard let name = Self.plainString(text, quoted), let label = Self.plainString(text, value) else {
                        return nil
                    }
                    metadata[name] = label
                }
            }
        }
        guard port > 0, !ip.isEmpty, ip.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        self.init(ip: ip, port: port, weight: weight, isUsable: isUsable, metadata: metadata)
    }

    /// A string without escapes.
    private static func plainString(_ text: [UInt8], _ range: Range<Int>) -> String? {
        guard range.count >= 2, text[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
        let inside = text[range.lowerBound + 1..<range.upperBound - 1]
        guard inside.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\\") }) else { return nil }
        return String(validating: inside, as: UTF8.self)
    }
}

extension NacosHost: Decodable {
    private enum Key: String, CodingKey {
        case ip, port, weight, healthy, enabled, metadata
    }

    /// Address and port must be right. What else is missing, or of a wrong type, has its default.
    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        let ip = try values.decode(String.self, forKey: .ip)
        let number = try? values.decode(UInt16.self, forKey: .port)
        let port = try number ?? UInt16(values.decode(String.self, forKey: .port)) ?? 0
        guard port > 0, !ip.isEmpty, ip.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw DecodingError.dataCorruptedError(forKey: .port, in: values, debugDescription: "no address")
        }
        let weight = (try? values.decode(Double.self, forKey: .weight)) ?? 1
        let healthy = (try? values.decode(Bool.self, forKey: .healthy)) ?? true
        let enabled = (try? values.decode(Bool.self, forKey: .enabled)) ?? true
        self.init(
            ip: ip, port: port, weight: weight.isFinite ? min(max(weight, 0), 10_000) : 1,
            isUsable: healthy && enabled, metadata: values.labels(forKey: .metadata))
    }
}
