// Dictionary: bolt.dict
// Longest input: 2048
// Seeds: Tests/CodecsTests/Resources/bolt
import Codecs

/// Used from input to input, as a worker does: nothing of one may be seen in the next.
nonisolated(unsafe) private var scratch = Bolt.Scratch()

/// Reads a stream at once and in pieces, which must come to the same, and the headers of all its frames.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let seed = digest(input, count)
    let limit = seed & 3 == 0 ? 40 : 4096
    let whole = Room(max(count, 1))
    whole.base.update(from: input, count: count)
    correctChecksums(whole.base, count)

    let atOnce = read(whole.base, count, limit, step: count)
    require(atOnce == read(whole.base, count, limit, step: 1 + Int(seed >> 8 % 50)), "pieces read differently")
    return 0
}

/// What was seen of a stream: number of steps and a number that depends on all of them.
private struct Seen: Equatable {
    var steps = 0
    var sum: UInt64 = 0
    var skip = 0

    mutating func note(_ value: UInt64) {
        steps += 1
        sum = (sum ^ value) &* 0x100_0000_01b3
    }
}

private func read(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ limit: Int, step: Int) -> Seen {
    var seen = Seen()
    var done = 0
    var arrived = 0
    while arrived < count {
        arrived = min(count, arrived + step)
        // In memory of its own, so that a read beyond what has arrived is noticed.
        let held = Room(arrived - done)
        held.base.update(from: bytes + done, count: held.count)
        var used = 0
        reading: while used < held.count {
            switch Bolt.nextFrame(held.base, count: held.count, used: &used, skip: &seen.skip, limit: limit) {
            case .incomplete: break reading
            case .invalid:
                seen.note(1)
                return seen
            case .oversized(let head):
                require(head.bodyLength > limit && seen.skip == head.bodyLength, "oversized without need")
                seen.note(UInt64(head.id) << 8 | 2)
            case .frame(let head):
                require(head.frameLength <= held.count - used && head.bodyLength <= limit, "frame is not whole")
                look(held.base + used, head)
                seen.note(UInt64(head.id) << 8 | 3)
                used += head.frameLength
            }
        }
        require(used <= held.count && seen.skip >= 0, "beyond the end")
        done += used
    }
    return seen
}

/// Looks at a whole frame.
private func look(_ bytes: UnsafePointer<UInt8>, _ head: Bolt.FrameHead) {
    let frame = Room(head.frameLength)
    frame.base.update(from: bytes, count: frame.count)
    var invocation = Bolt.Invocation()
    let result = Bolt.parseInvocation(frame.base, head, &scratch, into: &invocation)
    for range in [
        invocation.service, invocation.dispatchedService, invocation.method, invocation.traceAttributes,
    ] where !range.isEmpty {
        require(result == .parsed, "something in a header that cannot be read")
        require(range.start >= head.headerRange.start && range.end <= head.headerRange.end, "outside the header")
    }
    let name: StaticString = "x-version"
    let found = Bolt.property(
        named: name.utf8Start, count: name.utf8CodeUnitCount, in: frame.base, invocation, scratch)
    if let found {
        require(found.start >= head.headerRange.start && found.end <= head.headerRange.end, "outside the header")
        require(!found.isEmpty, "property without a value")
    }
    let service = Bolt.headerValue(named: "service", in: frame.base, head)
    require((service ?? ByteRange.none) == invocation.dispatchedService, "two values of one key")
    let parts = Bolt.serviceName(frame.base, invocation.service)
    for part in [parts.interface, parts.version, parts.uniqueID] {
        require(part.count >= 0 && part.end <= invocation.service.end, "part outside the name")
    }

    // A head is written as it was read, but for `ver2`, which says nothing.
    let written = Room(head.headLength)
    require(Bolt.writeHead(head, written.base) == head.headLength, "wrong size of the head")
    let versionPlace = head.variant == .version1 ? 4 : 5
    written.base[versionPlace] = frame.base[versionPlace]
    require(same(written.base, frame.base, head.headLength), "head written differently")
    patch(frame.base, head)
}

/// Changes id and timeout and back again: nothing else changes.
private func patch(_ bytes: UnsafePointer<UInt8>, _ head: Bolt.FrameHead) {
    let frame = Room(head.frameLength)
    frame.base.update(from: bytes, count: frame.count)
    Bolt.patch(frame.base, head, id: ~head.id)
    var (used, skip) = (0, 0)
    let step = Bolt.nextFrame(frame.base, count: frame.count, used: &used, skip: &skip, limit: frame.count)
    guard case .frame(let changed) = step else { fatalError("no frame any more") }
    require(changed.id == ~head.id && changed.frameLength == head.frameLength, "not patched")
    Bolt.patch(frame.base, changed, id: head.id)
    require(same(frame.base, bytes, frame.count), "not as it was")
}

/// Gives the frames of a stream their right checksums, which no fuzzer finds.
private func correctChecksums(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
    var at = 0
    while case .complete(let head) = Bolt.parseFrameHead(bytes + at, count: count - at),
        head.frameLength <= count - at
    {
        // Every fourth stays as it is.
        if head.id & 3 != 0 { Bolt.patch(bytes + at, head, id: head.id) }
        at += head.frameLength
    }
}
