// Dictionary: http1.dict
// Longest input: 1024
import Codecs

/// Follows a chunked body in two ways and in pieces of different sizes; all must agree on where it ends. The first byte
/// chooses the sizes of the pieces.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ inputCount: Int) -> Int32 {
    guard inputCount > 0 else { return 0 }
    let bytes = input + 1
    let count = inputCount - 1
    let data = Room(count)
    var whole = HTTP1.ChunkedState()
    let result = HTTP1.advanceChunked(bytes, count: count, state: &whole)

    var state = HTTP1.ChunkedState()
    var start = 0
    var dataCount = 0
    var seed = UInt64(input[0])
    while true {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let end = min(count, start + Int(seed >> 59))
        var position = start
        let event = take(bytes, end, &position, &state, data, &dataCount)
        require(position >= start && position <= end && dataCount <= count, "went too far")
        switch event {
        case .needMore:
            require(position == end, "wants more with bytes left")
            start = end
            if end < count { continue }
            require(result == .needMore, "one piece and many do not agree")
        case .done: require(result == .done(consumed: position) && state.isDone, "one piece and many do not agree")
        case .invalid(let error): require(result == .invalid(error), "one piece and many do not agree")
        case .data: require(false, "data was taken already")
        }
        break
    }
    if case .done = result { encodeAgain(data, dataCount) }
    return 0
}

/// Takes the data of one piece; returns the event that ends it.
private func take(
    _ bytes: UnsafePointer<UInt8>, _ end: Int, _ position: inout Int, _ state: inout HTTP1.ChunkedState,
    _ data: borrowing Room, _ dataCount: inout Int
) -> HTTP1.ChunkedEvent {
    while true {
        let event = HTTP1.nextChunk(bytes, count: end, position: &position, state: &state)
        guard case .data(let range) = event else { return event }
        require(range.count > 0 && range.end == position, "data is not where the position went")
        require(dataCount + Int(range.count) <= data.count, "more data than bytes")
        (data.base + dataCount).update(from: bytes + Int(range.start), count: Int(range.count))
        dataCount += Int(range.count)
    }
}

/// Puts the data into one chunk, which must come out as it went in.
private func encodeAgain(_ data: borrowing Room, _ count: Int) {
    guard count > 0 else { return }
    let body = Room(count + HTTP1.chunkSizeBound + 7)
    var length = HTTP1.writeChunkSize(count, into: body.base)
    (body.base + length).update(from: data.base, count: count)
    length += count
    let end = StaticString("\r\n0\r\n\r\n")
    (body.base + length).update(from: end.utf8Start, count: 7)
    length += 7
    var state = HTTP1.ChunkedState()
    var position = 0
    guard case .data(let range) = HTTP1.nextChunk(body.base, count: length, position: &position, state: &state) else {
        require(false, "no data in a chunk")
        return
    }
    require(Int(range.count) == count && same(body.base + Int(range.start), data.base, count), "other data")
    require(HTTP1.nextChunk(body.base, count: length, position: &position, state: &state) == .done, "no end")
    require(position == length, "another end")
}
