import Glibc
import Runtime

@testable import Discovery

/// An HTTP server on the test's own loop whose every answer is scripted, faults included.
final class FakeServer {
    /// What a request said.
    struct Request {
        let method: String
        let path: String
        let query: [String: String]
        let headers: [String: String]
        let body: String

        /// Parameters of the form body.
        var form: [String: String] { FakeServer.parameters(body) }
    }

    /// What the server does with a request.
    enum Answer {
        /// A whole answer.
        case status(Int, String, headers: [(String, String)] = [])
        /// These bytes as they are; the connection closes after them if told so.
        case raw(String, close: Bool)
        /// Nothing; the connection stays open.
        case silence
        /// The connection is reset.
        case reset
        /// Whatever is given to `complete` with this number.
        case later(Int)

        static func ok(_ body: String) -> Answer { .status(200, body) }
    }

    let port: UInt16
    /// Called for each whole request.
    var handler: (Request) -> Answer
    /// All requests, oldest first.
    private(set) var requests: [Request] = []
    /// Connections accepted since the start.
    private(set) var accepted = 0
    /// Requests that were read and not answered yet; with `holding` set they are answered by `releaseOne`.
    var holding = false
    private(set) var held: [(Int32, Request)] = []
    /// Most requests that were held at one time.
    private(set) var mostHeld = 0

    /// Connections with an answer that may go on, oldest first.
    private(set) var streams: [Int32] = []

    private let loop: EventLoop
    private let listener: Listener
    private var inputs: [Int32: [UInt8]] = [:]
    private var outputs: [Int32: ArraySlice<UInt8>] = [:]
    private var closing: Set<Int32> = []
    /// Descriptors are used again, these numbers are not.
    private var numbers: [Int32: Int] = [:]
    private var postponed: [Int: (connection: Int32, serial: Int?)] = [:]

    init(loop: EventLoop, port: UInt16 = 0, handler: @escaping (Request) -> Answer) throws {
        self.loop = loop
        self.handler = handler
        listener = try Listener(loop: loop, port: port)
        self.port = listener.port
        listener.onConnection = { [unowned self] in accept($0) }
    }

    deinit { stop() }

    var base: String { "http://127.0.0.1:\(port)" }

    /// Closes the listening socket and resets every connection, as a killed process does.
    func stop() {
        for connection in inputs.keys { abort(connection) }
        listener.close()
    }

    /// Listens again on the same port.
    func restart() throws { try listener.listen() }

    func releaseOne() {
        guard !held.isEmpty else { return }
        let (connection, request) = held.removeFirst()
        answer(connection, handler(request))
    }

    /// Sends more on the last connection whose answer goes on.
    func push(_ text: String, close: Bool = false) {
        guard let connection = streams.last else { return }
        outputs[connection, default: []] += Array(text.utf8)
        if close { closing.insert(connection) }
        flush(connection)
    }

    /// Resets the last connection whose answer goes on.
    func resetStream() {
        if let connection = streams.last { abort(connection) }
    }

    /// Bytes that the peers have not taken yet.
    var unsent: Int { outputs.values.reduce(0) { $0 + $1.count } }

    /// The head of an answer that goes on in chunks.
    static let chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    /// A whole chunk.
    static func chunk(_ text: String) -> String { String(text.utf8.count, radix: 16) + "\r\n" + text + "\r\n" }

    static func parameters(_ text: some StringProtocol) -> [String: String] {
        var values: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            values[PercentEncoding.decode(parts[0]) ?? ""] = parts.count > 1 ? PercentEncoding.decode(parts[1]) : ""
        }
        return values
    }

    private func accept(_ connection: Int32) {
        accepted += 1
        inputs[connection] = []
        numbers[connection] = accepted
        watch(connection)
    }

    private func watch(_ connection: Int32) {
        let interest: Readiness = outputs[connection] == nil ? .readable : [.readable, .writable]
        loop.watch(connection, interest) { [unowned self] readiness in
            if readiness.contains(.writable) { flush(connection) }
            if inputs[connection] != nil { read(connection) }
        }
    }

    private func read(_ connection: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(connection, &buffer, buffer.count, 0)
        if count < 0 && errno == EAGAIN { return }
        guard count > 0 else { return drop(connection) }
        inputs[connection]? += buffer[0..<count]
        while let request = takeRequest(connection) {
            requests.append(request)
            if holding {
                held.append((connection, request))
                mostHeld = max(mostHeld, held.count)
            } else {
                answer(connection, handler(request))
            }
        }
    }

    private func takeRequest(_ connection: Int32) -> Request? {
        guard let input = inputs[connection], let end = input.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: input[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = lines[0].split(separator: " ")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].drop { $0 == " " }.description : ""
        }
        let length = Int(headers["content-length"] ?? "0") ?? 0
        guard input.count - end.upperBound >= length else { return nil }
        let body = String(decoding: input[end.upperBound..<(end.upperBound + length)], as: UTF8.self)
        inputs[connection]?.removeFirst(end.upperBound + length)
        let target = words[1].split(separator: "?", maxSplits: 1)
        return Request(
            method: String(words[0]), path: String(target[0]),
            query: target.count > 1 ? Self.parameters(target[1]) : [:], headers: headers, body: body)
    }

    private func answer(_ connection: Int32, _ answer: Answer) {
        guard inputs[connection] != nil else { return }
        switch answer {
        case .status(let status, let body, let headers):
            var text = "HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n"
            for (name, value) in headers { text += "\(name): \(value)\r\n" }
            outputs[connection, default: []] += Array((text + "\r\n" + body).utf8)
            flush(connection)
        case .raw(let text, let close):
            outputs[connection, default: []] += Array(text.utf8)
            if close { closing.insert(connection) } else { streams.append(connection) }
            flush(connection)
        case .silence: break
        case .reset: abort(connection)
        case .later(let number): postponed[number] = (connection, numbers[connection])
        }
    }

    /// Answers a request that was postponed; nothing if its connection is gone.
    func complete(_ number: Int, _ answer: Answer) {
        guard let (connection, serial) = postponed.removeValue(forKey: number), serial == numbers[connection] else {
            return
        }
        self.answer(connection, answer)
    }

    private func flush(_ connection: Int32) {
        while let output = outputs[connection], !output.isEmpty {
            let count = output.withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EAGAIN { return watch(connection) }
            guard count > 0 else { return drop(connection) }
            outputs[connection] = output.dropFirst(count)
        }
        outputs[connection] = nil
        if closing.contains(connection) { return drop(connection) }
        watch(connection)
    }

    private func abort(_ connection: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        drop(connection)
    }

    private func drop(_ connection: Int32) {
        guard inputs.removeValue(forKey: connection) != nil else { return }
        streams.removeAll { $0 == connection }
        outputs[connection] = nil
        numbers[connection] = nil
        closing.remove(connection)
        loop.unwatch(connection)
        close(connection)
    }
}
