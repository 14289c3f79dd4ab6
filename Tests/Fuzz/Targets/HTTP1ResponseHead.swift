// Dictionary: http1.dict
// Longest input: 1024
import Codecs

/// Parses a response head in one piece and in two, writes it again, and parses what was written. The first byte chooses
/// the request's method and how the head is rewritten.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ inputCount: Int) -> Int32 {
    guard inputCount > 0 else { return 0 }
    let choice = input[0]
    let bytes = input + 1
    let count = inputCount - 1
    let method: HTTP1.Method = choice & 1 == 1 ? .head : choice & 2 == 2 ? .connect : .get
    var fields = HTTP1.FieldTable()
    var early = HTTP1.ResponseHead()
    var state = HTTP1.ScanState()

    let split = count == 0 ? 0 : Int(digest(bytes, count) % UInt64(count))
    let room = Room(split)
    room.base.update(from: bytes, count: split)
    var twice = HTTP1.parseResponseHead(
        room.base, count: split, requestMethod: method, limit: 900, state: &state, head: &early, fields: &fields)
    if twice == .incomplete {
        twice = HTTP1.parseResponseHead(
            bytes, count: count, requestMethod: method, limit: 900, state: &state, head: &early, fields: &fields)
    }
    var head = HTTP1.ResponseHead()
    state = HTTP1.ScanState()
    let once = HTTP1.parseResponseHead(
        bytes, count: count, requestMethod: method, limit: 900, state: &state, head: &head, fields: &fields)
    switch once {
    case .complete:
        require(twice == .complete && early.length == head.length, "complete in one piece, not in two")
        require(early.framing == head.framing && early.flags == head.flags, "two meanings")
        rewrite(bytes, head, fields, method, choice)
    case .incomplete: require(twice == .incomplete, "incomplete in one piece, not in two")
    case .invalid: require(twice != .complete, "invalid in one piece, complete in two")
    }
    return 0
}

private func rewrite(
    _ bytes: UnsafePointer<UInt8>, _ head: HTTP1.ResponseHead, _ fields: borrowing HTTP1.FieldTable,
    _ method: HTTP1.Method, _ choice: UInt8
) {
    require(head.status >= 100 && head.status <= 999 && Int(head.length) <= 900, "status or length out of range")
    let removesChunks = choice & 4 == 4 && head.framing == .chunked
    let addsChunks = choice & 4 == 4 && head.framing == .untilClose
    // Text that lives as long as the program.
    let version = StaticString("2.0")
    let rewrite = HTTP1.ResponseRewrite(
        connection: HTTP1.ConnectionWord(rawValue: (choice >> 3) % 3) ?? .omitted,
        transferEncoding: removesChunks ? .removed : addsChunks ? .added : .kept,
        servedVersion: UnsafeBufferPointer(start: version.utf8Start, count: choice & 128 == 128 ? 3 : 0))
    let room = Room(HTTP1.responseHeadBound(head, rewrite))
    require(
        HTTP1.writeResponseHead(bytes, head, fields, rewrite, into: room.base, capacity: room.count - 1) == 0,
        "too little room was not refused")
    let written = HTTP1.writeResponseHead(bytes, head, fields, rewrite, into: room.base, capacity: room.count)

    var again = HTTP1.ResponseHead()
    var state = HTTP1.ScanState()
    var table = HTTP1.FieldTable()
    let result = HTTP1.parseResponseHead(
        room.base, count: written, requestMethod: method, limit: 65536, state: &state, head: &again, fields: &table)
    if case .invalid(.tooManyFields) = result { return }
    require(result == .complete && Int(again.length) == written, "what was written is not a head")
    require(again.status == head.status && again.minorVersion == 1, "another status or version")
    let framing: HTTP1.BodyFraming = removesChunks ? .untilClose : addsChunks ? .chunked : head.framing
    require(again.framing == framing, "another framing")
    require(table.first(.keepAlive) == nil && table.first(.proxyConnection) == nil, "a hop-by-hop field")
    require(table.first(.via) != nil, "no Via")
    if rewrite.connection == .close && head.status != 101 {
        require(!again.flags.contains(.keepAlive), "a closing connection that is kept")
    }
    if !rewrite.servedVersion.isEmpty {
        require(table.first(.servedVersion)?.valueLength == 3, "not our version")
        require(table.last(.servedVersion)?.valueStart == table.first(.servedVersion)?.valueStart, "two versions")
    }
}
