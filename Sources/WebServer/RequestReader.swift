import Codecs

/// Makes whole requests of the bytes of one connection.
struct RequestReader {
    enum Outcome {
        /// More bytes are needed; `wantsContinue` once for a request whose sender waits to be told to go on.
        case incomplete(wantsContinue: Bool)
        /// Not a request, or too much of one: answer with this status and close.
        case invalid(status: Int)
        /// A request with its body.
        case request(Request, keepsAlive: Bool)
    }

    /// A request whose body is not complete.
    private struct Pending {
        var request: Request
        var keepsAlive: Bool
        /// Bytes of a body with a length; nil for a chunked one.
        var length: Int?
        var chunks = HTTP1.ChunkedState()
        var wantsContinue: Bool
    }

    private let headLimit: Int
    private let bodyLimit: Int
    private var buffer: [UInt8] = []
    private var scan = HTTP1.ScanState()
    private var pending: Pending?

    init(headLimit: Int, bodyLimit: Int) {
        self.headLimit = headLimit
        self.bodyLimit = bodyLimit
    }

    /// Whether there is no part of a request.
    var isEmpty: Bool { buffer.isEmpty && pending == nil }

    mutating func append(_ bytes: UnsafeRawBufferPointer) { buffer += bytes }

    /// The next request, if it is complete.
    mutating func next() -> Outcome {
        if pending == nil {
            if buffer.isEmpty { return .incomplete(wantsContinue: false) }
            if let stop = readHead() { return stop }
        }
        guard var current = pending else { return .incomplete(wantsContinue: false) }
        pending = nil
        let isComplete: Bool
        if let length = current.length {
            isComplete = takeBody(of: length, into: &current)
        } else {
            switch takeChunks(into: &current) {
            case .done: isComplete = true
            case .needMore: isComplete = false
            case .invalid(let status): return .invalid(status: status)
            }
        }
        if isComplete { return .request(current.request, keepsAlive: current.keepsAlive) }
        let wantsContinue = current.wantsContinue
        current.wantsContinue = false
        pending = current
        return .incomplete(wantsContinue: wantsContinue)
    }

    // MARK: Head

    /// Reads a head into `pending`; returns what to tell when that is not possible.
    private mutating func readHead() -> Outcome? {
        var head = HTTP1.RequestHead()
        var fields = HTTP1.FieldTable()
        let result = buffer.withUnsafeBufferPointer {
            HTTP1.parseRequestHead(
                $0.baseAddress!, count: $0.count, limit: headLimit, state: &scan, head: &head, fields: &fields)
        }
        switch result {
        case .incomplete: return .incomplete(wantsContinue: false)
        case .invalid(let error): return .invalid(status: error.status)
        case .complete: break
        }
        var length: Int?
        switch head.framing {
        case .none, .untilClose: length = 0
        case .length(let count):
            guard count <= UInt64(bodyLimit) else { return .invalid(status: 413) }
            length = Int(count)
        case .chunked: length = nil
        }
        pending = Pending(
            request: request(head, fields), keepsAlive: head.flags.contains(.keepAlive), length: length,
            wantsContinue: head.flags.contains(.expectContinue))
        buffer.removeFirst(Int(head.length))
        scan = HTTP1.ScanState()
        return nil
    }

    private func request(_ head: HTTP1.RequestHead, _ fields: borrowing HTTP1.FieldTable) -> Request {
        var headers: [HeaderField] = []
        headers.reserveCapacity(fields.count)
        for index in 0..<fields.count {
            headers.append(HeaderField(text(fields[index].name), text(fields[index].value)))
        }
        return Request(
            method: text(head.methodName), target: text(head.target), isHTTP11: head.minorVersion > 0, headers: headers)
    }

    private func text(_ range: ByteRange) -> String {
        String(decoding: buffer[Int(range.start)..<range.end], as: UTF8.self)
    }

    // MARK: Body

    private mutating func takeBody(of length: Int, into current: inout Pending) -> Bool {
        guard buffer.count >= length else { return false }
        current.request.body = Array(buffer[..<length])
        buffer.removeFirst(length)
        return true
    }

    private enum ChunkOutcome {
        case done
        case needMore
        case invalid(status: Int)
    }

    private mutating func takeChunks(into current: inout Pending) -> ChunkOutcome {
        var position = 0
        while true {
            let event = buffer.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return HTTP1.ChunkedEvent.needMore }
                return HTTP1.nextChunk(base, count: bytes.count, position: &position, state: &current.chunks)
            }
            switch event {
            case .data(let range):
                current.request.body += buffer[Int(range.start)..<range.end]
                if current.request.body.count > bodyLimit { return .invalid(status: 413) }
            case .needMore:
                buffer.removeFirst(position)
                return .needMore
            case .done:
                buffer.removeFirst(position)
                return .done
            case .invalid: return .invalid(status: 400)
            }
        }
    }
}
