/// Reads one answer from the bytes of a connection.
struct HTTPAnswerParser {
    private enum Framing {
        case length(Int)
        case chunked
        case untilEnd
    }

    private let isHead: Bool
    private var answer: HTTPAnswer?
    private var framing = Framing.untilEnd
    /// Whether the server ends the connection behind the answer.
    private(set) var closes = false

    init(isHead: Bool = false) { self.isHead = isHead }

    /// Takes the answer out of `input` once it is complete; nil until then.
    mutating func parse(_ input: inout [UInt8]) throws -> HTTPAnswer? {
        while answer == nil {
            guard let end = input.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
            let head = String(decoding: input[..<end.lowerBound], as: UTF8.self)
            input.removeSubrange(..<end.upperBound)
            try readHead(head)
        }
        guard var complete = answer else { return nil }
        switch framing {
        case .untilEnd: return nil
        case .length(let length):
            if input.count < length { return nil }
            complete.body = Array(input[..<length])
            input.removeSubrange(..<length)
        case .chunked:
            guard let (body, used) = try Self.chunks(input) else { return nil }
            complete.body = body
            input.removeSubrange(..<used)
        }
        return complete
    }

    /// The answer whose body is everything up to the end of the connection; nil for others.
    func endOfStream(_ input: [UInt8]) -> HTTPAnswer? {
        guard var complete = answer, case .untilEnd = framing else { return nil }
        complete.body = input
        return complete
    }

    private mutating func readHead(_ text: String) throws {
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)
        let parts = lines[0].split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1]), (100...999).contains(status)
        else { throw CallFailure(description: "not an HTTP answer: \(lines[0].prefix(60))") }
        // Interim answers come before the real one.
        if status < 200 { return }
        var read = HTTPAnswer(status: status, headers: [], body: [])
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else {
                throw CallFailure(description: "not a header field: \(line.prefix(60))")
            }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            read.headers.append((String(line[..<colon]), String(value)))
        }
        closes = read.header("connection")?.lowercased() == "close"
        framing = try Self.framing(of: read, isHead: isHead)
        if case .untilEnd = framing { closes = true }
        answer = read
    }

    private static func framing(of answer: HTTPAnswer, isHead: Bool) throws -> Framing {
        if isHead || answer.status == 204 || answer.status == 304 { return .length(0) }
        let lengths = answer.headers.filter { $0.name.lowercased() == "content-length" }
        if answer.header("transfer-encoding")?.lowercased() == "chunked" {
            guard lengths.isEmpty else { throw CallFailure(description: "answer with two kinds of framing") }
            return .chunked
        }
        guard let text = lengths.first?.value else { return .untilEnd }
        guard lengths.count == 1, let length = Int(text), length >= 0 else {
            throw CallFailure(description: "answer with a bad Content-Length")
        }
        return .length(length)
    }

    /// The joined chunks and how many bytes they took; nil when the last one is not there yet.
    private static func chunks(_ input: [UInt8]) throws -> (body: [UInt8], used: Int)? {
        var body: [UInt8] = []
        var position = 0
        while true {
            guard let end = lineEnd(input, from: position) else { return nil }
            let line = String(decoding: input[position..<end], as: UTF8.self)
            guard let size = Int(line.prefix { $0 != ";" }, radix: 16), size >= 0, size < 1 << 30 else {
                throw CallFailure(description: "bad chunk size: \(line.prefix(60))")
            }
            position = end + 2
            if size == 0 { break }
            guard input.count >= position + size + 2 else { return nil }
            body += input[position..<position + size]
            position += size
            guard input[position] == 0x0d, input[position + 1] == 0x0a else {
                throw CallFailure(description: "chunk without an end")
            }
            position += 2
        }
        // Trailers, then an empty line.
        while let end = lineEnd(input, from: position) {
            if end == position { return (body, end + 2) }
            position = end + 2
        }
        return nil
    }

    private static func lineEnd(_ input: [UInt8], from start: Int) -> Int? {
        var position = start
        while position + 1 < input.count {
            if input[position] == 0x0d && input[position + 1] == 0x0a { return position }
            position += 1
        }
        return nil
    }
}
