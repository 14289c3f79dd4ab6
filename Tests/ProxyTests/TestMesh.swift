import Balancing
import Configuration
import Glibc
import Model
import Proxy
import Runtime
import Synchronization
import TestSupport

/// A data plane of one worker with one listener, in this process.
final class TestMesh: Sendable {
    let address: SocketAddress
    private let plane: Mutex<DataPlane>
    private let collected = Mutex<[WorkerEvent]>([])
    private let hosts = Mutex<[ScriptedServer]>([])
    private let snapshots = Mutex<[ServiceKey: ServiceSnapshot]>([:])

    init(_ kind: ListenerProtocol = .http, _ change: (inout Configuration) -> Void = { _ in }) throws {
        var configuration = Configuration()
        let listener = ListenerConfiguration(name: "test", protocol: kind, address: SocketAddress("127.0.0.1:0")!)
        configuration.listeners = [listener]
        configuration.limits.connectTimeout = .seconds(2)
        change(&configuration)
        let plane = try DataPlane(settings: WorkerSettings(configuration, accessLog: nil), workers: 1)
        address = plane.addresses[0]
        self.plane = Mutex(plane)
    }

    deinit { plane.withLock { $0.stop() } }

    func post(_ message: WorkerMessage) { plane.withLock { $0.post(message) } }

    /// Everything the worker has told so far.
    var events: [WorkerEvent] {
        let new = plane.withLock { $0.events.take() }
        return collected.withLock { events in
            events += new
            return events
        }
    }

    /// Keeps a host running as long as the mesh.
    func keep(_ host: ScriptedServer) { hosts.withLock { $0.append(host) } }

    func connect() throws -> Connection { try Connection(to: address) }

    /// Makes the hosts of service `shop` known, by version.
    func update(policy: ServicePolicy = ServicePolicy(), _ hosts: [(version: String, address: SocketAddress)]) {
        update("shop", policy: policy, hosts)
    }

    /// Makes a service's hosts known, by version.
    func update(
        _ name: String, policy: ServicePolicy = ServicePolicy(), _ hosts: [(version: String, address: SocketAddress)]
    ) {
        let instances = hosts.map { host in
            Instance(address: host.address, metadata: host.version.isEmpty ? [:] : ["version": host.version])
        }
        let key = ServiceKey(kind: .http, name: name)
        let snapshot = snapshots.withLock { snapshots in
            let snapshot = ServiceSnapshot(
                key: key, policy: policy, instances: instances, versionKeys: ["version"], after: snapshots[key]?.limits)
            snapshots[key] = snapshot
            return snapshot
        }
        post(.update(snapshot))
    }

    /// What counts for the limits of service `shop`.
    var limits: ServiceLimits? { snapshots.withLock { $0[ServiceKey(kind: .http, name: "shop")]?.limits } }

    /// The worker's counters as they are after all messages before.
    func report() throws -> WorkerReport {
        let id = UInt64.random(in: 1...UInt64.max)
        post(.report(id: id))
        var found: WorkerReport?
        let inTime = waitUntil(within: .seconds(10)) {
            for case .report(_, id, let report) in events { found = report }
            return found != nil
        }
        guard inTime, let found else { throw TestFailure("no report") }
        return found
    }

    /// Waits until the worker has done what it was told: a request may overtake a message that takes more than a moment.
    func settle() throws { _ = try report() }

    /// Waits until a report satisfies `condition`.
    func waitForReport(_ condition: @escaping (WorkerReport) -> Bool) throws -> Bool {
        try waitUntil(within: .seconds(10)) { condition(try report()) }
    }
}

/// An HTTP answer as a client sees it.
struct Answer {
    let status: Int
    let head: String
    let body: String

    func field(_ name: String) -> String? {
        for line in head.split(separator: "\r\n").dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 && parts[0].lowercased() == name {
                return parts[1].drop { $0 == " " }.description
            }
        }
        return nil
    }
}

extension Connection {
    /// Reads one answer with a length, or without a body for HEAD.
    func receiveAnswer(toHead: Bool = false) throws -> Answer {
        let head = receive(until: "\r\n\r\n")
        let words = head.split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { throw TestFailure("no answer, but: \(head)") }
        let bare = Answer(status: status, head: head, body: "")
        if toHead || status < 200 || status == 204 || status == 304 { return bare }
        let body: [UInt8]
        if let length = bare.field("content-length").flatMap({ Int($0) }) {
            body = receive(exactly: length)
        } else if bare.field("transfer-encoding") == "chunked" {
            return Answer(status: status, head: head, body: receive(until: "0\r\n\r\n"))
        } else {
            body = receiveAll()
        }
        return Answer(status: status, head: head, body: String(decoding: body, as: UTF8.self))
    }

    /// Sends a GET and reads the answer.
    func get(_ path: String = "/", host: String = "shop", _ fields: String = "") throws -> Answer {
        send("GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\(fields)\r\n")
        return try receiveAnswer()
    }

    /// Reads a request's head; empty when the peer has ended.
    func receiveHead() -> String { receive(until: "\r\n\r\n") }

    /// Answers with a text.
    func answer(_ text: String, status: String = "200 OK", _ fields: String = "") {
        send("HTTP/1.1 \(status)\r\nContent-Length: \(text.utf8.count)\r\n\(fields)\r\n\(text)")
    }
}

/// A host that answers every GET with its name.
func namedHost(_ name: String, port: UInt16 = 0) throws -> ScriptedServer {
    try ScriptedServer(port: port) { connection, _ in
        while !connection.receiveHead().isEmpty { connection.answer(name) }
    }
}
