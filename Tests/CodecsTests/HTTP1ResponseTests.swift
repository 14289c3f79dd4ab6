import Codecs
import Testing

@Suite struct HTTP1ResponseTests {
    struct Good: Sendable {
        var head: String
        var method = HTTP1.Method.get
        var status: UInt16 = 200
        var framing: HTTP1.BodyFraming
        var flags: HTTP1.HeadFlags = .keepAlive
    }

    @Test(arguments: [
        Good(head: "1.1 200 OK|Content-Length: 5", framing: .length(5)),
        Good(head: "1.1 200 OK|Content-Length: 0", framing: .length(0)),
        Good(head: "1.1 200 OK|Transfer-Encoding: CHUNKED", framing: .chunked),
        Good(head: "1.1 200 OK", framing: .untilClose, flags: []),
        Good(head: "1.1 200", framing: .untilClose, flags: []),
        Good(head: "1.1 200 |Content-Length: 5", framing: .length(5)),
        Good(head: "1.1 200 OK|Content-Length: 5|Connection: close", framing: .length(5), flags: []),
        Good(head: "1.0 200 OK|Content-Length: 5", framing: .length(5), flags: []),
        Good(head: "1.0 200 OK|Content-Length: 5|Connection: keep-alive", framing: .length(5)),
        Good(head: "1.0 200 OK|Connection: keep-alive", framing: .untilClose, flags: []),
        Good(head: "1.1 200 OK|Content-Length: 5|Content-Length: 05", framing: .length(5)),
        Good(head: "1.1 200 OK|Content-Length: 5", method: .head, framing: .none),
        Good(head: "1.1 200 OK|Transfer-Encoding: chunked", method: .head, framing: .none),
        Good(head: "1.1 200 OK", method: .head, framing: .none),
        Good(head: "1.1 200 OK|Content-Length: 5", method: .connect, framing: .none),
        Good(head: "1.1 404 No|Content-Length: 5", method: .connect, status: 404, framing: .length(5)),
        Good(head: "1.1 204 No Content|Transfer-Encoding: chunked", status: 204, framing: .none),
        Good(head: "1.1 304 Not Modified|Content-Length: 9", status: 304, framing: .none),
        Good(head: "1.1 100 Continue", status: 100, framing: .none),
        Good(head: "1.1 103 Early Hints|Link: x", status: 103, framing: .none),
        Good(
            head: "1.1 101 Switching|Upgrade: x|Connection: upgrade", status: 101, framing: .none, flags: .upgrade),
        Good(
            head: "1.1 426 Upgrade Required|Upgrade: x|Content-Length: 0", status: 426, framing: .length(0),
            flags: [.keepAlive, .upgrade]),
        Good(head: "1.1 200 OK|Upgrade: x|Content-Length: 0", framing: .length(0)),
        Good(head: "1.1 999 Odd|Content-Length: 0", status: 999, framing: .length(0)),
        Good(head: "1.9 500 \u{e4} \t x|Content-Length: 0", status: 500, framing: .length(0)),
    ])
    func goodHeads(_ good: Good) {
        let parsed = parseResponse(bytes(good.head), to: good.method)
        #expect(parsed.result == .complete)
        #expect(parsed.head.status == good.status)
        #expect(parsed.head.framing == good.framing)
        #expect(parsed.head.flags == good.flags)
        #expect(parsed.head.isInterim == [100, 103].contains(good.status))
    }

    struct Bad: Sendable {
        var head: String
        var error: HTTP1.HeadError

        init(_ head: String, _ error: HTTP1.HeadError) {
            self.head = head
            self.error = error
        }
    }

    @Test(arguments: [
        Bad("1.1 200 OK|Content-Length: 5|Transfer-Encoding: chunked", .lengthAndTransferEncoding),
        Bad("1.1 204 OK|Content-Length: 5|Transfer-Encoding: chunked", .lengthAndTransferEncoding),
        Bad("1.1 200 OK|Content-Length: 5|Content-Length: 6", .duplicateContentLength),
        Bad("1.1 200 OK|Content-Length: 5|Content-Length: x", .badContentLength),
        Bad("1.1 200 OK|Content-Length: 5, 5", .badContentLength),
        Bad("1.1 200 OK|Content-Length: -1", .badContentLength),
        Bad("1.1 200 OK|Content-Length:", .badContentLength),
        Bad("1.1 200 OK|Transfer-Encoding: gzip, chunked", .unsupportedTransferEncoding),
        Bad("1.1 200 OK|Transfer-Encoding: gzip", .badTransferEncoding),
        Bad("1.1 200 OK|Transfer-Encoding: chunked|Transfer-Encoding: chunked", .badTransferEncoding),
        Bad("1.0 200 OK|Transfer-Encoding: chunked", .transferEncodingInOldVersion),
        Bad("2.0 200 OK", .unsupportedVersion),
        Bad("1.1 099 OK", .badStatusLine),
        Bad("1.1 20 OK", .badStatusLine),
        Bad("1.1 2000 OK", .badStatusLine),
        Bad("1.1 abc OK", .badStatusLine),
        Bad("1.1  200 OK", .badStatusLine),
        Bad("1.1\t200 OK", .badStatusLine),
        Bad("1.1 200\tOK", .badStatusLine),
        Bad("1.1 200 O\u{1}K", .badStatusLine),
        Bad("1.1 200 O\nK", .bareLineFeed),
        Bad("1.1 200 O\rK", .bareCarriageReturn),
        Bad("1.1 200 OK|A : b", .spaceBeforeColon),
        Bad("1.1 200 OK|A: b| c", .foldedField),
        Bad("1.1 200 OK|A: b\nc", .bareLineFeed),
    ])
    func badHeads(_ bad: Bad) {
        let message = bytes(bad.head)
        #expect(parseResponse(message).result == .invalid(bad.error))
        #expect(parseResponse(message, ends: Array(1...message.count)).result == .invalid(bad.error))
    }

