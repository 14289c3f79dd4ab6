// Longest input: 512
// Seeds: Tests/CodecsTests/Resources/dubbo
import Codecs

/// Used from input to input, as a worker does: nothing of one may be seen in the next.
nonisolated(unsafe) private var scratch = Hessian2.Scratch()

/// Looks at a frame as an event and as a response, and answers with its bytes as text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard count >= Dubbo.headSize else { return 0 }
    let body = input + Dubbo.headSize
    let bodyCount = count - Dubbo.headSize
    let serialization = Dubbo.Serialization(id: input[2])
    let isHeartbeat = Dubbo.isHeartbeat(body, count: bodyCount, serialization)
    let isReadonly = Dubbo.isReadonlyEvent(body, count: bodyCount, serialization)
    let isWriteable = Dubbo.isWriteableEvent(body, count: bodyCount, serialization)
    require(!(isHeartbeat && isReadonly) && !(isReadonly && isWriteable), "two events in one")
    _ = Dubbo.responseKind(body, count: bodyCount, status: input[3], serialization)
    let refuses = Dubbo.refusesService(body, count: bodyCount, status: input[3], serialization)
    require(!refuses || input[3] == 70 || input[3] == 40, "refusal of another status")
    if let text = Dubbo.errorText(body, count: bodyCount, serialization) {
        require(text.start >= 0 && text.count >= 0 && text.end <= bodyCount, "text outside the body")
    }
    answer(body, bodyCount)
    return 0
}

/// Errors made of any bytes are read as such.
private func answer(_ text: UnsafePointer<UInt8>, _ count: Int) {
    let room = Room(Dubbo.errorBound)
    let size = Dubbo.writeError(status: 70, id: 1, text: text, count: count, into: room.base)
    require(size > Dubbo.headSize && size <= room.count, "bound exceeded")
    let found = Dubbo.errorText(room.base + Dubbo.headSize, count: size - Dubbo.headSize, .hessian2)
    require(found?.end == size - Dubbo.headSize, "error is not one text")

    for serialization in [Dubbo.Serialization.hessian2, .fastjson2] {
        let size = Dubbo.writeRpcException(
            id: 1, code: Int32(count), text: text, count: count, serialization: serialization, into: room.base)
        require(size > Dubbo.headSize && size <= room.count, "bound exceeded")
        let kind = Dubbo.responseKind(
            room.base + Dubbo.headSize, count: size - Dubbo.headSize, status: Dubbo.Status.ok, serialization)
        require(kind == .exception, "no exception")
    }
    scratch.beginMessage()
    let exception = Dubbo.writeRpcException(id: 1, code: 0, text: text, count: count, into: room.base)
    var at = Dubbo.headSize
    for _ in 0..<3 {
        require(Hessian2.skipValue(room.base, count: exception, at: &at, &scratch), "a value that is not one")
    }
    require(at == exception, "bytes behind the exception")
}
