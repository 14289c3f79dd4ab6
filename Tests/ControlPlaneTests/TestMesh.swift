import Configuration
import ControlPlane
import Discovery
import Runtime
import Synchronization
import TestSupport
import WebServer

/// A whole process but for its command line: a file registry, scripted hosts and a client, all on the test's loop.
final class TestMesh {
    /// A host that answers its name, or what the test makes of a request.
    final class Host {
        let address: SocketAddress
        var answersLater: ((@escaping (Response) -> Void) -> Void)?
        private let server: WebServer
        private let box = Box()

        private final class Box {
            weak var host: Host?
            var requests = 0
        }

        init(_ name: String, loop: EventLoop) throws {
            let box = box
            server = WebServer(loop: loop) { _, respond in
                box.requests += 1
                if let later = box.host?.answersLater { later(respond) } else { respond(.text(name)) }
            }
            address = try server.listen(on: SocketAddress("127.0.0.1:0")!)
            box.host = self
        }

        var requests: Int { box.requests }
        func stop() { server.stop() }
    }

    let loop: EventLoop
    let directory: TemporaryDirectory
    let control: ControlPlane
    private(set) var hosts: [String: Host]
    private let client: HTTPClient
    private let lines: Lines
    private let reloading = Reloading()

    final class Lines: Sendable {
        let text = Mutex<[String]>([])
    }

    private final class Reloading {
        var load: () throws -> Configuration = { throw TestFailure("nothing to load") }
    }

    /// What a reload gets.
    var reload: () throws -> Configuration {
        get { reloading.load }
        set { reloading.load = newValue }
    }

    /// Starts with the given hosts, as `NAME=VERSION`, of `order-service`.
    init(
        hosts names: [(String, version: String)] = [], configure: (inout Configuration) -> Void = { _ in }
    ) throws {
        let loop = try EventLoop()
        let lines = Lines()
        let directory = try TemporaryDirectory()
        self.loop = loop
        self.lines = lines
        self.directory = directory
        let started = try names.map { (name: $0.0, host: try Host($0.0, loop: loop), version: $0.version) }
        hosts = Dictionary(uniqueKeysWithValues: started.map { ($0.name, $0.host) })
        let listed = started.map { ($0.host.address, $0.version) }
        try directory.write("services.yaml", Self.file(["order-service": listed]))
        var configuration = Configuration()
        configuration.workers = 2
        configuration.registries = [RegistryConfiguration(url: "file:" + directory.path(of: "services.yaml"))]
        configuration.listeners = [
            ListenerConfiguration(name: "http", protocol: .http, address: SocketAddress("127.0.0.1:0")!)
        ]
        configure(&configuration)
        client = try HTTPClient(loop: loop, connectionsPerHost: 64)
        let reloading = reloading
        control = try ControlPlane(
            configuration: configuration, loop: loop,
            logger: Logger(minimum: .debug) { line in lines.text.withLock { $0.append(line) } },
            reload: { try reloading.load() })
    }

    func stop() {
        client.close()
        control.stop()
        for host in hosts.values { host.stop() }
    }

    /// What was logged so far.
    var log: String { lines.text.withLock { $0.joined() } }

    /// Starts one more host; it is not registered yet.
    func addHost(_ name: String) throws -> Host {
        let host = try Host(name, loop: loop)
        hosts[name] = host
        return host
    }

    /// Replaces the file of the registry.
    func register(_ services: [String: [(SocketAddress, version: String)]]) throws {
        try directory.replace("services.yaml", Self.file(services))
    }

    static func file(_ services: [String: [(SocketAddress, version: String)]]) -> String {
        var text = "services:\n"
        for (name, hosts) in services.sorted(by: { $0.key < $1.key }) {
            text += "  \(name):\(hosts.isEmpty ? " []" : "")\n"
            for (address, version) in hosts {
                text += "    - {address: \"\(address)\", metadata: {version: \"\(version)\"}}\n"
            }
        }
        return services.isEmpty ? "services: {}\n" : text
    }

    /// Sends a request through the first listener.
    func send(
        _ path: String = "/", host: String = "order-service", headers: [(name: String, value: String)] = [],
        completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) {
        let request = HTTPRequest(
            "GET", "http://\(control.listenerAddresses[0])\(path)", headers: [("Host", host)] + headers,
            timeout: .seconds(20))
        client.send(request, completion: completion)
    }

    /// Sends a request and waits for its answer.
    func get(
        _ path: String = "/", host: String = "order-service", headers: [(name: String, value: String)] = []
    ) throws -> HTTPResponse {
        var result: Result<HTTPResponse, HTTPError>?
        send(path, host: host, headers: headers) { result = $0 }
        guard loop.run(for: .seconds(25), until: { result != nil }), let result else {
            throw TestFailure("no answer\n\(log)")
        }
        return try result.get()
    }

    /// Sends requests until one is answered as wanted.
    func comesTrue(_ condition: () throws -> Bool) throws -> Bool {
        let deadline = Clock.nanoseconds + 15_000_000_000
        while try !condition() {
            if Clock.nanoseconds > deadline { return false }
            _ = loop.run(for: .milliseconds(10)) { false }
        }
        return true
    }

    /// Has a question explained, and waits for it.
    func explain(_ question: ExplainQuestion) throws -> ExplainAnswer {
        var answer: ExplainAnswer?
        control.explain(question) { answer = $0 }
        guard loop.run(for: .seconds(10), until: { answer != nil }), let answer else {
            throw TestFailure("no explanation\n\(log)")
        }
        return answer
    }

    /// What the workers have counted.
    func traffic() throws -> Traffic {
        var traffic: Traffic?
        control.collectTraffic { traffic = $0 }
        guard loop.run(for: .seconds(10), until: { traffic != nil }), let traffic else {
            throw TestFailure("no counters\n\(log)")
        }
        return traffic
    }
}
