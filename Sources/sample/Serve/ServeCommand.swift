import Glibc
import Runtime
import WebServer

/// The commands `http`, `dubbo` and `bolt`: a sample service. The first two can register themselves.
enum ServeCommand {
    private static let commonOptions: Set<String> = ["listen", "version", "delay-ms", "drain-ms", "name"]
    private static let registryOptions: Set<String> = ["advertise", "registry", "weight", "metadata"]

    static func http(_ words: [String]) throws {
        let options = try Options(words, values: commonOptions.union(registryOptions).union(["service"]))
        let service = try options.required("service")
        let version = options.text("version") ?? ""
        let loop = try EventLoop()
        let listener = try address(options)
        var limits = WebServer.Limits()
        limits.connections = 10_000
        limits.body = 64 << 20
        // The name of a host is its address unless given, and that is known only once it listens.
        var handler: WebServer.Handler = { _, respond in respond(Response(status: 503)) }
        let server = WebServer(loop: loop, limits: limits) { handler($0, $1) }
        let bound = try server.listen(on: listener)
        let identity = Identity(service: service, version: version, host: options.text("name") ?? "\(bound)")
        let sample = HTTPService(loop: loop, identity: identity, delay: try delay(options))
        handler = { sample.answer($0, respond: $1) }

        var metadata = try options.pairs("metadata")
        if !version.isEmpty { metadata.insert(("version", version), at: 0) }
        let registrar = try makeRegistrar(
            options, loop: loop, bound: bound, service: service, weight: try options.decimal("weight"),
            metadata: metadata)
        say("READY http \(bound)")
        try ServingHost(
            loop: loop, registrar: registrar, drain: try drain(options),
            actions: ServingHost.Actions(
                announceStop: {}, stopListening: { server.stopListening() },
                isDone: { sample.inFlight == 0 && server.connectionCount == 0 }, close: { server.stop() })
        ).run()
    }

    static func dubbo(_ words: [String]) throws {
        let own: Set<String> = ["interface", "group", "tag", "application"]
        let options = try Options(words, values: commonOptions.union(registryOptions).union(own))
        let interface = try options.required("interface")
        let version = options.text("version") ?? ""
        let group = options.text("group") ?? ""
        let loop = try EventLoop()
        let identity = Identity(service: interface, version: version, host: options.text("name") ?? "")
        let sample = DubboService(loop: loop, identity: identity, group: group, delay: try delay(options))
        let bound = try sample.listen(on: try address(options))
        if identity.host.isEmpty { sample.name(host: "\(bound)") }

        let service = "providers:\(interface):\(version):\(group)"
        let registrar = try makeRegistrar(
            options, loop: loop, bound: bound, service: service, weight: nil,
            metadata: try dubboMetadata(options, interface: interface, version: version, group: group))
        say("READY dubbo \(bound)")
        try ServingHost(
            loop: loop, registrar: registrar, drain: try drain(options),
            actions: ServingHost.Actions(
                announceStop: { sample.sendReadOnly() }, stopListening: { sample.stopListening() },
                isDone: { sample.inFlight == 0 && !sample.hasPendingAnswers }, close: { sample.closeConnections() })
        ).run()
    }

    static func bolt(_ words: [String]) throws {
        let options = try Options(words, values: commonOptions.union(["interface", "unique-id", "release"]))
        let interface = try options.required("interface")
        let version = options.text("version") ?? "1.0"
        let loop = try EventLoop()
        let identity = Identity(
            service: interface, version: options.text("release") ?? version, host: options.text("name") ?? "")
        let sample = BoltService(
            loop: loop, identity: identity, version: version, uniqueID: options.text("unique-id") ?? "",
            delay: try delay(options))
        let bound = try sample.listen(on: try address(options))
        if identity.host.isEmpty { sample.name(host: "\(bound)") }
        say("READY bolt \(bound)")
        try ServingHost(
            loop: loop, registrar: nil, drain: try drain(options),
            actions: ServingHost.Actions(
                announceStop: {}, stopListening: { sample.stopListening() },
                isDone: { sample.inFlight == 0 && !sample.hasPendingAnswers }, close: { sample.closeConnections() })
        ).run()
    }

    /// The parameters of the URL that a Java provider registers. Its weight is one of them: Nacos' own stays 1.
    private static func dubboMetadata(
        _ options: Options, interface: String, version: String, group: String
    ) throws -> [(key: String, value: String)] {
        var metadata: [(key: String, value: String)] = [
            ("side", "provider"), ("protocol", "dubbo"), ("interface", interface), ("path", interface),
            ("methods", "say,sleep,fail,attachments"), ("category", "providers"), ("dubbo", "2.0.2"),
            ("application", options.text("application") ?? "greymesh-sample"), ("generic", "false"),
            ("dynamic", "true"), ("timestamp", "\(Clock.wallNanoseconds / 1_000_000)"),
        ]
        if !version.isEmpty { metadata.append(("version", version)) }
        if !group.isEmpty { metadata.append(("group", group)) }
        if let tag = options.text("tag") { metadata.append(("dubbo.tag", tag)) }
        if let weight = try options.number("weight", in: 0...1_000_000) { metadata.append(("weight", "\(weight)")) }
        return metadata + (try options.pairs("metadata"))
    }

    // MARK: Options that several have

    private static func address(_ options: Options) throws -> SocketAddress {
        try Addresses.resolve(options.text("listen") ?? "127.0.0.1:0")
    }

    private static func delay(_ options: Options) throws -> Duration {
        .milliseconds(try options.number("delay-ms", in: 0...600_000) ?? 0)
    }

    private static func drain(_ options: Options) throws -> Duration {
        .milliseconds(try options.number("drain-ms", in: 0...600_000) ?? 5000)
    }

    private static func makeRegistrar(
        _ options: Options, loop: EventLoop, bound: SocketAddress, service: String, weight: Double?,
        metadata: [(key: String, value: String)]
    ) throws -> Registrar? {
        guard let url = options.text("registry") else { return nil }
        let registry = try RegistryAddress(url)
        var address = bound
        if let ip = options.text("advertise") {
            guard let given = SocketAddress(ip: ip, port: bound.port) else {
                throw UsageError(description: "--advertise is an IP address, not '\(ip)'")
            }
            address = given
        } else if bound.ip == "0.0.0.0" || bound.ip == "::" {
            let local = Addresses.local(towards: try Addresses.resolve(registry.server))
            address = local?.with(port: bound.port) ?? bound
        }
        return try Registrar(
            loop: loop, logger: Logger(), registry: registry,
            registration: Registration(service: service, address: address, weight: weight, metadata: metadata))
    }
}
