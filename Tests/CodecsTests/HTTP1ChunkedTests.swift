import Codecs
import Testing

@Suite struct HTTP1ChunkedTests {
    /// What following a body came to: the end, and the data in it.
    private struct Followed: Equatable {
        var consumed: Int?
        var error: HTTP1.ChunkError?
        var data: [UInt8] = []
    }

    /// Follows a body whose bytes come in pieces, both ways, which must agree.
    private func follow(_ body: [UInt8], pieces: [Int]) -> Followed {
        let verbatim = forward(body, pieces)
        let taken = takeApart(body, pieces)
        #expect(verbatim.consumed == taken.consumed)
        #expect(verbatim.error == taken.error)
        return taken
    }

    private func forward(_ body: [UInt8], _ pieces: [Int]) -> Followed {
        var state = HTTP1.ChunkedState()
        var start = 0
        for piece in pieces {
            let end = min(start + piece, body.count)
            switch withExactCopy(body[start..<end], { HTTP1.advanceChunked($0, count: $1, state: &state) }) {
            case .needMore: start = end
            case .done(let consumed): return Followed(consumed: start + consumed)
            case .invalid(let error): return Followed(error: error)
            }
        }
        #expect(!state.isDone)
        return Followed()
    }

    private func takeApart(_ body: [UInt8], _ pieces: [Int]) -> Followed {
        var state = HTTP1.ChunkedState()
        var result = Followed()
        var start = 0
        for piece in pieces {
            let end = min(start + piece, body.count)
            let goesOn = withExactCopy(body[start..<end]) { bytes, count in
                var position = 0
                while true {
                    switch HTTP1.nextChunk(bytes, count: count, position: &position, state: &state) {
                    case .data(let range):
                        for index in Int(range.start)..<range.end { result.data.append(bytes[index]) }
                    case .needMore: return true
                    case .done:
                        result.consumed = start + position
                        return false
                    case .invalid(let error):
                        result.error = error
                        return false
                    }
                }
            }
            guard goesOn else { return result }
            start = end
        }
        return result
    }

