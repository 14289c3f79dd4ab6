import Runtime
import WebServer

/// Who answers: what the sample services tell about themselves.
struct Identity {
    var service: String
    var version: String
    /// A name for this host.
    var host: String
}

/// The sample HTTP service: says who it is, and has an endpoint for every way a message can be framed.
final class HTTPService {
    private let loop: EventLoop
    private let identity: Identity
    private let delay: Duration
    /// Requests that are being answered.
    private(set) var inFlight = 0

    init(loop: EventLoop, identity: Identity, delay: Duration) {
        self.loop = loop
        self.identity = identity
        self.delay = delay
    }

    /// Answers a request, after the delay of this service.
    func answer(_ request: Request, respond: @escaping (Response) -> Void) {
        inFlight += 1
        var wait = delay
        if request.path == "/slow" { wait = .milliseconds(Self.number(request, "ms", default: 1000, most: 600_000)) }
        let reply = { [self] in
            inFlight -= 1
            respond(response(to: request))
        }
        if wait == .zero {
            reply()
        } else {
            loop.schedule(after: wait, reply)
        }
    }

    private func response(to request: Request) -> Response {
        let path = request.path
        if path.hasPrefix("/status/"), let status = Int(path.dropFirst(8)), (200...599).contains(status) {
            return .text(Response.reason(of: status) + "\n", status: status)
        }
        switch path {
        case "/echo": return echo(request)
        case "/headers": return .text(Self.head(of: request))
        case "/close":
            var response = who(request)
            response.closesConnection = true
            return response
        case "/stream":
            return pieces(request, contentType: "text/plain") { "piece \($0)\n" }
        case "/events":
            return pieces(request, contentType: "text/event-stream") { "id: \($0)\ndata: event \($0)\n\n" }
        default: return who(request)
        }
    }

    private func who(_ request: Request) -> Response {
        let members = [
            ("service", identity.service), ("version", identity.version), ("host", identity.host),
            ("path", request.target),
        ]
        return .json("{" + members.map { "\"\($0)\":\(JSONString.quoted($1))" }.joined(separator: ",") + "}")
    }

    /// The body back, framed as it came.
    private func echo(_ request: Request) -> Response {
        let type = HeaderField("Content-Type", request.header("content-type") ?? "application/octet-stream")
        guard request.header("transfer-encoding") != nil else {
            return Response(headers: [type], body: .bytes(request.body))
        }
        return Response(
            headers: [type],
            body: .stream { writer in
                var rest = request.body[...]
                while !rest.isEmpty {
                    writer.write(Array(rest.prefix(8192)))
                    rest = rest.dropFirst(8192)
                }
                writer.finish()
            })
    }

    /// `n` pieces, `ms` apart, each sent at once.
    private func pieces(_ request: Request, contentType: String, _ text: @escaping (Int) -> String) -> Response {
        let count = Self.number(request, "n", default: 5, most: 1_000_000)
        let pause = Duration.milliseconds(Self.number(request, "ms", default: 100, most: 600_000))
        let headers = [HeaderField("Content-Type", contentType), HeaderField("Cache-Control", "no-cache")]
        return Response(
            headers: headers,
            body: .stream { [self] writer in
                inFlight += 1
                write(1, of: count, pause: pause, text, to: writer)
            })
    }

    private func write(
        _ first: Int, of count: Int, pause: Duration, _ text: @escaping (Int) -> String, to writer: BodyWriter
    ) {
        var number = first
        while number <= count && writer.isOpen {
            // A slow reader must not make this process hold the whole body.
            let isFull = writer.pendingBytes > 1 << 20
            if !isFull {
                writer.write(Array(text(number).utf8))
                number += 1
            }
            if number <= count && (isFull || pause > .zero) {
                let next = number
                loop.schedule(after: max(pause, .milliseconds(1))) { [self] in
                    write(next, of: count, pause: pause, text, to: writer)
                }
                return
            }
        }
        writer.finish()
        inFlight -= 1
    }

    private static func number(_ request: Request, _ name: String, default standard: Int, most: Int) -> Int {
        max(0, min(most, request.query[name].flatMap { Int($0) } ?? standard))
    }

    private static func head(of request: Request) -> String {
        let version = request.isHTTP11 ? "HTTP/1.1" : "HTTP/1.0"
        let fields = request.headers.map { "\($0.name): \($0.value)\n" }.joined()
        return "\(request.method) \(request.target) \(version)\n\(fields)"
    }
}
