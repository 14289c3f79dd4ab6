// Dictionary: http1.dict
// Longest input: 1024
import Codecs

/// Parses a request head in one piece and in two, which must come to the same, and checks all places in it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var fields = HTTP1.FieldTable()
    var head = HTTP1.RequestHead()
    var state = HTTP1.ScanState()
    let result = HTTP1.parseRequestHead(bytes, count: count, limit: 900, state: &state, head: &head, fields: &fields)
    if result == .complete { check(bytes, count, head, fields) }

    let split = count == 0 ? 0 : Int(digest(bytes, count) % UInt64(count))
    var laterHead = HTTP1.RequestHead()
    var laterState = HTTP1.ScanState()
    // The first piece is copied, so that looking beyond it is noticed.
    let room = Room(split)
    room.base.update(from: bytes, count: split)
    var later = HTTP1.parseRequestHead(
        room.base, count: split, limit: 900, state: &laterState, head: &laterHead, fields: &fields)
    if later == .incomplete {
        later = HTTP1.parseRequestHead(
            bytes, count: count, limit: 900, state: &laterState, head: &laterHead, fields: &fields)
    }
    switch result {
    case .complete:
        require(later == .complete, "complete in one piece, not in two")
        require(laterHead.length == head.length && laterHead.framing == head.framing, "two lengths")
        require(laterHead.host == head.host && laterHead.flags == head.flags, "two meanings")
    case .incomplete: require(later == .incomplete, "incomplete in one piece, not in two")
    case .invalid: require(later != .complete, "invalid in one piece, complete in two")
    }
    return 0
}

private func check(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ head: HTTP1.RequestHead, _ fields: borrowing HTTP1.FieldTable
) {
    let length = Int(head.length)
    require(length <= count && length <= 900, "the head is longer than the input or the limit")
    require(bytes[length - 1] == 10 && bytes[length - 2] == 13, "no empty line")
    for range in [head.methodName, head.target, head.path, head.pathAndQuery, head.host, head.hostName] {
        require(range.start >= 0 && range.count >= 0 && range.end <= length, "a place outside the head")
    }
    require(head.hostName.count <= head.host.count, "the host's name is longer than the host")
    require(head.framing != .untilClose, "a request until the connection ends")
    require(head.minorVersion == 0 || fields.first(.host) != nil, "no Host")
    var end = Int(head.fieldsStart)
    for index in 0..<fields.count {
        let field = fields[index]
        require(Int(field.nameStart) == end && field.nameLength > 0, "field lines do not follow each other")
        require(bytes[field.name.end] == 58 && Int(field.valueStart) > field.name.end, "no colon behind the name")
        for place in Int(field.nameStart)..<field.name.end {
            require(bytes[place] > 32 && bytes[place] < 127, "not a token")
        }
        for place in Int(field.valueStart)..<field.value.end {
            require(bytes[place] >= 32 && bytes[place] != 127 || bytes[place] == 9, "control character in a value")
        }
        end = field.value.end
        while bytes[end] == 32 || bytes[end] == 9 { end += 1 }
        require(bytes[end] == 13 && bytes[end + 1] == 10, "a value does not end with its line")
        end += 2
        let name = UnsafeBufferPointer(start: bytes + Int(field.nameStart), count: Int(field.nameLength))
        require(fields.find(name, in: bytes) != nil, "a field is not found by its own name")
    }
    require(end + 2 == length, "bytes between the fields and the empty line")
}
