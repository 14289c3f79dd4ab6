import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Under which path a Dubbo call reaches a host")
struct DubboPathTests {
    /// What a call names: body field 2, and the attachments path and interface.
    private struct Names: Hashable {
        let service: String
        let path: String?
        let interface: String?

        init(_ service: String, _ path: String?, _ interface: String? = "demo.Echo") {
            (self.service, self.path, self.interface) = (service, path, interface)
        }

        init(_ call: DubboCall) {
            self.init(call.interface, call.attachment("path"), call.attachment("interface"))
        }
    }

    private static let own = Names("demo.Echo", "demo.Echo")
    /// As consumers of Dubbo 2.6 and those of 2.7 and later call a path.
    private static let old = Names("orders/v1", "orders/v1")
    private static let new = Names("demo.Echo", "orders/v1")

    private static func instance(_ address: SocketAddress, path: String?, release: String? = nil) -> Instance {
        var labels: [String: String] = [:]
        labels["path"] = path
        labels["release"] = release
        return Instance(address: address, metadata: Labels(labels))
    }

    /// One host without a path of its own, one of Dubbo 2.6 with a path, one of 3.3 with the same.
    private final class Cast {
        let mesh: DubboMesh
        let plain: DubboHost
        let old: DubboHost
        let new: DubboHost
        let consumer: DubboSocket

        init() throws {
            mesh = try DubboMesh()
            plain = try .echo("plain")
            old = try .echo("old")
            new = try .echo("new")
            consumer = try mesh.connect()
        }

        func update(_ instances: [Instance]) throws {
            var policy = ServicePolicy()
            policy.balancer = .roundRobin
            try mesh.update(instances, policy: policy)
        }

        func stop() {
            consumer.close()
            mesh.stop()
            for host in [plain, old, new] { host.stop() }
        }

        var all: [Instance] {
            [
                DubboPathTests.instance(plain.address, path: nil, release: "3.3.6"),
                DubboPathTests.instance(old.address, path: "orders/v1"),
                DubboPathTests.instance(new.address, path: "orders/v1", release: "3.3.6"),
            ]
        }
    }

    @Test(
        "Each host is called by its own path, whichever the call names",
        arguments: [("demo.Echo", "demo.Echo"), ("orders/v1", "orders/v1"), ("demo.Echo", "orders/v1"), ("x", "y")])
    func eachItsOwn(service: String, path: String) throws {
        let cast = try Cast()
        defer { cast.stop() }
        try cast.update(cast.all)
        for id in 0..<9 {
            let call = DubboCall(service: service, path: path, attachments: [("trace", "t")], id: Int64(id))
            #expect(cast.consumer.ask(call)?.text.hasSuffix("|hi") == true)
        }
        for (host, names) in [(cast.plain, Self.own), (cast.old, Self.old), (cast.new, Self.new)] {
            #expect(host.calls.count == 3)
            for call in host.calls {
                #expect(Names(call) == names)
                #expect(call.argument == "hi" && call.attachment("trace") == "t")
                #expect(call.attachments.count == 3)
            }
        }
    }

    @Test("What is as a host wants it goes there as it came, byte for byte")
    func unchanged() throws {
        let cast = try Cast()
        defer { cast.stop() }
        func sent(_ host: DubboHost, _ service: String, _ path: String) throws -> [UInt8] {
            let call = DubboCall(service: service, path: path, id: 1)
            #expect(cast.consumer.ask(call) != nil)
            #expect(host.frames.last?.body == call.frame.body)
            return host.frames.last?.body ?? []
        }
        try cast.update([cast.all[1]])
        _ = try sent(cast.old, "orders/v1", "orders/v1")
        try cast.update([cast.all[2]])
        _ = try sent(cast.new, "demo.Echo", "orders/v1")
        // Where no host has a path of its own nothing is known of paths.
        try cast.update([cast.all[0]])
        _ = try sent(cast.plain, "ctx/demo.Echo", "ctx/demo.Echo")
        _ = try sent(cast.plain, "demo.Echo", "demo.Echo")
    }

    @Test("Attachments that are missing are added, and a version is changed along")
    func added() throws {
        let cast = try Cast()
        defer { cast.stop() }
        var host = cast.all[2]
        host.interfaceVersion = "2.0.0"
        try cast.update([host])
        let body = ["2.0.2", "demo.Echo", "*", "say", "Ljava/lang/String;", "hi"].flatMap(Hessian.text) + [0x4e]
        cast.consumer.send(DubboFrame(flags: DubboFrame.request, id: 1, body: body))
        #expect(cast.consumer.receive()?.text == "new|hi")
        let call = try #require(cast.new.calls.first)
        #expect(Names(call) == Names("demo.Echo", "orders/v1", nil))
        #expect(call.version == "2.0.0" && call.attachment("version") == "2.0.0")
    }

    /// Large requests are not kept, but copied out of the stream that they did not leave.
    @Test("Another host that is tried is called by its path", arguments: [2, 100_000])
    func failover(size: Int) throws {
        let cast = try Cast()
        defer { cast.stop() }
        let argument = String(repeating: "a", count: size)
        for (host, names) in [(cast.plain, Self.own), (cast.old, Self.old), (cast.new, Self.new)] {
            let others = try cast.all.map(\.address).filter { $0 != host.address }.map { _ in
                SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
            }
            let good = try #require(cast.all.first { $0.address == host.address })
            try cast.update([
                good, Self.instance(others[0], path: "a"), Self.instance(others[1], path: "b/c", release: "3.0"),
            ])
            for id in 0..<3 {
                #expect(
                    cast.consumer.ask(DubboCall(argument: argument, id: Int64(id)))?.text.hasSuffix(argument) == true)
            }
            #expect(host.calls.count == 3)
            #expect(host.calls.allSatisfy { Names($0) == names && $0.argument == argument })
        }
    }

    @Test("The interface can be much longer than the path that stood in its place")
    func longInterface() throws {
        let cast = try Cast()
        defer { cast.stop() }
        let interface = "demo." + String(repeating: "Echo", count: 120)
        for release in [nil, "3.3.6"] {
            for path in [nil, "p", String(repeating: "path", count: 100)] {
                let other = Self.instance(cast.plain.address, path: "p", release: release)
                var unused = other
                unused.weight = 0
                try cast.mesh.update(
                    [unused, Self.instance(cast.new.address, path: path, release: release)], of: interface)
                let call = DubboCall(interface: interface, service: "p", path: "p", id: 1)
                #expect(cast.consumer.ask(call)?.text == "new|hi")
                let inBody = release == nil ? path ?? interface : interface
                #expect(cast.new.calls.last.map(Names.init) == Names(inBody, path ?? interface, interface))
            }
        }
    }

    @Test("Hosts that get a path, another one, and none again")
    func changes() throws {
        let cast = try Cast()
        defer { cast.stop() }
        for path in ["a", "b/c", nil, "a"] {
            try cast.update([Self.instance(cast.new.address, path: path, release: "2.7.23")])
            #expect(cast.consumer.ask(DubboCall(id: 1))?.text == "new|hi")
            #expect(cast.new.calls.last.map(Names.init) == Names("demo.Echo", path ?? "demo.Echo"))
        }
    }
}
