import Testing

@testable import sample

struct HTTPAnswerParserTests {
    private func parse(_ text: String, isHead: Bool = false) throws -> (HTTPAnswer?, rest: String) {
        var parser = HTTPAnswerParser(isHead: isHead)
        var input = Array(text.utf8)
        let answer = try parser.parse(&input)
        return (answer, String(decoding: input, as: UTF8.self))
    }

    @Test func lengthChunksAndNoBody() throws {
        let length = try parse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA:  b\r\n\r\nhiHTTP")
        #expect(length.0?.body == Array("hi".utf8) && length.rest == "HTTP" && length.0?.header("a") == "b")
        let chunks = try parse(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x\r\n0123456789\r\n0\r\nT: 1\r\n\r\nrest")
        #expect(chunks.0?.body == Array("0123456789".utf8) && chunks.rest == "rest")
        let interim = try parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        #expect(interim.0?.status == 204)
        #expect(try parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", isHead: true).0?.body == [])
    }

    @Test func anyCutNeedsMore() throws {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for cut in 0..<text.utf8.count {
            #expect(try parse(String(decoding: text.utf8.prefix(cut), as: UTF8.self)).0 == nil)
        }
        var parser = HTTPAnswerParser()
        var input: [UInt8] = []
        var answers = 0
        for byte in text.utf8 {
            input.append(byte)
            if try parser.parse(&input) != nil { answers += 1 }
        }
        #expect(answers == 1)
    }

    @Test func aBodyCanEndWithTheConnection() throws {
        var parser = HTTPAnswerParser()
        var input = Array("HTTP/1.1 200 OK\r\n\r\nall of it".utf8)
        #expect(try parser.parse(&input) == nil && parser.closes)
        #expect(parser.endOfStream(input).map { $0.body } == Array("all of it".utf8))
    }

    @Test(arguments: [
        "SSH-2.0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
    ])
    func badAnswersAreErrors(text: String) { #expect(throws: CallFailure.self) { try parse(text) } }
}
