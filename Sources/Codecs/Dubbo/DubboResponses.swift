extension Dubbo {
    // MARK: Events

    /// Whether the body of an event is that of a heartbeat: null in its serialization.
    ///
    /// Of serializations that are not understood everything is taken for one that is short enough for an event; answering is
    /// right whatever they write, since the answer's body is the request's.
    public static func isHeartbeat(
        _ body: UnsafePointer<UInt8>, count: Int, _ serialization: Serialization
    ) -> Bool {
        switch serialization {
        case .hessian2: count == 1 && body[0] == Hessian2.null
        case .fastjson2: count == 5 && BigEndian.load32(body, 0) == 1 && body[4] == JSONB.null
        case .fastjson: isLine(body, count, "null")
        default: count > 0 && count < 15
        }
    }

    /// Whether an event says that the provider wants no new requests on this connection. It is not answered.
    public static func isReadonlyEvent(
        _ body: UnsafePointer<UInt8>, count: Int, _ serialization: Serialization
    ) -> Bool {
        isEvent(0x52, body, count, serialization)
    }

    /// Whether an event takes a readonly event back (3.2 and later). It is not answered.
    public static func isWriteableEvent(
        _ body: UnsafePointer<UInt8>, count: Int, _ serialization: Serialization
    ) -> Bool {
        isEvent(0x57, body, count, serialization)
    }

    private static func isEvent(
        _ letter: UInt8, _ body: UnsafePointer<UInt8>, _ count: Int, _ serialization: Serialization
    ) -> Bool {
        switch serialization {
        case .hessian2: count == 2 && body[0] == 1 && body[1] == letter
        case .fastjson2: count == 6 && BigEndian.load32(body, 0) == 2 && body[4] == 0x4a && body[5] == letter
        case .fastjson: count >= 3 && count <= 5 && body[0] == 0x22 && body[1] == letter && body[2] == 0x22
        default: false
        }
    }

    /// A line of its own, with or without a line end.
    private static func isLine(_ body: UnsafePointer<UInt8>, _ count: Int, _ text: StaticString) -> Bool {
        count <= text.utf8CodeUnitCount &+ 2 && hasPrefix(body, ByteRange(start: 0, count: count), text)
    }

    // MARK: Responses

    /// What a response brings.
    public enum ResponseKind: Sendable {
        /// A result.
        case value
        /// A result that is null, or of a void method.
        case null
        /// The called method threw, or something did in its place.
        case exception
        /// Not a response of status `ok`, or one whose body is not understood.
        case unknown
    }

    /// Tells results from exceptions, which have the same status.
    public static func responseKind(
        _ body: UnsafePointer<UInt8>, count: Int, status: UInt8, _ serialization: Serialization
    ) -> ResponseKind {
        if status != Status.ok || count == 0 { return .unknown }
        let flag: Int64?
        switch serialization {
        case .hessian2: flag = Hessian2.number(body, 0, count)
        case .fastjson2: flag = firstElementNumber(body, count)
        case .fastjson: flag = Int64(body[0]) - 0x30
        default: flag = nil
        }
        return switch flag {
        case 1, 4: .value
        case 2, 5: .null
        case 0, 3: .exception
        default: .unknown
        }
    }

    private static func firstElementNumber(_ body: UnsafePointer<UInt8>, _ count: Int) -> Int64? {
        var at = 0
        let end = elementEnd(body, &at, count)
        return end < 0 ? nil : JSONB.number(body, 4, end)
    }

    /// Whether the provider says that it does not have the service, so that the call was certainly not executed and may be
    /// sent to another host.
    ///
    /// Recognized by the words of 2.7.23 and 3.3.6 at the beginning of the text; a failure further down that is only quoted is
    /// not taken for one. 3.3 has the same words for every request that it cannot decode.
    public static func refusesService(
        _ body: UnsafePointer<UInt8>, count: Int, status: UInt8, _ serialization: Serialization
    ) -> Bool {
        guard status == Status.serviceError || status == Status.badRequest,
            let text = errorText(body, count: count, serialization)
        else { return false }
        if status == Status.serviceError {
            return hasPrefix(body, text, "org.apache.dubbo.remoting.RemotingException: Not found exported service: ")
                || hasPrefix(body, text, "com.alibaba.dubbo.remoting.RemotingException: Not found exported service: ")
        }
        return hasPrefix(body, text, "Fail to decode request due to: RpcInvocation [")
            || hasPrefix(
                body, text, "Fail to decode request due to: java.lang.IllegalArgumentException: Service not found:")
    }

    /// The text of a response of another status than `ok`, its first piece when it comes in several; nil when the body is
    /// truncated or its serialization not understood.
    public static func errorText(
        _ body: UnsafePointer<UInt8>, count: Int, _ serialization: Serialization
    ) -> ByteRange? {
        switch serialization {
        case .hessian2:
            return Hessian2.firstText(body, count)
        case .fastjson2:
            var at = 4
            var next = 0
            let end = elementEnd(body, &next, count)
            let start = end < 0 ? -1 : JSONB.readPlainText(body, &at, end)
            return start < 0 ? nil : ByteRange(start: start, count: at &- start)
        default:
            return nil
        }
    }
}
