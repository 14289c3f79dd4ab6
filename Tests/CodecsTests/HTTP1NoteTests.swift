import Testing

@testable import Codecs

/// What a proxy says of itself in answers.
@Suite struct HTTP1NoteTests {
    private let theirs =
        "HTTP/1.1 503 No\r\nX-Greymesh-Error: theirs\r\nA: 1\r\nx-greymesh-attempts: 9\r\nX-Greymesh-Erros: 2\r\n"
        + "X-Greymesh-Attempt: 3\r\n\r\n"

    private func rewritten(ownsNotes: Bool, attempts: UInt8) -> String {
        let message = Array(theirs.utf8)
        var state = HTTP1.ScanState()
        var fields = HTTP1.FieldTable()
        var head = HTTP1.ResponseHead()
        return withExactCopy(message[...]) { bytes, count in
            _ = HTTP1.parseResponseHead(
                bytes, count: count, requestMethod: .head, limit: 65536, state: &state, head: &head, fields: &fields)
            var rewrite = HTTP1.ResponseRewrite()
            rewrite.ownsNotes = ownsNotes
            rewrite.attempts = attempts
            return written(HTTP1.responseHeadBound(head, rewrite)) {
                HTTP1.writeResponseHead(bytes, head, fields, rewrite, into: $0, capacity: $1)
            }
        }
    }

    @Test func theHostsOwnAreLeftOutOnlyWhereOursAreTold() {
        let others = "A: 1\r\nX-Greymesh-Erros: 2\r\nX-Greymesh-Attempt: 3\r\n"
        #expect(
            rewritten(ownsNotes: true, attempts: 1) == "HTTP/1.1 503 No\r\n" + others + "Via: 1.1 greymesh\r\n\r\n")
        #expect(
            rewritten(ownsNotes: true, attempts: 6)
                == "HTTP/1.1 503 No\r\n" + others + "X-Greymesh-Attempts: 6\r\nVia: 1.1 greymesh\r\n\r\n")
        #expect(
            rewritten(ownsNotes: false, attempts: 0) == theirs.replacing("\r\n\r\n", with: "\r\n")
                + "Via: 1.1 greymesh\r\n\r\n")
    }

    @Test func anAnswerOfOurOwnTellsTheErrorAndTheAttempts() {
        let text = Array("no".utf8)
        func answer(_ error: StaticString, _ attempts: Int) -> String {
            text.withUnsafeBufferPointer { text in
                let none = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
                return written(HTTP1.answerBound(text: text, extraLines: none)) {
                    HTTP1.writeAnswer(
                        status: 503, text: text, connection: .omitted, error: error, attempts: attempts, into: $0,
                        capacity: $1)
                }
            }
        }
        let start =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
        #expect(answer("", 1) == start + "\r\nno\n")
        #expect(answer("no-host", 0) == start + "X-Greymesh-Error: no-host\r\n\r\nno\n")
        #expect(answer("connect", 3) == start + "X-Greymesh-Error: connect\r\nX-Greymesh-Attempts: 3\r\n\r\nno\n")
    }
}