    @Test(arguments: [
        ("0\r\n\r\n", ""), ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\n1\r\nx\r\n00\r\n\r\n", "0123456789x"),
        ("5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "hello"), ("5 ;a\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\t ; a = b\r\nhello\r\n0\r\n\r\n", "hello"), ("0000000000000003\r\nabc\r\n0\r\n\r\n", "abc"),
        ("1;a=\"\\\"\\\\\t;\" ; b\r\nx\r\n0\r\n\r\n", "x"), ("1;a=\"\";b = \"c\"\r\nx\r\n0\r\n\r\n", "x"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"), ("1\r\nx\r\n0\r\nX-Sum: 1\r\nY:\t2 \r\n\r\n", "x"),
        ("0\r\nHosts: a\r\nContent-Lengt: 5\r\nTransfer-Encodings: x\r\n\r\n", ""),
        ("0\r\nproxy: a\r\nETag: 1\r\ngrpc-status: 0\r\nServer-Timing: a\r\n\r\n", ""),
    ])
    func goodBodies(_ body: String, _ data: String) {
        let bytes = Array((body + "next").utf8)
        let whole = follow(bytes, pieces: [bytes.count])
        #expect(whole == Followed(consumed: body.utf8.count, data: Array(data.utf8)))
        for piece in 1...7 {
            #expect(follow(bytes, pieces: Array(repeating: piece, count: bytes.count)) == whole)
        }
        for end in 0..<body.utf8.count { #expect(follow(bytes, pieces: [end]).consumed == nil) }
    }

    @Test(arguments: [
        ("\r\n", HTTP1.ChunkError.badSize), ("x\r\n", .badSize), ("-1\r\n", .badSize), ("+1\r\n", .badSize),
        (" 1\r\n", .badSize), ("0x1\r\n", .badSize), ("1g\r\n", .badSize), (";a\r\n", .badSize),
        ("00000000000000001\r\n", .badSize), ("8000000000000000\r\n", .badSize), ("ffffffffffffffff\r\n", .badSize),
        ("fffffffffffffffff\r\n", .badSize), ("1\n", .badLineEnd), ("1\rx", .badLineEnd), ("1 \r\n", .badLineEnd),
        ("1 x\r\n", .badExtension), ("1;a\0\r\n", .badExtension), ("1;a\u{7f}\r\n", .badExtension),
        ("1;a\nb\r\n", .badLineEnd), ("1;a\rb\r\n", .badLineEnd), ("1\r\nxy", .badLineEnd), ("1\r\nx\n", .badLineEnd),
        ("1\r\nx\r\r", .badLineEnd), ("1\r\nx\r\n\r\n", .badSize), ("0\r\n\n", .badLineEnd), ("0\r\n\r\r", .badLineEnd),
        ("0\r\n a: b\r\n", .badTrailer), ("0\r\na : b\r\n", .badTrailer), ("0\r\n: b\r\n", .badTrailer),
        ("0\r\na\r\n", .badTrailer), ("0\r\na: \u{1}\r\n", .badTrailer), ("0\r\na: b\n", .badLineEnd),
        ("0\r\na: b\rc", .badLineEnd), ("0\r\na: b\r\n c\r\n", .badTrailer), ("0\r\na\n", .badLineEnd),
        ("0\r\nContent-Length: 5\r\n", .forbiddenTrailer), ("0\r\na: b\r\ntransfer-ENCODING: x\r\n", .forbiddenTrailer),
        ("0\r\nhOST:a\r\n", .forbiddenTrailer),
        ("5;\r\n", .badExtension), ("5;=b\r\n", .badExtension), ("5;a=\r\n", .badExtension),
        ("5;a=\"x\r\n", .badExtension), ("5;a=\"x\\\r\n", .badExtension), ("5;a=\"x\"y\r\n", .badExtension),
        ("5;a b\r\n", .badExtension), ("5;a=b c\r\n", .badExtension), ("5;a==b\r\n", .badExtension),
        ("5;;a\r\n", .badExtension), ("5;a;\r\n", .badExtension), ("5;\u{80}\r\n", .badExtension),
        ("5;a=\u{e9}\r\n", .badExtension), ("5;a=\"\u{e9}\"\r\n", .badExtension), ("5;a=b \r\n", .badLineEnd),
    ])
    func badBodies(_ body: String, _ error: HTTP1.ChunkError) {
        let bytes = Array(body.utf8)
        #expect(follow(bytes, pieces: [bytes.count]).error == error)
        #expect(follow(bytes, pieces: Array(repeating: 1, count: bytes.count)).error == error)
    }

    @Test(arguments: [
        "Authorization", "Connection", "Content-Length", "Transfer-Encoding", "Host", "Content-Type",
        "Content-Encoding",
        "Content-Range", "Trailer", "TE", "Cookie", "Set-Cookie", "Cache-Control", "Expect", "Max-Forwards", "Pragma",
        "Range", "Age", "Expires", "Date", "Location", "Retry-After", "Vary", "Warning", "Keep-Alive", "Upgrade",
        "Proxy-Authorization", "proxy-anything", "If-Match", "WWW-Authenticate", "X-Forwarded-For",
    ])
    func trailersThatWouldChangeTheMessageAreRefused(_ name: String) {
        let bytes = Array("0\r\nX-Sum: 1\r\n\(name): a\r\n\r\n".utf8)
        #expect(follow(bytes, pieces: [bytes.count]).error == .forbiddenTrailer)
        #expect(follow(bytes, pieces: Array(repeating: 1, count: bytes.count)).error == .forbiddenTrailer)
    }

    @Test func limitsAreExact() {
        func line(_ length: Int) -> [UInt8] {
            Array(("0;" + String(repeating: "x", count: length - 4) + "\r\n\r\n").utf8)
        }
        #expect(follow(line(256), pieces: [999]).consumed == 258)
        #expect(follow(line(257), pieces: [999]).error == .lineTooLong)
        func trailers(_ length: Int) -> [UInt8] {
            Array(("0\r\na:" + String(repeating: "x", count: length - 6) + "\r\n\r\n").utf8)
        }
        #expect(follow(trailers(65536), pieces: [99999]).consumed == 65536 + 3)
        #expect(follow(trailers(65537), pieces: [99999]).error == .trailersTooLarge)
        // The largest size is believed, and nothing overflows on the way there.
        #expect(follow(Array("7fffffffffffffff\r\nabc".utf8), pieces: [99]) == Followed(data: Array("abc".utf8)))
    }

    @Test func randomBodiesComeOutAsTheyWent() {
        var random = FixedRandom(seed: 3)
        for _ in 0..<300 {
            var body: [UInt8] = []
            var data: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let count = Int.random(in: 1...200, using: &random)
                let chunk = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                withUnsafeTemporaryAllocation(of: UInt8.self, capacity: HTTP1.chunkSizeBound) { line in
                    guard let base = line.baseAddress else { return }
                    body.append(contentsOf: line.prefix(HTTP1.writeChunkSize(count, into: base)))
                }
                body += chunk + [13, 10]
                data += chunk
            }
            body += Array("\(HTTP1.lastChunk)".utf8)
            let pieces = (0..<body.count).map { _ in Int.random(in: 0...40, using: &random) } + [body.count]
            let end = body.count
            let followed = follow(body + Array("0\r\n".utf8), pieces: pieces)
            #expect(followed == Followed(consumed: end, data: data))
        }
    }

    @Test func mutatedBodiesNeverTrapAndArriveAlike() {
        var random = FixedRandom(seed: 4)
        let original = Array(
            "5;a=\"b\"\r\nhello\r\n1f\r\n0123456789012345678901234567890\r\n0\r\nX-A: b\r\nHosti: c\r\n\r\n".utf8)
        var finished = 0
        for _ in 0..<4000 {
            var body = original
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                let place = Int.random(in: 0..<body.count, using: &random)
                body[place] = UInt8.random(in: 0...255, using: &random)
            }
            let whole = follow(body, pieces: [body.count])
            let split = follow(body, pieces: (0...body.count).map { _ in Int.random(in: 1...9, using: &random) })
            #expect(whole == split)
            if whole.consumed != nil { finished += 1 }
        }
        #expect(finished > 400 && finished < 3900, "both outcomes must be met: \(finished)")
    }
}
