import Balancing
import Configuration
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("An inbound listener")
struct InboundTests {
    private func forwarding(
        _ kind: ListenerProtocol, to address: SocketAddress
    ) -> (ListenerConfiguration, WorkerMessage) {
        let listener = ListenerConfiguration(
            name: "in", protocol: kind, address: SocketAddress("127.0.0.1:0")!, forward: address)
        let snapshot = ServiceSnapshot(
            key: listener.serviceKey, policy: ServicePolicy(), instances: [Instance(address: address)],
            versionKeys: ["version"])
        return (listener, .update(snapshot))
    }

    @Test("All Dubbo calls go to its application as they are, whatever version and group they name")
    func dubboCalls() throws {
        let host = try DubboHost.echo("application")
        defer { host.stop() }
        let (listener, snapshot) = forwarding(.dubbo, to: host.address)
        let mesh = try DubboMesh { $0.listeners = [listener] }
        defer { mesh.stop() }
        mesh.plane.post(snapshot)
        let consumer = try mesh.connect()
        defer { consumer.close() }
        for (version, attachments) in [
            ("1.0.0", []), ("2.0.0", [("group", "g")]), ("0.0.0", [("x-version", "9"), ("dubbo.tag", "gray")]),
        ] as [(String, [(name: String, value: String)])] {
            let all = [(name: "version", value: version)] + attachments
            let call = DubboCall(version: version, attachments: all, id: 7)
            let answer = try #require(consumer.ask(call))
            #expect(answer.status == 20 && answer.id == 7 && answer.text.hasPrefix("application|"))
            #expect(host.frames.last?.body == call.frame.body)
        }
    }

    @Test("When it drains, its Dubbo consumers are told to go elsewhere before they are closed")
    func dubboDrain() throws {
        let host = try DubboHost.echo("application")
        defer { host.stop() }
        let (listener, snapshot) = forwarding(.dubbo, to: host.address)
        let mesh = try DubboMesh { $0.listeners = [listener] }
        defer { mesh.stop() }
        mesh.plane.post(snapshot)
        let consumer = try mesh.connect()
        defer { consumer.close() }
        _ = consumer.ask(DubboCall(version: "1.0.0", id: 1))
        mesh.plane.post(.drain)
        let event = try #require(consumer.receive())
        #expect(event.flags == 0xa2 && event.body == [0x01, 0x52])
        // A call that was on its way is still answered.
        let answer = consumer.ask(DubboCall(version: "1.0.0", id: 2))
        #expect(answer?.id == 2 && answer?.status == 20)
        #expect(consumer.isEnded())
        #expect(mesh.waits { if case .drained = $0 { true } else { false } })
    }

    @Test("All HTTP requests go to its application, whatever host and version they name")
    func httpRequests() throws {
        let host = try namedHost("application")
        let (listener, snapshot) = forwarding(.http, to: host.address)
        let mesh = try TestMesh(.http) { $0.listeners = [listener] }
        mesh.update([("1.0", SocketAddress("127.0.0.1:1")!)])
        mesh.post(snapshot)
        let client = try mesh.connect()
        for extra in ["", "x-version: 1.0\r\n", "x-version: 9\r\n"] {
            // `shop` is a service that is known: on another listener it would be meant.
            let answer = try client.get("/", extra)
            #expect(answer.status == 200 && answer.body == "application")
            #expect(answer.field("x-greymesh-version") == nil)
        }
        #expect(try client.get("/", host: "whatever.example").body == "application")
    }

    @Test("A request of version 1.0 that names no host is sent on with the application's address")
    func noHost() throws {
        let host = try ScriptedServer { connection, _ in connection.answer(connection.receiveHead()) }
        let (listener, snapshot) = forwarding(.http, to: host.address)
        let mesh = try TestMesh(.http) { $0.listeners = [listener] }
        mesh.post(snapshot)
        try mesh.settle()
        let client = try mesh.connect()
        client.send("GET /health HTTP/1.0\r\n\r\n")
        #expect(try client.receiveAnswer().body.contains("\r\nHost: \(host.address)\r\n"))
    }

    @Test("A request that comes before its application is known waits for it")
    func early() throws {
        let host = try namedHost("application")
        let (listener, snapshot) = forwarding(.http, to: host.address)
        let mesh = try TestMesh(.http) { $0.listeners = [listener] }
        let client = try mesh.connect()
        _ = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try mesh.waitForReport { $0.listeners[0].open == 1 })
        mesh.post(snapshot)
        #expect(try client.receiveAnswer().body == "application")
    }
}
