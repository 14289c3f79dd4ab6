import Runtime

/// One connection to a service with any number of calls in flight, connecting when needed.
final class CallClient<Frame: CallFrame> {
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

    /// Sends the request that `request` makes of the call's number; the string that answers it comes on the loop.
    func send(_ request: (Int64) -> [UInt8], completion: @escaping Completion) {
        do {
            let stream = try connected()
            nextIdentifier += 1
            let deadline = Clock.nanoseconds + timeout.nanoseconds
            waiting[nextIdentifier] = Waiting(deadline: deadline, completion: completion)
            stream.send(request(nextIdentifier))
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
            while let stream, stream.isOpen, let frame = try Frame.take(from: &stream.input) {
                if let reply = frame.reply { stream.send(reply) }
                guard let number = frame.answeredCall, let call = waiting.removeValue(forKey: number) else { continue }
                call.completion(frame.result)
            }
        } catch {
            stream?.close()
            failAll("\(error)")
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
