/// Takes HTTP/1 messages apart, for both sides; on purpose without the codec under test.
struct HTTPReader {
    struct Head {
        var first: [String] = []
        var fields: [(name: String, value: String)] = []

        func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }

        var number: Int? { field("x-token").flatMap { Int($0) } }
    }

    enum Event {
        case head(Head)
        case body([UInt8])
        case end
        case bad(String)
    }

    private enum State {
        case head
        case length(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailer
        case untilClose
    }

    private var state = State.head

    /// In the middle of a message.
    var isWithin: Bool { if case .head = state { false } else { true } }
    /// The message ends with the connection.
    var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    /// The next thing in the bytes; nil when it is not whole.
    mutating func next(_ bytes: inout ByteQueue) -> Event? {
        switch state {
        case .head: return readHead(&bytes)
        case .length(0):
            state = .head
            return .end
        case .length(let left): return readBody(&bytes, left) { .length(left - $0) }
        case .chunk(let left):
            if left == 0 {
                state = .chunkEnd
                return next(&bytes)
            }
            return readBody(&bytes, left) { .chunk(left - $0) }
        case .chunkSize:
            guard let line = readLine(&bytes) else { return nil }
            guard let size = Int(line, radix: 16) else { return .bad("chunk size \(line)") }
            state = size == 0 ? .trailer : .chunk(size)
            return next(&bytes)
        case .chunkEnd:
            guard let line = readLine(&bytes) else { return nil }
            if !line.isEmpty { return .bad("chunk end \(line)") }
            state = .chunkSize
            return next(&bytes)
        case .trailer:
            guard let line = readLine(&bytes) else { return nil }
            if !line.isEmpty { return next(&bytes) }
            state = .head
            return .end
        case .untilClose: return bytes.isEmpty ? nil : .body(bytes.take(bytes.count))
        }
    }

    /// The connection has ended, and the message with it.
    mutating func finish() { state = .head }

    /// Says how the body behind the head ends.
    mutating func expectBody(_ head: Head, isResponse: Bool, isBare: Bool) {
        if isBare {
            state = .length(0)
        } else if head.field("transfer-encoding") == "chunked" {
            state = .chunkSize
        } else if let length = head.field("content-length").flatMap({ Int($0) }) {
            state = .length(length)
        } else {
            state = isResponse ? .untilClose : .length(0)
        }
    }

    private mutating func readHead(_ bytes: inout ByteQueue) -> Event? {
        guard let end = bytes.end(of: "\r\n\r\n") else { return nil }
        let lines = bytes.take(end).split(separator: 13)
        var head = Head()
        head.first = lines.first?.split(separator: 32, maxSplits: 2).map { String(decoding: $0, as: UTF8.self) } ?? []
        if head.first.count < 2 { return .bad("head \(head.first)") }
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: 58) else { continue }
            // The line before has left its line feed.
            let name = line[line.startIndex..<colon].drop { $0 == 10 }.map { $0 >= 65 && $0 <= 90 ? $0 + 32 : $0 }
            let value = line[(colon + 1)...].drop { $0 == 32 }
            head.fields.append((String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
        }
        return .head(head)
    }

    private mutating func readBody(_ bytes: inout ByteQueue, _ left: Int, _ rest: (Int) -> State) -> Event? {
        if bytes.isEmpty { return nil }
        let count = min(left, bytes.count)
        state = rest(count)
        return .body(bytes.take(count))
    }

    private func readLine(_ bytes: inout ByteQueue) -> String? {
        guard let end = bytes.end(of: "\r\n") else { return nil }
        return String(decoding: bytes.take(end).dropLast(2), as: UTF8.self)
    }
}
