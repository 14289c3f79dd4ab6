import Discovery
import FoundationEssentials
import Glibc
import Model
import Runtime
import TestSupport
import WebServer

/// A registry, and what it lists when it is asked itself.
protocol Ledger {
    /// As Greymesh is told of it.
    var url: String { get }
    /// Whether it lists Dubbo interfaces.
    var takesInterfaces: Bool { get }
    /// Starts it without any data.
    func startEmpty() throws
    /// Waits until it serves.
    func waitUntilItServes() throws
    /// Ends it without a word.
    func kill() throws
    /// The hosts of the HTTP application `shop` and the Dubbo interface `com.acme.Orders`.
    func listed() throws -> [ListedEntry]
}

extension Ledger {
    func waitUntilItServes() throws {}
}

/// A host in a registry's list, in a notation that is the same for all.
struct ListedEntry: Hashable {
    var service: String
    var address: String
    var version: String
    var group = ""
    /// 100 is normal.
    var weight: Double
    var zone: String

    static func shop(_ address: String, _ labels: [String: String], weight: Double) -> ListedEntry {
        ListedEntry(
            service: "shop", address: address, version: labels["version"] ?? "", weight: weight,
            zone: labels["zone"] ?? "")
    }

    /// From a provider's URL: `dubbo://127.0.0.1:20880/com.acme.Orders?version=…`.
    static func provider(_ url: String) -> ListedEntry? {
        let parts = url.split(separator: "?", maxSplits: 1)
        let place = parts[0].split(separator: "/")
        guard parts.count == 2, place.count == 3, place[0] == "dubbo:" else { return nil }
        return provider(String(place[1]), labels: Parameters(urlEncoded: parts[1].utf8))
    }

    static func provider(_ address: String, labels: Parameters) -> ListedEntry {
        ListedEntry(
            service: labels["interface"] ?? "", address: address, version: labels["version"] ?? "",
            group: labels["group"] ?? "", weight: Double(labels["weight"] ?? "100") ?? -1, zone: labels["zone"] ?? "")
    }
}

private func ask<Answer: Decodable>(_ url: String, post body: String? = nil) throws -> Answer? {
    var request = HTTPRequest(body == nil ? "GET" : "POST", url, headers: [("Accept", "application/json")])
    request.body = Array((body ?? "").utf8)
    let response = try HTTPClient.perform(request)
    if response.status == 404 { return nil }
    guard response.status == 200 else { throw TestFailure("\(url): \(response.status) \(response.text)") }
    return try JSONDecoder().decode(Answer.self, from: Data(response.body))
}

/// Nacos 2 or 3.
final class NacosLedger: Ledger {
    private let name: String
    private let port: UInt16
    private var directory = try? TemporaryDirectory()
    private var process: ChildProcess?
    let takesInterfaces = true

    init(_ name: String) throws {
        self.name = name
        port = try FreePort.next(offsets: [0, 1000, 1001, -1000])
    }

    deinit { process?.signal(SIGKILL) }

    var url: String { "nacos://127.0.0.1:\(port)" }

    func startEmpty() throws {
        directory = try TemporaryDirectory()
        process = try Peers.launch(name, ["port=\(port)", "data=\(directory?.path ?? "")"])
    }

    func waitUntilItServes() throws {
        do {
            _ = try process?.waitForLine("READY", within: .seconds(90))
        } catch {
            // On a machine that is busy with other tests its database may give up waiting for itself.
            try startEmpty()
            _ = try process?.waitForLine("READY", within: .seconds(90))
        }
    }

    func kill() throws {
        process?.signal(SIGKILL)
        try process?.waitForExit()
    }

    private struct Host: Decodable {
        let ip: String
        let port: Int
        let weight: Double
        let metadata: [String: String]
        let healthy: Bool
    }
    private struct List: Decodable { let hosts: [Host] }
    private struct NewList: Decodable { let data: [Host] }

    private func hosts(_ service: String) throws -> [Host] {
        let query = "instance/list?serviceName=\(Parameters.encode(service))"
        let base = "http://127.0.0.1:\(port)/nacos"
        if name == "nacos3" {
            let list: NewList? = try ask("\(base)/v3/client/ns/\(query)")
            return list?.data ?? []
        }
        let list: List? = try ask("\(base)/v1/ns/\(query)")
        return list?.hosts ?? []
    }

    func listed() throws -> [ListedEntry] {
        let shops = try hosts("shop").filter(\.healthy).map {
            ListedEntry.shop("\($0.ip):\($0.port)", $0.metadata, weight: $0.weight * 100)
        }
        let orders = try hosts("providers:com.acme.Orders:1.0.0:blue").filter(\.healthy).map { host in
            var labels = Parameters()
            for (name, value) in host.metadata {
                labels.append(Parameters(urlEncoded: "\(name)=\(Parameters.encode(value))".utf8))
            }
            return ListedEntry.provider("\(host.ip):\(host.port)", labels: labels)
        }
        return shops + orders
    }
}

final class EurekaLedger: Ledger {
    private let port: UInt16
    private var process: ChildProcess?
    let takesInterfaces = false

    init() throws { port = try FreePort.next() }

    deinit { process?.signal(SIGKILL) }

    var url: String { "eureka://127.0.0.1:\(port)?heartbeat=2s" }

