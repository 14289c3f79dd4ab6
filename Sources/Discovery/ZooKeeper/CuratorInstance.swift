import FoundationEssentials
import Model

/// An instance of an application as Curator's service discovery writes it: Spring Cloud's and Dubbo's.
struct CuratorInstance: Equatable {
    /// The application.
    var name: String
    /// What tells instances apart.
    var id: String
    /// An address or a name.
    var host: String
    var port: UInt16
    /// It listens for TLS only.
    var isSecure = false
    /// Switched off where false.
    var isEnabled = true
    /// Null values are left out.
    var metadata: [String: String] = [:]
}

extension CuratorInstance: Decodable {
    private enum Key: String, CodingKey {
        case name, id, address, port, sslPort, payload, enabled
    }

    private enum PayloadKey: String, CodingKey {
        case metadata
    }

    /// Reads a node's data; nil when it is no instance.
    init?(_ data: [UInt8]) {
        guard let instance = try? JSONDecoder().decode(CuratorInstance.self, from: Data(data)) else { return nil }
        self = instance
    }

    /// Address and port must be right.
    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        name = (try? values.decode(String.self, forKey: .name)) ?? ""
        id = (try? values.decode(String.self, forKey: .id)) ?? ""
        host = try values.decode(String.self, forKey: .address)
        let plain = (try? values.decode(UInt16.self, forKey: .port)) ?? 0
        port = plain > 0 ? plain : (try? values.decode(UInt16.self, forKey: .sslPort)) ?? 0
        guard port > 0, !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw DecodingError.dataCorruptedError(forKey: .address, in: values, debugDescription: "no address")
        }
        isEnabled = (try? values.decode(Bool.self, forKey: .enabled)) ?? true
        if let payload = try? values.nestedContainer(keyedBy: PayloadKey.self, forKey: .payload) {
            metadata = payload.labels(forKey: .metadata)
        }
        isSecure = plain == 0 || SpringLabels.isSecure(metadata)
    }
}

extension CuratorInstance {
    private static let payloadClass = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
    private static let uriParts =
        #"{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},"#
        + #"{"value":":","variable":false},{"value":"port","variable":true}]}"#

    /// The data of a node as Spring Cloud ZooKeeper writes it.
    ///
    /// - Parameter registeredAt: milliseconds since 1970.
    func springData(registeredAt: Int64) -> [UInt8] {
        let labels = metadata.sorted { $0.key < $1.key }.map { "\(Self.text($0.key)):\(Self.text($0.value))" }
        let payload =
            #"{"@class":"\#(Self.payloadClass)","id":\#(Self.text(id)),"name":\#(Self.text(name)),"metadata":{"#
            + labels.joined(separator: ",") + "}}"
        let text =
            #"{"name":\#(Self.text(name)),"id":\#(Self.text(id)),"address":\#(Self.text(host)),"port":\#(port),"#
            + #""sslPort":null,"payload":\#(payload),"registrationTimeUTC":\#(registeredAt),"serviceType":"DYNAMIC","#
            + #""uriSpec":\#(Self.uriParts)}"#
        return Array(text.utf8)
    }

    private static func text(_ value: String) -> String {
        (try? JSONEncoder().encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    }

    /// The instance as a host of an HTTP application, or why it is none.
    var httpHost: Result<ListedHost, DropReason> {
        guard isEnabled, metadata["instance_status"].map({ $0 == "UP" }) ?? true else { return .failure(.disabled) }
        // A Dubbo 3 application registers in the same place; only Spring's entry speaks HTTP.
        guard dubbo == nil, !isSecure else { return .failure(.unsupportedProtocol) }
        let given = metadata["weight"].flatMap(Double.init) ?? 1
        let weight = given.isFinite ? min(max(given, 0), 10_000) : 1
        let instance = Instance(address: .unknown, weight: weight, metadata: Labels(metadata))
        return .success(ListedHost(host: host, port: port, instance: instance))
    }

    /// The instance as one of a Dubbo application; nil when it is none.
    var dubbo: DubboApplication? { DubboApplication(name: name, host: host, port: port, metadata: metadata) }
}
