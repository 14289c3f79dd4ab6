import Glibc
import Runtime

/// One connection of the server. It has one request in hand at a time, so answers keep the order of the requests; later
/// requests wait in the buffer and then in the kernel.
final class Connection {
    private enum State {
        /// Waits for a request or for the rest of it.
        case reading
        /// The handler has a request.
        case answering
        /// A streamed body is being written.
        case streaming
        /// The last answer is on its way.
        case flushing
        /// The answer is sent; what the peer still sends is thrown away until it closes. Closing at once would reset the
        /// connection and could destroy the answer on its way.
        case lingering
        case closed
    }

    let descriptor: Int32
    private weak var server: WebServer?
    private let loop: EventLoop
    private let limits: WebServer.Limits
    private var state = State.reading
    private var reader: RequestReader
    private var output: [UInt8] = []
    private var outputSent = 0
    private var interest: Readiness?
    private var isPumping = false
    /// Takes up the requests that are still in the buffer in a later turn of the loop.
    private var continuation: EventLoop.Timer?
    private var peerIsDone = false
    private var closesWhenIdle = false
    private var keepsAlive = true
    private var answersHead = false
    private var answersHTTP11 = true
    private var number = 0
    private var stateDeadline: Int64 = .max
    private var writeDeadline: Int64 = .max

    /// Above this many waiting bytes no further request is taken up.
    private static let outputMark = 256 * 1024

    init(descriptor: Int32, server: WebServer) {
        self.descriptor = descriptor
        self.server = server
        loop = server.loop
        limits = server.limits
        reader = RequestReader(headLimit: server.limits.head, bodyLimit: server.limits.body)
    }

    var isOpen: Bool { state != .closed }
    var isIdle: Bool { state == .reading && reader.isEmpty && pendingBytes == 0 }
    var pendingBytes: Int { output.count - outputSent }

    /// Monotonic nanoseconds at which `deadlinePassed` is due.
    var deadline: Int64 { min(stateDeadline, writeDeadline) }

    func start() {
        setDeadline(limits.requestTime)
        updateInterest()
    }

    func closeWhenIdle() {
        closesWhenIdle = true
        if isIdle { close() }
    }

    func close() {
        guard state != .closed else { return }
        state = .closed
        loop.cancel(continuation)
        loop.unwatch(descriptor)
        server?.forget(self)
        Socket.close(descriptor)
    }

    func deadlinePassed() {
        let isSlowRequest = state == .reading && !reader.isEmpty && pendingBytes == 0
        isSlowRequest ? refuse(status: 408) : close()
    }

    // MARK: Events

    private func ready(_ readiness: Readiness) {
        if readiness.contains(.error) || (readiness.contains(.hangUp) && !readiness.contains(.readable)) {
            return close()
        }
        if readiness.contains(.readable) { receive() }
        if state != .closed && readiness.contains(.writable) { flush() }
        pump()
    }

    private func receive() {
        let count = withUnsafeTemporaryAllocation(byteCount: 32 * 1024, alignment: 16) { buffer in
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count > 0 && state == .reading {
                if reader.isEmpty { setDeadline(limits.requestTime) }
                reader.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            return count
        }
        if count > 0 { return }
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { close() }
            return
        }
        peerIsDone = true
        if state == .lingering || isIdle { close() }
    }

    /// Takes up requests while there are any and the answers get away, and leaves the others on the loop their turns.
    private func pump() {
        guard !isPumping, continuation == nil else { return }
        isPumping = true
        let deadline = Clock.nanoseconds + EventLoop.slice.nanoseconds
        var isMore = true
        while isMore && state == .reading && pendingBytes < Self.outputMark && Clock.nanoseconds < deadline {
            isMore = takeRequest()
        }
        isPumping = false
        flush()
        // Where answers wait for the peer, the socket says when to go on.
        if isMore && state == .reading && pendingBytes < Self.outputMark { pumpLater() }
        updateInterest()
    }

    private func pumpLater() {
        continuation = loop.schedule(after: .zero) { [weak self] in
            guard let self else { return }
            continuation = nil
            pump()
        }
    }

