// Dictionary: dubbo.dict
// Longest input: 1024
// Seeds: Tests/CodecsTests/Resources/dubbo
import Codecs

/// Used from input to input, as a worker does: nothing of one may be seen in the next.
nonisolated(unsafe) private var scratch = Dubbo.Scratch()

/// Gives a request another version, or another service, path and group as well, and reads it again: they are the new ones, all else is
/// as before.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard count >= Dubbo.headSize else { return 0 }
    let body = input + Dubbo.headSize
    let serialization = Dubbo.Serialization(id: input[2])
    var old = Dubbo.Invocation()
    guard
        Dubbo.parseInvocation(body, count: count - Dubbo.headSize, serialization, &scratch, into: &old) == .parsed
    else { return 0 }

    let choice = digest(input, count)
    let version = Room([0, 1, 5, 31, 32, 47, 48, 300, 1100][Int(choice % 9)])
    for index in 0..<version.count { version.base[index] = 0x30 + UInt8(index % 10) }
    let text = Dubbo.Text(version.base, count: version.count)
    let isRenamed = choice % 2 == 0
    var changes = Dubbo.Changes()
    changes.version = text
    if isRenamed { (changes.service, changes.path, changes.group) = (text, text, text) }
    let bound = Dubbo.rewrittenBound(frameCount: count, changes)
    let frame = Room(bound)
    let size = Dubbo.rewrite(frame: input, count: count, old, scratch, changes, into: frame.base)
    require(size > Dubbo.headSize && size <= bound, "bound exceeded")
    // The head is taken over as it was, but for the length.
    require(same(frame.base, input, 12), "head changed")
    let length = (12..<16).reduce(0) { $0 << 8 | Int(frame.base[$1]) }
    require(length == size - Dubbo.headSize, "wrong length")

    let rewritten = Room(length)
    rewritten.base.update(from: frame.base + Dubbo.headSize, count: length)
    var new = Dubbo.Invocation()
    let result = Dubbo.parseInvocation(rewritten.base, count: length, serialization, &scratch, into: &new)
    require(result == .parsed, "not read again")
    let changed = isRenamed ? [new.bodyService, new.path, new.group] : []
    for range in [new.bodyVersion, new.version] + changed {
        require(Int(range.count) == version.count, "wrong size of what was changed")
        require(same(rewritten.base + Int(range.start), version.base, version.count), "wrong text")
    }
    let kept = isRenamed ? [] : [(old.bodyService, new.bodyService), (old.path, new.path), (old.group, new.group)]
    for (left, right) in [(old.method, new.method), (old.types, new.types)] + kept {
        require(left.count == right.count, "another field changed its size")
        require(
            same(body + Int(left.start), rewritten.base + Int(right.start), Int(left.count)), "another field changed")
    }
    require(old.argumentCount == new.argumentCount, "arguments changed")
    require(old.timeoutMilliseconds == new.timeoutMilliseconds, "timeout changed")
    return 0
}