    func startEmpty() throws {
        process = try Peers.launch(
            "eureka", ["port=\(port)", "responseCacheMillis=500", "selfPreservation=false", "evictionMillis=1000"])
    }

    func waitUntilItServes() throws { _ = try process?.waitForLine("READY", within: .seconds(90)) }

    func kill() throws {
        process?.signal(SIGKILL)
        try process?.waitForExit()
    }

    private struct Answer: Decodable {
        struct Application: Decodable { let instance: [Instance] }
        struct Instance: Decodable {
            struct Port: Decodable {
                let number: Int
                enum CodingKeys: String, CodingKey { case number = "$" }
            }
            let ipAddr: String
            let port: Port
            let status: String
            let vipAddress: String
            let metadata: [String: String]
        }
        let application: Application
    }

    func listed() throws -> [ListedEntry] {
        let answer: Answer? = try ask("http://127.0.0.1:\(port)/eureka/apps/SHOP")
        return (answer?.application.instance ?? []).filter { $0.status == "UP" && $0.vipAddress == "shop" }.map {
            .shop(
                "\($0.ipAddr):\($0.port.number)", $0.metadata,
                weight: (Double($0.metadata["weight"] ?? "1") ?? -1) * 100)
        }
    }
}

final class ZooKeeperLedger: Ledger {
    private let server: ZooKeeperServer
    let takesInterfaces = true

    init() throws { server = try ZooKeeperServer() }

    var url: String { "zookeeper://\(server.address)" }

    func startEmpty() throws {
        try server.wipe()
        try server.start()
    }

    func kill() throws { try server.kill() }

    private struct Instance: Decodable {
        struct Payload: Decodable { let metadata: [String: String] }
        let address: String
        let port: Int
        let payload: Payload
    }

    func listed() throws -> [ListedEntry] {
        let client = try ZooKeeperWriter(server.address)
        defer { client.close() }
        func names(_ path: String) throws -> [String] {
            do { return try client.children(path) } catch let refusal as ZooKeeperWriter.Refusal
                where refusal.code == -101
            {
                return []
            }
        }
        var entries: [ListedEntry] = []
        for name in try names("/services/shop") {
            guard let data = try client.data("/services/shop/\(name)") else { continue }
            let instance = try JSONDecoder().decode(Instance.self, from: Data(data.text.utf8))
            let labels = instance.payload.metadata
            entries.append(
                .shop(
                    "\(instance.address):\(instance.port)", labels,
                    weight: (Double(labels["weight"] ?? "1") ?? -1) * 100))
        }
        for name in try names("/dubbo/com.acme.Orders/providers") {
            ListedEntry.provider(Parameters.decode(name.utf8, plusIsBlank: false)).map { entries.append($0) }
        }
        return entries
    }
}

final class EtcdLedger: Ledger {
    private let server: EtcdServer
    let takesInterfaces = true

    init() throws { server = try EtcdServer() }

    var url: String { "etcd://127.0.0.1:\(server.port)" }

    func startEmpty() throws {
        server.wipe()
        try server.start()
    }

    func waitUntilItServes() throws {
        guard waitUntil(within: .seconds(30), { (try? read("/")) != nil }) else {
            throw TestFailure("etcd does not serve")
        }
    }

    func kill() throws { try server.kill() }

    private struct Answer: Decodable {
        struct Record: Decodable {
            let key: Data
            let value: Data
        }
        let kvs: [Record]?
    }
    private struct Instance: Decodable {
        let version: String
        let metadata: [String: String]
        let endpoints: [String]
    }

    /// Everything under a prefix that ends with a slash; `0` follows the slash.
    private func read(_ prefix: String) throws -> [Answer.Record] {
        func base64(_ text: some StringProtocol) -> String { Data(text.utf8).base64EncodedString() }
        let body = #"{"key":"\#(base64(prefix))","range_end":"\#(base64(prefix.dropLast() + "0"))"}"#
        let answer: Answer? = try ask("\(server.base)/v3/kv/range", post: body)
        return answer?.kvs ?? []
    }

    func listed() throws -> [ListedEntry] {
        let shops = try read("/microservices/shop/").map { record in
            let instance = try JSONDecoder().decode(Instance.self, from: record.value)
            return ListedEntry.shop(
                String(instance.endpoints[0].dropFirst("http://".count)), instance.metadata,
                weight: Double(instance.metadata["weight"] ?? "100") ?? -1)
        }
        let orders = try read("/dubbo/com.acme.Orders/providers/").compactMap { record in
            ListedEntry.provider(
                Parameters.decode(record.key.split(separator: UInt8(ascii: "/"))[3], plusIsBlank: false))
        }
        return shops + orders
    }
}

final class ConsulLedger: Ledger {
    private let agent: ConsulThread
    let takesInterfaces = true

    init() throws { agent = try ConsulThread() }

    deinit { agent.stop() }

    var url: String { "consul://127.0.0.1:\(agent.port)" }

    func startEmpty() throws { try agent.start() }

    func kill() throws { agent.stop() }

    func listed() throws -> [ListedEntry] {
        agent.passing.compactMap { service in
            if service.Name != "shop" { return service.Meta["url"].flatMap(ListedEntry.provider) }
            return .shop(
                "\(service.Address):\(service.Port)", service.Meta, weight: Double(service.Weights.Passing) * 100)
        }
    }
}
