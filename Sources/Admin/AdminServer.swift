import ControlPlane
import Runtime
import WebServer

/// The admin API of a running process. It shows internals and asks for no login: it belongs on loopback.
public final class AdminServer {
    let control: ControlPlane
    let version: String
    let process: ProcessStatistics
    private let server: WebServer

    /// Creates a server that does not listen yet.
    ///
    /// - Parameter version: the program's, for `/metrics`.
    public init(control: ControlPlane, version: String) {
        self.control = control
        self.version = version
        process = ProcessStatistics()
        let router = Router()
        server = WebServer(loop: control.loop) { request, respond in router.route(request, respond) }
        router.owner = self
    }

    /// Listens and returns the address with the port the system chose.
    @discardableResult
    public func listen(on address: SocketAddress) throws -> SocketAddress {
        let bound = try server.listen(on: address)
        control.addOwnAddress(bound)
        return bound
    }

    /// Takes over a listening socket that another process has opened; nothing is answered before `accept`.
    public func adopt(_ socket: Int32) throws -> SocketAddress {
        guard let bound = server.adopt(socket) else { throw SystemError("take over the socket of the admin API") }
        control.addOwnAddress(bound)
        return bound
    }

    /// Answers on a socket that was taken over.
    public func accept() { server.acceptWaiting() }

    /// The listening socket; nil: it does not listen.
    public var socket: Int32? { server.listeningSockets.first }

    /// Stops listening: another process answers from now on. What was asked is still answered.
    public func leave() { server.stopListening() }

    /// Stops listening and closes all connections.
    public func stop() { server.stop() }

    func answer(_ request: Request, _ respond: @escaping (Response) -> Void) {
        guard let endpoint = Endpoint(path: request.path) else {
            return respond(.text("not found\n\n" + Endpoint.list, status: 404))
        }
        guard endpoint.methods.contains(request.method) else {
            var response = Response.text(
                "only \(endpoint.methods.joined(separator: " and ")) \(endpoint.methods.count == 1 ? "is" : "are") "
                    + "allowed here\n", status: 405)
            response.headers.append(HeaderField("Allow", endpoint.methods.joined(separator: ", ")))
            return respond(response)
        }
        switch endpoint {
        case .index: respond(.text(Endpoint.list))
        case .health: respond(.text("ok\n"))
        case .ready:
            let isReady = control.isReady
            let text = control.isDraining ? "draining\n" : isReady ? "ready\n" : "waiting for the registries\n"
            respond(.text(text, status: isReady ? 200 : 503))
        case .metrics:
            control.collectTraffic { [weak self] traffic in
                guard let self else { return }
                respond(self.metrics(traffic).response(on: control.loop))
            }
        case .services:
            control.collectTraffic { [weak self] traffic in
                guard let self else { return }
                respond(self.services(traffic).response(on: control.loop))
            }
        case .clusters:
            let service = request.query["service"]
            control.collectTraffic { [weak self] traffic in
                guard let self else { return }
                respond(self.clusters(traffic, of: service).response(on: control.loop))
            }
        case .registries: respond(.pretty(registries()))
        case .registrations: respond(.pretty(registrations()))
        case .configuration: respond(.pretty(configuration()))
        case .explain: explain(request, respond)
        case .publish: PublishingAPI(control: control).publish(request, respond)
        case .unpublish: PublishingAPI(control: control).unpublish(request, respond)
        case .subscribe: PublishingAPI(control: control).subscribe(request, respond)
        case .unsubscribe: PublishingAPI(control: control).unsubscribe(request, respond)
        case .upgrade:
            // Without it any page in a browser of this machine could ask for one.
            guard request.header("content-type")?.lowercased().hasPrefix("application/json") == true else {
                return respond(.pretty(.object(["error": "Content-Type: application/json is missing"]), status: 400))
            }
            control.upgrade { problem in
                respond(.pretty(.object(["error": .optional(problem)]), status: problem == nil ? 200 : 409))
            }
        }
    }
}

/// Breaks the cycle between the server and its owner.
private final class Router {
    weak var owner: AdminServer?

    func route(_ request: Request, _ respond: @escaping (Response) -> Void) {
        guard let owner else { return respond(.text("stopping\n", status: 503)) }
        owner.answer(request, respond)
    }
}

/// What the API has.
enum Endpoint: String, CaseIterable {
    case index = "/"
    case health = "/healthz"
    case ready = "/readyz"
    case metrics = "/metrics"
    case services = "/services"
    case clusters = "/clusters"
    case registries = "/registries"
    case registrations = "/registrations"
    case configuration = "/config"
    case explain = "/explain"
    case publish = "/pub"
    case unpublish = "/unpub"
    case subscribe = "/sub"
    case unsubscribe = "/unsub"
    case upgrade = "/upgrade"

    init?(path: String) { self.init(rawValue: path) }

    /// What changes something is asked for with POST.
    var methods: [String] {
        switch self {
        case .publish, .unpublish, .subscribe, .unsubscribe, .upgrade: ["POST"]
        default: ["GET", "HEAD"]
        }
    }

    private var summary: String {
        switch self {
        case .index: "this list"
        case .health: "200 while the process runs"
        case .ready: "200 when it serves and knows the services of its configuration, else 503"
        case .metrics: "counters in the Prometheus text format"
        case .services: "services that are watched"
        case .clusters: "version clusters with their hosts; ?service=NAME for one service"
        case .registries: "registries and how they are"
        case .registrations: "applications that are registered, and how they are"
        case .configuration: "the settings in force"
        case .explain:
            "where a request would go: ?service=NAME&header=NAME:VALUE&client=IP&path=&protocol=http|dubbo|bolt&version=&group="
        case .publish: "POST: register a Dubbo interface, as in MOSN"
        case .unpublish: "POST: take it out again"
        case .subscribe: "POST: watch a Dubbo interface for good, as in MOSN"
        case .unsubscribe: "POST: let it go again"
        case .upgrade: "POST: start the program anew, and let it serve in this process's place; 409 where that fails"
        }
    }

    static let list = allCases.map { endpoint in
        endpoint.rawValue + String(repeating: " ", count: 16 - endpoint.rawValue.count) + endpoint.summary + "\n"
    }.joined()
}

extension Response {
    /// An answer of JSON.
    static func pretty(_ value: JSON, status: Int = 200) -> Response {
        .text(value.pretty, status: status, contentType: "application/json; charset=utf-8")
    }
}
