// Dictionary: dubbo.dict
// Longest input: 1024
// Seeds: Tests/CodecsTests/Resources/dubbo
import Codecs

/// Used from input to input, as a worker does: nothing of one may be seen in the next.
nonisolated(unsafe) private var scratch = Dubbo.Scratch()

/// Reads a frame's head, then the rest as the body of a request in the serialization that the flags name.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    switch Dubbo.parseFrameHead(input, count: count) {
    case .incomplete: require(count < Dubbo.headSize, "wants more than a head")
    case .invalid: break
    case .complete(let head): require(head.bodyLength >= 0 && head.bodyLength < 1 << 31, "length out of range")
    }
    guard count >= Dubbo.headSize else { return 0 }
    let body = input + Dubbo.headSize
    let bodyCount = count - Dubbo.headSize
    let serialization = Dubbo.Serialization(id: input[2])
    var invocation = Dubbo.Invocation()
    let result = Dubbo.parseInvocation(body, count: bodyCount, serialization, &scratch, into: &invocation)
    let isKnown = serialization == .hessian2 || serialization == .fastjson2 || serialization == .fastjson
    require((result == .opaque) != isKnown, "opaque without need")
    guard result == .parsed else { return 0 }

    for range in places(invocation) {
        require(range.start >= 0 && range.count >= 0 && range.end <= bodyCount, "outside the body")
    }
    require(invocation.attachmentForm != .unknown, "parsed without attachments")
    require(Int(invocation.argumentsStart) <= Int(invocation.attachments.start), "arguments after attachments")
    require(invocation.bodyVersionField.end <= Int(invocation.argumentsStart), "version after arguments")
    require(invocation.timeoutMilliseconds >= 0, "negative timeout")
    for name in ["x-version", "dubbo.tag", "version"] as [StaticString] {
        guard let text = Dubbo.attachment(named: name, in: body, scratch) else { continue }
        require(text.start >= invocation.attachments.start, "text before the attachments")
        require(text.count >= 0 && text.end < invocation.attachments.end, "text behind the attachments")
    }

    // What is read does not depend on what was read before.
    var again = Dubbo.Invocation()
    let repeated = Dubbo.parseInvocation(body, count: bodyCount, serialization, &scratch, into: &again)
    require(repeated == .parsed && places(again) == places(invocation), "read differently again")
    return 0
}

private func places(_ invocation: Dubbo.Invocation) -> [ByteRange] {
    [
        invocation.protocolVersion, invocation.bodyService, invocation.bodyVersion, invocation.method,
        invocation.types, invocation.genericMethod, invocation.attachments, invocation.path, invocation.interface,
        invocation.version, invocation.group, invocation.bodyVersionField, invocation.versionAttachmentField,
    ]
}
