import FoundationEssentials
import Runtime

/// Sends one kind of calls and checks their answers.
protocol Caller: AnyObject {
    /// Whether another call can be sent now.
    var hasRoom: Bool { get }
    /// Sends the call of that number. Only when there is room.
    func call(_ number: Int, completion: @escaping (Result<Answer, CallFailure>) -> Void)
    /// Ends all connections.
    func close()
}

/// HTTP requests over a number of persistent connections.
final class HTTPCaller: Caller {
    /// What to ask.
    struct Plan {
        var host: String
        /// The name that the answers must bear; nil accepts any.
        var service: String?
        var path: String
        var headers: [(key: String, value: String)]
    }

    private struct Body: Decodable {
        var service: String
        var version: String
        var host: String
        var path: String
    }

    private let plan: Plan
    private let clients: [HTTPClient]
    private var idle: [HTTPClient]

    init(loop: EventLoop, address: SocketAddress, connections: Int, timeout: Duration, plan: Plan) {
        self.plan = plan
        clients = (0..<connections).map { _ in HTTPClient(loop: loop, address: address, timeout: timeout) }
        idle = clients
    }

    var hasRoom: Bool { !idle.isEmpty }

    func call(_ number: Int, completion: @escaping (Result<Answer, CallFailure>) -> Void) {
        let client = idle.removeLast()
        // The number comes back in the answer: an answer to another call does not pass.
        let target = plan.path + (plan.path.contains("?") ? "&" : "?") + "n=\(number)"
        client.send("GET", target, host: plan.host, headers: plan.headers) { [self] result in
            idle.append(client)
            completion(result.flatMap { check($0, target: target) })
        }
    }

    func close() { for client in clients { client.close() } }

    private func check(_ answer: HTTPAnswer, target: String) -> Result<Answer, CallFailure> {
        guard answer.status == 200 else {
            let text = String(decoding: answer.body.prefix(200), as: UTF8.self)
            return .failure(CallFailure(description: "status \(answer.status): \(text.filter { !$0.isNewline })"))
        }
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(answer.body)) else {
            return .failure(CallFailure(description: "an answer that is not from a sample service"))
        }
        guard body.path == target else {
            return .failure(CallFailure(description: "the answer to another request"))
        }
        if let service = plan.service, body.service != service {
            return .failure(CallFailure(description: "answered by \(body.service)"))
        }
        if let told = answer.header("x-greymesh-version"), told != body.version {
            return .failure(CallFailure(description: "version \(body.version) answered, the header says \(told)"))
        }
        return .success(Answer(version: body.version, host: body.host))
    }
}

/// Calls of Dubbo or SOFA RPC, many at a time over few connections.
final class FramedCaller<Frame: CallFrame>: Caller {
    /// The request of that number with this argument.
    private let request: (_ number: Int64, _ argument: String) -> Frame
    private let clients: [CallClient<Frame>]
    private let concurrency: Int
    private var inFlight = 0

    init(
        loop: EventLoop, address: SocketAddress, connections: Int, concurrency: Int, timeout: Duration,
        request: @escaping (_ number: Int64, _ argument: String) -> Frame
    ) {
        self.request = request
        self.concurrency = concurrency
        clients = (0..<connections).map { _ in CallClient(loop: loop, address: address, timeout: timeout) }
    }

    var hasRoom: Bool { inFlight < concurrency }

    func call(_ number: Int, completion: @escaping (Result<Answer, CallFailure>) -> Void) {
        inFlight += 1
        let argument = "call \(number)"
        clients[number % clients.count].send({ request($0, argument).bytes }) { [self] result in
            inFlight -= 1
            completion(result.flatMap { Self.check($0, argument: argument) })
        }
    }

    func close() { for client in clients { client.close() } }

    private static func check(_ text: String, argument: String) -> Result<Answer, CallFailure> {
        let parts = text.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3 else {
            return .failure(
                CallFailure(description: "an answer that is not from a sample service: \(text.prefix(100))"))
        }
        guard parts[2] == argument else { return .failure(CallFailure(description: "the answer to another call")) }
        return .success(Answer(version: parts[1], host: parts[0]))
    }
}