    /// False when the next request is not complete.
    private func takeRequest() -> Bool {
        switch reader.next() {
        case .incomplete(let wantsContinue):
            if wantsContinue { send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
            if peerIsDone { reader.isEmpty && pendingBytes > 0 ? finish() : close() }
            return false
        case .invalid(let status):
            refuse(status: status)
            return true
        case .request(let request, let keepsAlive):
            start(request, keepsAlive: keepsAlive)
            return true
        }
    }

    private func start(_ request: Request, keepsAlive: Bool) {
        guard let server else { return close() }
        state = .answering
        self.keepsAlive = keepsAlive
        answersHead = request.method == "HEAD"
        answersHTTP11 = request.isHTTP11
        stateDeadline = .max
        number += 1
        let number = self.number
        server.handler(request) { [weak self] response in
            guard let self, self.number == number, self.state == .answering else { return }
            self.answer(response)
            self.pump()
        }
    }

    // MARK: Answers

    /// Answers what is not a request and ends the connection.
    private func refuse(status: Int) {
        keepsAlive = false
        answersHead = false
        answersHTTP11 = true
        state = .answering
        answer(.text(Response.reason(of: status) + "\n", status: status))
        pump()
    }

    private func answer(_ response: Response) {
        if response.closesConnection || closesWhenIdle { keepsAlive = false }
        let hasBody = !answersHead && response.status != 204 && response.status != 304
        switch response.body {
        case .bytes(let bytes):
            var head = self.head(response)
            if response.status != 204 { head += "Content-Length: \(bytes.count)\r\n" }
            send(Array((head + "\r\n").utf8))
            if hasBody { send(bytes) }
            responseEnded()
        case .stream(let produce):
            // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
            if !answersHTTP11 { keepsAlive = false }
            let head = self.head(response) + (answersHTTP11 ? "Transfer-Encoding: chunked\r\n" : "")
            send(Array((head + "\r\n").utf8))
            state = .streaming
            produce(BodyWriter(self, isChunked: answersHTTP11, isDiscarded: !hasBody))
        }
    }

    private func head(_ response: Response) -> String {
        var text = "HTTP/1.1 \(response.status) \(Response.reason(of: response.status))\r\n"
        for field in response.headers {
            // A line end in a value would let whoever chose the value write header fields of his own.
            text += "\(field.name): \(String(field.value.map { $0.isNewline ? " " : $0 }))\r\n"
        }
        if !keepsAlive {
            text += "Connection: close\r\n"
        } else if !answersHTTP11 {
            text += "Connection: keep-alive\r\n"
        }
        return text
    }

    /// The handler's answer is complete.
    func responseEnded() {
        guard state == .answering || state == .streaming else { return }
        if keepsAlive && !closesWhenIdle {
            state = .reading
            setDeadline(reader.isEmpty ? limits.idleTime : limits.requestTime)
        } else {
            finish()
        }
        pump()
    }

    private func finish() {
        state = .flushing
        stateDeadline = .max
        flush()
    }

    // MARK: Output

    func send(_ bytes: [UInt8]) {
        guard state != .closed else { return }
        output += bytes
        if !isPumping { flush() }
    }

    private func flush() {
        guard state != .closed else { return }
        var progress = false
        while pendingBytes > 0 {
            let count = output.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[outputSent...])
                return Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { return close() }
                break
            }
            outputSent += count
            progress = true
        }
        if progress || writeDeadline == .max { writeDeadline = Clock.nanoseconds &+ limits.writeTime.nanoseconds }
        if pendingBytes == 0 {
            writeDeadline = .max
            output.removeAll(keepingCapacity: output.capacity <= Self.outputMark)
            outputSent = 0
            if state == .flushing { linger() }
        } else if outputSent > Self.outputMark {
            output.removeFirst(outputSent)
            outputSent = 0
        }
        updateInterest()
    }

    private func linger() {
        if peerIsDone { return close() }
        state = .lingering
        shutdown(descriptor, Int32(SHUT_WR))
        setDeadline(.seconds(1))
    }

    private func setDeadline(_ time: Duration) { stateDeadline = Clock.nanoseconds &+ time.nanoseconds }

    private func updateInterest() {
        guard state != .closed else { return }
        var wanted: Readiness = pendingBytes > 0 ? .writable : []
        // What is in the buffer comes first, or a peer that never stops would fill it.
        let isBehind = continuation != nil || state == .reading && pendingBytes >= Self.outputMark
        if (state == .reading || state == .lingering) && !peerIsDone && !isBehind { wanted.insert(.readable) }
        if wanted == interest { return }
        interest = wanted
        loop.watch(descriptor, wanted) { [weak self] in self?.ready($0) }
    }
}
