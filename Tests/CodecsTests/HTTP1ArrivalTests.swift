import Codecs
import Testing

/// However the bytes arrive, and whatever they are, the outcome is the same and nothing is read beyond them.
@Suite struct HTTP1ArrivalTests {
    static let requests = [
        "GET /api/orders/12345?expand=items HTTP/1.1\r\nHost: orders.demo.svc:8080\r\nAccept: */*\r\n\r\n",
        "\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
        "GET http://a.b:80?x HTTP/1.1\r\nHost: z\r\nConnection: close, x-drop\r\nX-Drop: 1\r\nTE: trailers\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AA==\r\n\r\n",
        "PUT / HTTP/1.0\r\nContent-Length: 77\r\nEmpty:\r\nTabs:\t\ta\tb\t \r\nConnection: keep-alive\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:9\r\nod!d^na|me: v\r\nVia: 1.1 x\r\n\r\n",
    ]

    static let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n",
        "HTTP/1.0 404\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 A\tb\u{e4}\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nConnection: x-a\r\nX-A: 1\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX-Greymesh-Version: 9\r\nKeep-Alive: timeout=5\r\n\r\n",
    ]

    @Test(arguments: requests)
    func requestsInPieces(_ request: String) {
        let message = Array((request + "tail").utf8)
        let whole = parseRequest(message)
        #expect(whole.result == .complete)
        let length = Int(whole.head.length)
        #expect(length == request.utf8.count)
        let single = parseRequest(message, ends: Array(0...message.count))
        #expect(single == whole)
        #expect(single.needed == length, "neither earlier nor later than with the last byte of the head")
        for first in 0...message.count {
            #expect(parseRequest(message, ends: [first, message.count]) == whole)
        }
        for end in 0..<length { #expect(parseRequest(Array(message[..<end])).result == .incomplete) }
    }

    @Test(arguments: responses)
    func responsesInPieces(_ response: String) {
        let message = Array((response + "tail").utf8)
        let whole = parseResponse(message)
        #expect(whole.result == .complete)
        #expect(Int(whole.head.length) == response.utf8.count)
        #expect(parseResponse(message, ends: Array(0...message.count)) == whole)
        for first in 0...message.count {
            #expect(parseResponse(message, ends: [first, message.count]) == whole)
        }
        for end in 0..<Int(whole.head.length) {
            #expect(parseResponse(Array(message[..<end])).result == .incomplete)
        }
    }

    /// A head in small pieces must not be parsed again with each of them.
    @Test func slowArrivalIsNotQuadratic() {
        let lines = (0..<250).map { "Field-\($0): \(String(repeating: "v", count: 240))\r\n" }.joined()
        let message = Array("GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n".utf8)
        var state = HTTP1.ScanState()
        var head = HTTP1.RequestHead()
        var fields = HTTP1.FieldTable()
        withExactCopy(message) { bytes, count in
            for end in 1..<count {
                let result = HTTP1.parseRequestHead(
                    bytes, count: end, limit: 65536, state: &state, head: &head, fields: &fields)
                guard result == .incomplete, Int(state.scanned) == end else {
                    Issue.record("\(result) after \(end) bytes, searched \(state.scanned)")
                    return
                }
                // Parsing sets the start of the fields; it must not have come that far again.
                if end > 100 { head.fieldsStart = -1 }
                if end > 101 && head.fieldsStart != -1 { Issue.record("parsed again at \(end)") }
            }
            #expect(
                HTTP1.parseRequestHead(bytes, count: count, limit: 65536, state: &state, head: &head, fields: &fields)
                    == .complete)
        }
    }

    @Test func mutatedRequestsNeverTrapAndArriveAlike() {
        var random = FixedRandom(seed: 7)
        var complete = 0
        for round in 0..<6000 {
            let message = mutated(Self.requests[round % Self.requests.count], &random)
            let whole = parseRequest(message)
            let middle = Int.random(in: 0...message.count, using: &random)
            let split = parseRequest(message, ends: [middle, message.count])
            if whole.result == .complete {
                complete += 1
                #expect(split == whole)
                expectSafe(whole)
            } else if case .invalid(let error) = whole.result, split.result != .incomplete {
                #expect(split.result == .invalid(error))
            }
        }
        #expect(complete > 1000 && complete < 5500, "both outcomes must be met: \(complete)")
    }

    @Test func mutatedResponsesNeverTrapAndArriveAlike() {
        var random = FixedRandom(seed: 8)
        var complete = 0
        for round in 0..<6000 {
            let message = mutated(Self.responses[round % Self.responses.count], &random)
            let whole = parseResponse(message)
            let middle = Int.random(in: 0...message.count, using: &random)
            if whole.result == .complete {
                complete += 1
                #expect(parseResponse(message, ends: [middle, message.count]) == whole)
                let again = parseResponse(Array(whole.rewritten.utf8))
                #expect(again.result == .complete)
                #expect(again.head.framing == whole.head.framing)
            }
        }
        #expect(complete > 1000 && complete < 5500, "both outcomes must be met: \(complete)")
    }

    /// What is written for the next hop must be a head again, with the same framing and nothing hop-by-hop.
    private func expectSafe(_ parsed: ParsedRequest) {
        guard parsed.head.method != .connect else { return }
        let again = parseRequest(Array(parsed.rewritten.utf8))
        #expect(again.result == .complete)
        #expect(Int(again.head.length) == parsed.rewritten.utf8.count)
        #expect(again.head.framing == parsed.head.framing)
        #expect(again.head.minorVersion == 1)
        #expect(again.head.method == parsed.head.method)
        #expect(again.head.flags.contains(.keepAlive))
        #expect(again.head.flags.contains(.upgrade) == parsed.head.flags.contains(.upgrade))
    }

    /// Changes, removes, doubles or inserts a few bytes, mostly such that mean something.
    private func mutated(_ text: String, _ random: inout FixedRandom) -> [UInt8] {
        var bytes = Array((text + "tail").utf8)
        let marks = Array("\r\n\t :,;=#?/@[]%\0\u{7f}0159azAZ-_".utf8) + [0x80, 0xFF]
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] = marks.randomElement(using: &random) ?? 0
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(marks.randomElement(using: &random) ?? 0, at: place)
            default:
                let end = min(bytes.count, place + Int.random(in: 1...20, using: &random))
                bytes.insert(contentsOf: bytes[place..<end], at: place)
            }
        }
        return bytes
    }
}
