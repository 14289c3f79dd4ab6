// Dictionary: bolt.dict
// Longest input: 1024
// Seeds: Tests/CodecsTests/Resources/bolt
import Codecs

/// Used from input to input, as a worker does: nothing of one may be seen in the next.
nonisolated(unsafe) private var scratch = Bolt.Scratch()

/// Gives a frame other headers and reads it again: those are the new ones, all else is as before.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard case .complete(let head) = Bolt.parseFrameHead(input, count: count), head.frameLength <= count else {
        return 0
    }
    let frame = Room(head.frameLength)
    frame.base.update(from: input, count: frame.count)
    Bolt.patch(frame.base, head, id: head.id)
    var old = Bolt.Invocation()
    let isReadable = Bolt.parseInvocation(frame.base, head, &scratch, into: &old) == .parsed
    let oldService = Bolt.headerValue(named: "service", in: frame.base, head)

    let choice = digest(input, count)
    let value = Room([1, 5, 300, 32_000][Int(choice % 4)])
    for index in 0..<value.count { value.base[index] = 0x61 + UInt8(index % 26) }
    let changes = [
        Bolt.HeaderChange("service", value: value.base, valueCount: value.count, isAdded: choice & 16 != 0),
        Bolt.HeaderChange("hops", value: value.base, valueCount: 1, isAdded: true),
    ]
    let bound = Bolt.rewrittenBound(frameCount: frame.count, changes: changes, changeCount: 2)
    let out = Room(bound)
    let size = Bolt.rewriteHeader(frame: frame.base, head, changes: changes, changeCount: 2, into: out.base)
    require(size <= bound, "bound exceeded")
    if size == 0 {
        require(!isReadable || head.headerLength + value.count + 28 > 32_767, "refused without need")
        return 0
    }
    require(isReadable, "rewritten what cannot be read")

    let rewritten = Room(size)
    rewritten.base.update(from: out.base, count: size)
    var (used, skip) = (0, 0)
    let step = Bolt.nextFrame(rewritten.base, count: size, used: &used, skip: &skip, limit: size)
    guard case .frame(let newHead) = step else { fatalError("no frame any more") }
    require(newHead.frameLength == size && newHead.headerLength <= Bolt.maximumHeaderLength, "wrong length")
    var expected = head
    expected.headerLength = newHead.headerLength
    require(newHead == expected, "head changed")

    var new = Bolt.Invocation()
    require(Bolt.parseInvocation(rewritten.base, newHead, &scratch, into: &new) == .parsed, "not read again")
    if oldService != nil || changes[0].isAdded {
        require(Int(new.dispatchedService.count) == value.count, "wrong size of the service")
        require(same(rewritten.base + Int(new.dispatchedService.start), value.base, value.count), "wrong service")
    } else {
        require(new.dispatchedService.isEmpty || hasNullPair(frame.base, head), "service where there was none")
    }
    require(Bolt.header(named: "hops", in: rewritten.base, scratch)?.count == 1, "pair is not added")
    for (left, right) in [
        (old.method, new.method), (old.targetService, new.targetService), (head.classRange, newHead.classRange),
        (head.contentRange, newHead.contentRange), (old.traceAttributes, new.traceAttributes),
    ] {
        require(left.count == right.count, "another field changed its size")
        require(
            same(frame.base + Int(left.start), rewritten.base + Int(right.start), Int(left.count)),
            "another field changed")
    }
    return 0
}

/// A pair of null with the key counts as one of that key, and is replaced.
private func hasNullPair(_ frame: UnsafePointer<UInt8>, _ head: Bolt.FrameHead) -> Bool {
    let end = head.headerRange.end
    for at in Int(head.headerRange.start)..<end where frame[at] >= 0x80 && end - at >= 4 { return true }
    return false
}
