import Runtime

/// One connection to a Dubbo provider with any number of calls in flight.
final class DubboClient {
    typealias Completion = (Result<String, CallFailure>) -> Void

    private struct Waiting {
        var deadline: Int64
        var completion: Completion
    }

    private let loop: EventLoop
    private let address: SocketAddress
    private let timeout: Duration
    private var stream: Stream?
    private var waiting: [Int64: Waiting] = [:]
    private var nextIdentifier: Int64 = 0
    private var timer: EventLoop.Timer?

    init(loop: EventLoop, address: SocketAddress, timeout: Duration) {
        self.loop = loop
        self.address = address
        self.timeout = timeout
    }

    deinit { loop.cancel(timer) }

    /// Calls that wait for their answers.
    var inFlight: Int { waiting.count }

    /// Sends a call; the string that answers it comes on the loop.
    func call(_ invocation: DubboInvocation, completion: @escaping Completion) {
        do {
            let stream = try connected()
            nextIdentifier += 1
            let deadline = Clock.nanoseconds + timeout.nanoseconds
            waiting[nextIdentifier] = Waiting(deadline: deadline, completion: completion)
            stream.send(DubboFrame(request: nextIdentifier, body: invocation.body).bytes)
            watchDeadlines()
        } catch {
            completion(.failure(CallFailure(description: "\(error)")))
        }
    }

    /// Ends the connection; waiting calls get no answer.
    func close() {
        stream?.close()
        stream = nil
        waiting = [:]
    }

    private func connected() throws -> Stream {
        if let stream, stream.isOpen { return stream }
        let new = try Stream(loop: loop, connectingTo: address)
        new.onData = { [weak self] in self?.receive() }
        new.onEnd = { [weak self] in self?.failAll($0) }
        stream = new
        return new
    }

    private func receive() {
        do {
            while let stream, stream.isOpen, let frame = try DubboFrame.take(from: &stream.input) { handle(frame) }
        } catch {
            stream?.close()
            failAll("\(error)")
        }
    }

    private func handle(_ frame: DubboFrame) {
        if frame.isRequest {
            // A provider's heartbeat. Its readonly event has no meaning where there is one address only.
            guard frame.isEvent, frame.isTwoWay else { return }
            let answer = DubboFrame(
                answer: frame, status: DubboFrame.Status.ok, serialization: frame.serialization, body: frame.body)
            stream?.send(answer.bytes)
            return
        }
        if frame.isEvent { return }
        guard let call = waiting.removeValue(forKey: frame.identifier) else { return }
        call.completion(Self.text(of: frame))
    }

    private static func text(of frame: DubboFrame) -> Result<String, CallFailure> {
        do {
            if frame.status == DubboFrame.Status.ok {
                let value = try DubboResult.read(frame.body).value
                if let text = value.text { return .success(text) }
                return .failure(CallFailure(description: "an answer that is no string: \(value)"))
            }
            var reader = HessianReader(frame.body)
            return .failure(CallFailure(description: "status \(frame.status): \(try reader.string())"))
        } catch {
            return .failure(CallFailure(description: "\(error)"))
        }
    }

    private func failAll(_ reason: String) {
        let calls = waiting.values
        waiting = [:]
        for call in calls { call.completion(.failure(CallFailure(description: reason))) }
    }

    private func watchDeadlines() {
        guard timer == nil else { return }
        timer = loop.schedule(after: .milliseconds(50)) { [weak self] in
            guard let self else { return }
            self.timer = nil
            let now = Clock.nanoseconds
            for (identifier, call) in self.waiting where call.deadline <= now {
                self.waiting[identifier] = nil
                call.completion(.failure(CallFailure(description: "no answer within \(self.timeout)")))
            }
            if !self.waiting.isEmpty { self.watchDeadlines() }
        }
    }
}
