import Runtime

/// An answer of an HTTP server.
struct HTTPAnswer {
    var status: Int
    var headers: [(name: String, value: String)]
    var body: [UInt8]

    func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }
}

/// What went wrong with a request, in words.
struct CallFailure: Error, CustomStringConvertible {
    var description: String
}

/// One connection to an HTTP server: one request at a time, connecting when needed.
///
/// It reads answers with code of its own and not with the proxy's: the two must not share a mistake.
final class HTTPClient {
    typealias Completion = (Result<HTTPAnswer, CallFailure>) -> Void

    private let loop: EventLoop
    private let address: SocketAddress
    private let timeout: Duration
    private var stream: Stream?
    private var parser = HTTPAnswerParser()
    private var completion: Completion?
    private var timer: EventLoop.Timer?

    init(loop: EventLoop, address: SocketAddress, timeout: Duration) {
        self.loop = loop
        self.address = address
        self.timeout = timeout
    }

    deinit { loop.cancel(timer) }

    /// Whether a request waits for its answer.
    var isBusy: Bool { completion != nil }

    /// Sends a request; the answer comes on the loop. Only when it is not busy.
    func send(
        _ method: String, _ target: String, host: String, headers: [(key: String, value: String)] = [],
        body: [UInt8] = [], completion: @escaping Completion
    ) {
        precondition(!isBusy)
        var head = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
        for (key, value) in headers { head += "\(key): \(value)\r\n" }
        if !body.isEmpty { head += "Content-Length: \(body.count)\r\n" }
        self.completion = completion
        parser = HTTPAnswerParser(isHead: method == "HEAD")
        do {
            let stream = try connected()
            timer = loop.schedule(after: timeout) { [weak self] in
                self?.fail("no answer within \(self?.timeout ?? .zero)")
            }
            stream.send(Array((head + "\r\n").utf8) + body)
        } catch {
            fail("\(error)")
        }
    }

    /// Ends the connection; a waiting request gets no answer.
    func close() {
        stream?.close()
        stream = nil
        loop.cancel(timer)
        completion = nil
    }

    private func connected() throws -> Stream {
        if let stream, stream.isOpen { return stream }
        let new = try Stream(loop: loop, connectingTo: address)
        new.onData = { [weak self] in self?.receive() }
        new.onEnd = { [weak self] in self?.ended($0) }
        stream = new
        return new
    }

    private func receive() {
        guard let stream else { return }
        guard isBusy else {
            // Nothing was asked: what comes now would be taken for the answer to the next request.
            return stream.close()
        }
        do {
            guard let answer = try parser.parse(&stream.input) else { return }
            if parser.closes { stream.close() }
            finish(.success(answer))
        } catch {
            fail("\(error)")
        }
    }

    private func ended(_ reason: String) {
        guard isBusy else { return }
        if let answer = parser.endOfStream(stream?.input ?? []) { return finish(.success(answer)) }
        fail(reason)
    }

    private func fail(_ reason: String) {
        stream?.close()
        finish(.failure(CallFailure(description: reason)))
    }

    private func finish(_ result: Result<HTTPAnswer, CallFailure>) {
        loop.cancel(timer)
        let completion = self.completion
        self.completion = nil
        completion?(result)
    }
}
