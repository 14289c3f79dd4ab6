// Dictionary: http1.dict
// Longest input: 1024
// Seeds: Tests/Fuzz/Seeds/HTTP1RequestHead
import Codecs

/// Writes a request head for the next hop and parses what was written: same message, nothing hop-by-hop. Choices come
/// from a digest of the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var fields = HTTP1.FieldTable()
    var head = HTTP1.RequestHead()
    var state = HTTP1.ScanState()
    let result = HTTP1.parseRequestHead(bytes, count: count, limit: 4096, state: &state, head: &head, fields: &fields)
    guard result == .complete, head.method != .connect else { return 0 }

    let choice = digest(bytes, count)
    // Text that lives as long as the program.
    let client = StaticString("192.0.2.7")
    let host = StaticString("fallback")
    let rewrite = HTTP1.RequestRewrite(
        clientAddress: UnsafeBufferPointer(start: client.utf8Start, count: choice & 1 == 0 ? 9 : 0),
        isSecure: choice & 2 == 0,
        defaultHost: UnsafeBufferPointer(start: host.utf8Start, count: choice & 4 == 0 ? 8 : 0),
        allowsUpgrade: choice & 8 == 0)
    let room = Room(HTTP1.requestHeadBound(head, rewrite))
    require(
        HTTP1.writeRequestHead(bytes, head, fields, rewrite, into: room.base, capacity: room.count - 1) == 0,
        "too little room was not refused")
    let written = HTTP1.writeRequestHead(bytes, head, fields, rewrite, into: room.base, capacity: room.count)
    check(bytes, head, fields, room, written, upgrades: rewrite.allowsUpgrade && head.flags.contains(.upgrade))
    return 0
}

private func check(
    _ bytes: UnsafePointer<UInt8>, _ head: HTTP1.RequestHead, _ fields: borrowing HTTP1.FieldTable,
    _ room: borrowing Room, _ written: Int, upgrades: Bool
) {
    var again = HTTP1.RequestHead()
    var state = HTTP1.ScanState()
    var table = HTTP1.FieldTable()
    let result = HTTP1.parseRequestHead(
        room.base, count: written, limit: 65536, state: &state, head: &again, fields: &table)
    if case .invalid(.tooManyFields) = result { return }
    require(result == .complete && Int(again.length) == written, "what was written is not a head")
    require(again.framing == head.framing, "another framing")
    require(again.method == head.method && again.minorVersion == 1, "another method or version")
    require(again.targetForm == .origin || again.targetForm == .asterisk, "not an origin form")
    require(again.flags.contains(.keepAlive), "the next hop is told to close")
    require(again.flags.contains(.upgrade) == upgrades, "an upgrade that was not wished for, or is lost")
    require(again.flags.contains(.trailersWelcome) == head.flags.contains(.trailersWelcome), "trailers")
    require(again.flags.contains(.expectContinue) == (head.flags.contains(.expectContinue)), "100-continue")
    require(table.first(.keepAlive) == nil && table.first(.proxyConnection) == nil, "a hop-by-hop field")
    require(table.first(.via) != nil && table.first(.xForwardedProto) != nil, "a field that is added is missing")
    if !head.host.isEmpty {
        require(again.host.count == head.host.count, "another host")
        require(
            same(room.base + Int(again.host.start), bytes + Int(head.host.start), Int(head.host.count)), "another host")
    }
    require(ordinary(table) == ordinary(fields), "an end-to-end field is lost or new")
}

/// Number of fields that mean nothing to a proxy.
private func ordinary(_ table: borrowing HTTP1.FieldTable) -> Int {
    var count = 0
    for index in 0..<table.count where table[index].kind == .other { count += 1 }
    return count
}