    @Test(arguments: ["X", "SSH-2.0-x\r\n", "HTTP/1.\r\n", "HTTP/1.1\r\n\r\n", "<html>"])
    func otherProtocols(_ start: String) {
        #expect(parseResponse(Array(start.utf8)).result == .invalid(.badStatusLine))
    }

    @Test func limitIsExact() {
        let message = bytes("1.1 200 OK|Server: x")
        #expect(parseResponse(message, limit: message.count).result == .complete)
        #expect(parseResponse(message, limit: message.count - 1).result == .invalid(.headTooLarge))
    }

    @Test func plainResponseKeepsItsBytes() {
        let parsed = parseResponse(bytes("1.1 200 Fine|sErver:x |Content-Length: 5|Set-Cookie: a|Set-Cookie: b"))
        #expect(
            parsed.rewritten
                == "HTTP/1.1 200 Fine\r\nsErver:x \r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                + "Via: 1.1 greymesh\r\n\r\n")
    }

    @Test func hopByHopFieldsAreDropped() {
        let parsed = parseResponse(
            bytes(
                "1.0 200 OK|Connection: keep-alive, x-a|X-A: 1|Content-Length: 5|Keep-Alive: timeout=3|Upgrade: h2c"
                    + "|X-Greymesh-Version: inner|Content-Length: 5|Proxy-Connection: x|X-B: 2"),
            connection: .keepAlive, version: "2.0", extra: "X-E: 1\r\n")
        #expect(
            parsed.rewritten
                == "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-B: 2\r\nX-Greymesh-Version: 2.0\r\n"
                + "Connection: keep-alive\r\nX-E: 1\r\nVia: 1.0 greymesh\r\n\r\n")
    }

    @Test func servedVersionOfAnotherHopStaysWhenOursIsOff() {
        let parsed = parseResponse(bytes("1.1 200 OK|X-Greymesh-Version: inner|Content-Length: 5"), connection: .close)
        #expect(
            parsed.rewritten
                == "HTTP/1.1 200 OK\r\nX-Greymesh-Version: inner\r\nContent-Length: 5\r\nConnection: close\r\n"
                + "Via: 1.1 greymesh\r\n\r\n")
    }

    @Test func framingIsRewritten() {
        let chunked = bytes("1.1 200 OK|Transfer-Encoding: chunked|Trailer: x")
        #expect(
            parseResponse(chunked, connection: .close, transferEncoding: .removed).rewritten
                == "HTTP/1.1 200 OK\r\nConnection: close\r\nVia: 1.1 greymesh\r\n\r\n")
        #expect(
            parseResponse(bytes("1.0 200"), transferEncoding: .added).rewritten
                == "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nVia: 1.0 greymesh\r\n\r\n")
        // 1xx and 204 must not carry them (RFC 9110, section 8.6); 304 and answers to HEAD may.
        #expect(
            parseResponse(bytes("1.1 204 No|Transfer-Encoding: chunked")).rewritten
                == "HTTP/1.1 204 No\r\nVia: 1.1 greymesh\r\n\r\n")
        #expect(parseResponse(bytes("1.1 304 No|Content-Length: 7")).rewritten.contains("Content-Length: 7\r\n"))
    }

    @Test func upgradeIsPassedOn() {
        let parsed = parseResponse(
            bytes("1.1 101 Switching|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Accept: x"),
            connection: .close)
        #expect(
            parsed.rewritten
                == "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nConnection: upgrade\r\n"
                + "Via: 1.1 greymesh\r\n\r\n")
        let required = parseResponse(bytes("1.1 426 No|Upgrade: x|Content-Length: 0"), connection: .close)
        #expect(required.rewritten.contains("Upgrade: x\r\nContent-Length: 0\r\nConnection: close, upgrade\r\n"))
    }

    @Test func localAnswersAreResponses() {
        for (status, word, isHead) in [
            (503, HTTP1.ConnectionWord.omitted, false), (400, .close, false), (504, .keepAlive, false),
            (404, .omitted, true),
        ] {
            let body = Array("no host of order-service can serve version 2.0".utf8)
            let extra = Array("Retry-After: 1\r\n".utf8)
            let answer = body.withUnsafeBufferPointer { body in
                extra.withUnsafeBufferPointer { extra in
                    written(HTTP1.answerBound(text: body, extraLines: extra)) {
                        HTTP1.writeAnswer(
                            status: status, text: body, isHead: isHead, connection: word, extraLines: extra, into: $0,
                            capacity: $1)
                    }
                }
            }
            let parsed = parseResponse(Array(answer.utf8), to: isHead ? .head : .get)
            #expect(parsed.result == .complete)
            #expect(Int(parsed.head.status) == status)
            #expect(
                answer.hasPrefix(
                    "HTTP/1.1 \(status) \(HTTP1.reason(status))\r\nContent-Type: text/plain; charset=utf-8\r\n"))
            #expect(answer.contains("\r\nContent-Length: \(body.count + 1)\r\n"))
            #expect(parsed.head.flags.contains(.keepAlive) == (word != .close))
            #expect(Array(answer.utf8.dropFirst(Int(parsed.head.length))) == (isHead ? [] : body + [10]))
        }
        #expect(parseResponse(Array("\(HTTP1.continueLine)".utf8)).head.status == 100)
    }

    private func bytes(_ head: String) -> [UInt8] {
        let lines = head.split(separator: "|", omittingEmptySubsequences: false).map { $0 + "\r\n" }.joined()
        return Array(("HTTP/" + lines + "\r\n").utf8)
    }
}
