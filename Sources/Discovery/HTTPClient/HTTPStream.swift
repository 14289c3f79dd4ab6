import CCurl
import Runtime

/// What has come of an endless answer and waits to be handed out, and since when it has been silent.
final class HTTPStream {
    /// The streams that have something to hand out.
    final class Fed {
        var numbers: [UInt64] = []
    }

    /// Longest time without a byte.
    let idleTimeout: Duration
    /// Most bytes that wait; then nothing is read from the connection.
    let maximumWaiting: Int
    let take: ([UInt8]) -> Void
    /// Monotonic nanoseconds.
    var lastActivity = Clock.nanoseconds
    /// Nobody wants pieces now.
    var isPaused = false
    /// libcurl was told to keep a piece and to read no further.
    private(set) var isHeld = false
    var number: UInt64 = 0
    var watchdog: EventLoop.Timer?

    private var pieces: [UInt8] = []
    private let fed: Fed

    init(idleTimeout: Duration, maximumWaiting: Int, fed: Fed, take: @escaping ([UInt8]) -> Void) {
        self.idleTimeout = idleTimeout
        self.maximumWaiting = maximumWaiting
        self.fed = fed
        self.take = take
    }

    /// Adds a piece; false when it has to be kept by the caller.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        lastActivity = Clock.nanoseconds
        isHeld = isPaused || !pieces.isEmpty && pieces.count + bytes.count > maximumWaiting
        if isHeld { return false }
        if pieces.isEmpty { fed.numbers.append(number) }
        pieces += bytes
        return true
    }

    /// Takes out what waits.
    func takePieces() -> [UInt8] {
        defer { pieces = [] }
        return pieces
    }

    func goOn() { isHeld = false }

    func end(_ loop: EventLoop) {
        loop.cancel(watchdog)
        watchdog = nil
    }
}

extension HTTPClient {
    /// Sends a request whose answer does not end, and hands its body out piece by piece.
    ///
    /// It has a connection of its own, so that it takes none of those ordinary requests wait for, and no limit for the whole.
    /// Only the body of an answer with status 2xx is handed out; others are collected, as `send` does.
    ///
    /// - Parameters:
    ///   - request: its `timeout` does not count.
    ///   - idleTimeout: longest time without a byte, from the start on; then the exchange ends with `.timedOut`.
    ///   - maximumWaiting: about how many bytes are kept between two calls of `take`, 64 KiB or more.
    ///   - take: gets what has come since its last call, on the loop.
    ///   - completion: called once with how it ended, after the last piece, unless the call is cancelled before.
    public func stream(
        _ request: HTTPRequest, idleTimeout: Duration, maximumWaiting: Int = 1 << 20,
        take: @escaping ([UInt8]) -> Void, completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) -> Call {
        let stream = HTTPStream(
            idleTimeout: idleTimeout, maximumWaiting: max(65_536, maximumWaiting), fed: fed, take: take)
        let call = send(request, stream: stream, completion: completion)
        guard let transfer = transfers[call.number] else { return call }
        stream.number = call.number
        watch(transfer, stream, after: idleTimeout)
        return call
    }

    /// Hands nothing out and reads nothing from the connection of a stream until `resume`.
    public func pause(_ call: Call) { transfers[call.number]?.stream?.isPaused = true }

    /// Goes on after `pause`.
    public func resume(_ call: Call) {
        guard let transfer = transfers[call.number], let stream = transfer.stream, stream.isPaused else { return }
        stream.isPaused = false
        stream.lastActivity = Clock.nanoseconds
        fed.numbers.append(call.number)
        loop.schedule(after: .zero) { [weak self] in self?.handOutPieces() }
    }

    /// Gives waiting pieces to their takers, who may do anything with the client.
    func handOutPieces() {
        while let number = fed.numbers.popLast() {
            guard let transfer = transfers[number], let stream = transfer.stream, !stream.isPaused else { continue }
            let pieces = stream.takePieces()
            if !pieces.isEmpty { stream.take(pieces) }
            letGoOn(number)
        }
    }

    /// Gives the last pieces of a stream that has ended to its taker, also when it is paused.
    func handOutRest(_ transfer: HTTPTransfer) {
        guard let stream = transfer.stream else { return }
        let pieces = stream.takePieces()
        if !pieces.isEmpty { stream.take(pieces) }
    }

    /// Lets libcurl hand over what it was told to keep. It does so at once, and may find that this is too much again.
    private func letGoOn(_ number: UInt64) {
        guard let transfer = transfers[number], let stream = transfer.stream, stream.isHeld, !stream.isPaused,
            let easy = transfer.easy
        else { return }
        stream.goOn()
        curl_easy_pause(easy, CURLPAUSE_CONT)
    }

    private func watch(_ transfer: HTTPTransfer, _ stream: HTTPStream, after time: Duration) {
        stream.watchdog = loop.schedule(after: time) { [weak self, unowned transfer, unowned stream] in
            guard let self else { return }
            let silence = Clock.nanoseconds - stream.lastActivity
            let left = stream.idleTimeout.nanoseconds - silence
            if stream.isPaused {
                watch(transfer, stream, after: stream.idleTimeout)
            } else if left > 0 {
                watch(transfer, stream, after: .nanoseconds(left))
            } else {
                finish(transfer, .failure(.timedOut(stream.idleTimeout)))
            }
        }
    }
}

/// Cuts a stream into lines.
struct LineSplitter {
    /// Longest line in bytes.
    let maximum: Int
    private var rest: [UInt8] = []

    init(maximum: Int) { self.maximum = maximum }

    /// Bytes of a line that has not ended.
    var waiting: Int { rest.count }

    /// Takes a piece and returns the lines that end in it, without their ends and without empty ones; nil when a line is
    /// longer than allowed.
    mutating func take(_ piece: [UInt8]) -> [[UInt8]]? {
        var lines: [[UInt8]] = []
        var start = 0
        while let end = piece[start...].firstIndex(of: UInt8(ascii: "\n")) {
            guard rest.count + end - start <= maximum else { return nil }
            var line = rest + piece[start..<end]
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if !line.isEmpty { lines.append(line) }
            rest = []
            start = end + 1
        }
        guard rest.count + piece.count - start <= maximum else { return nil }
        rest += piece[start...]
        return lines
    }
}
