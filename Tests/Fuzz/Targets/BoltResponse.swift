// Dictionary: bolt.dict
// Longest input: 1024
// Seeds: Tests/CodecsTests/Resources/bolt
import Codecs

/// Looks at a frame as a response, and answers with its bytes as text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard case .complete(let head) = Bolt.parseFrameHead(input, count: count) else { return 0 }
    if head.frameLength <= count {
        let frame = Room(head.frameLength)
        frame.base.update(from: input, count: frame.count)
        let kind = Bolt.responseKind(frame.base, head)
        require((kind == .unknown) || head.status == 0, "kind in spite of a status")
        let text = Bolt.errorText(frame.base, head)
        if let text {
            require(text.start >= head.contentRange.start && text.end <= head.contentRange.end, "outside the content")
            require(text.count >= 0, "negative size")
        }
        let interface: StaticString = "x"
        let refuses = Bolt.refusesService(frame.base, head, of: interface.utf8Start, count: 1)
        require(!refuses || kind == .failure && text != nil, "refusal of another kind")
    }
    for codec in [Bolt.Codec.hessian, Bolt.Codec.json, Bolt.Codec.protobuf, 2] { answer(head, codec, input, count) }
    return 0
}

/// Errors made of any bytes are frames, and are read as errors.
private func answer(_ head: Bolt.FrameHead, _ codec: UInt8, _ text: UnsafePointer<UInt8>, _ count: Int) {
    var request = head
    request.codec = codec
    let room = Room(Bolt.errorBound)
    let size = Bolt.writeError(
        text: text, count: count, answering: request, otherwise: Bolt.Status.noProcessor, into: room.base)
    require(size <= room.count, "bound exceeded")
    let frame = Room(size)
    frame.base.update(from: room.base, count: size)
    var (used, skip) = (0, 0)
    let step = Bolt.nextFrame(frame.base, count: size, used: &used, skip: &skip, limit: size)
    guard case .frame(let answer) = step, answer.frameLength == size else { fatalError("no frame") }
    require(answer.id == head.id && answer.variant == head.variant && answer.type == .response, "another request's")
    require(answer.codec == codec, "another codec")
    let kind = Bolt.responseKind(frame.base, answer)
    switch codec {
    case Bolt.Codec.hessian:
        require(kind == .failure, "no failure")
        require(Bolt.errorText(frame.base, answer)?.end == size - 2, "error is not one text")
    case Bolt.Codec.json, Bolt.Codec.protobuf:
        require(kind == .failure || kind == .exception, "no failure")
        let content = answer.contentRange
        if codec == Bolt.Codec.json { requireJSON(frame.base + Int(content.start), Int(content.count)) }
    default:
        require(answer.status == Bolt.Status.noProcessor && answer.bodyLength == 0, "no status")
    }
}

/// One JSON string: quotes at its ends only, and nothing in it that would have to be escaped.
private func requireJSON(_ text: UnsafePointer<UInt8>, _ count: Int) {
    require(count >= 2 && text[0] == 0x22 && text[count - 1] == 0x22, "no quotes")
    var at = 1
    while at < count - 1 {
        require(text[at] >= 0x20 && text[at] != 0x22, "not escaped")
        at += text[at] == 0x5c ? (text[at + 1] == 0x75 ? 6 : 2) : 1
    }
    require(at == count - 1, "escape runs over the end")
}
