/// The SOFABolt protocol (`bolt://`, SOFA RPC), versions 1 and 2: frames, header maps, and answers of our own.
///
/// Everything is a function over bytes that the caller owns. Nothing is allocated: what must be remembered of a request
/// lies in an `Invocation` (places in the frame) and in a `Scratch` that is used for request after request. Class and
/// content are opaque; all that routing needs is in the header map.
public enum Bolt {
    /// Bytes of the shortest head, that of a response of version 1.
    public static let smallestHeadSize = 20
    /// Bytes of the longest head, that of a request of version 2.
    public static let largestHeadSize = 24
    /// Bytes of the checksum behind a frame.
    public static let checksumSize = 4
    /// Longest class name and longest header map. Java reads their lengths as signed 16-bit numbers: beyond this it takes them
    /// for negative and loses the place in the stream, so that nobody can mean more.
    public static let maximumHeaderLength = 32_767

    /// What a connection speaks. A Java server answers in what it saw first on a connection, so that a connection carries one
    /// variant only; pools are kept apart by it.
    public enum Variant: UInt8, Sendable {
        /// Protocol 1, all that SOFA RPC itself sends.
        case version1
        /// Protocol 2 with inner version 1: longer heads, never a checksum.
        case version2
        /// Protocol 2 with inner version 2: frames have a checksum where their switch says so.
        case version2WithChecksums

        /// The first byte of its frames.
        @inlinable public var protocolCode: UInt8 { self == .version1 ? 1 : 2 }
    }

    /// Byte 1 of a frame, byte 2 in version 2.
    public enum FrameType: UInt8, Sendable {
        /// What comes back.
        case response = 0
        /// Wants a response.
        case request = 1
        /// A request that gets no response, not even an error. A heartbeat of this type is answered nevertheless.
        case oneWay = 2
    }

    /// What a frame is for. A Java peer closes the connection on others; a frame with another one can still be skipped.
    public enum Command {
        /// Heartbeat and its answer.
        public static let heartbeat: UInt16 = 0
        /// Request of a call.
        public static let request: UInt16 = 1
        /// Response of a call.
        public static let response: UInt16 = 2
        /// A server wants no new requests on this connection. Known among proxies only: a Java peer closes the connection
        /// at once when it gets one.
        public static let goaway: UInt16 = 100
    }

    /// How the content is serialized.
    public enum Codec {
        /// SOFA's Hessian, the draft of Hessian 2.0. The default.
        public static let hessian: UInt8 = 1
        /// A bare Protobuf message.
        public static let protobuf: UInt8 = 11
        /// The arguments as JSON.
        public static let json: UInt8 = 12
    }

    /// Status of a response. A Java client closes the connection on any other number.
    public enum Status {
        /// A result or an exception of the called method. With empty content it is an error to a SOFA consumer.
        public static let success: UInt16 = 0
        /// A failure of no particular kind; SOFA RPC does not try again.
        public static let error: UInt16 = 1
        /// The server failed, or has nothing for the class of the request; SOFA RPC does not try again.
        public static let serverException: UInt16 = 2
        /// Not known.
        public static let unknown: UInt16 = 3
        /// The server has no thread left and did not execute the request; SOFA RPC tries again when it has retries.
        public static let serverBusy: UInt16 = 4
        /// Trouble of communication.
        public static let communicationError: UInt16 = 5
        /// There is nobody to send the request to; SOFA RPC does not try again.
        public static let noProcessor: UInt16 = 6
        /// Time ran out; SOFA RPC tries again when it has retries.
        public static let timeout: UInt16 = 7
        /// The client could not send; made by clients themselves.
        public static let clientSendError: UInt16 = 8
        /// A frame cannot be read or written, or is too long.
        public static let codecException: UInt16 = 9
        /// The connection is gone; made by clients themselves.
        public static let connectionClosed: UInt16 = 16
        /// The server cannot serialize its result.
        public static let serializationException: UInt16 = 17
        /// The server cannot read the request, or it names no service; SOFA RPC does not try again.
        public static let deserializationException: UInt16 = 18
    }

    /// Keys of header maps.
    public enum HeaderName {
        /// What SOFA servers dispatch requests by: `interface:version[:uniqueId]`.
        public static let service: StaticString = "service"
        /// The same text; with Protobuf and JSON it names the class whose methods decode the content.
        public static let targetService: StaticString = "sofa_head_target_service"
        /// The method.
        public static let method: StaticString = "sofa_head_method_name"
        /// `true` in responses that are an exception or an error.
        public static let responseError: StaticString = "sofa_head_response_error"
        /// What the baggage of a request begins with.
        public static let requestBaggage: StaticString = "rpc_req_baggage."
        /// Attributes that SOFA's tracer hands on along a chain of calls: `name=value&name=value&`.
        public static let traceAttributes: StaticString = "rpc_trace_context.sofaPenAttrs"
        /// All that newer tracers send, in the same form, the attributes among it.
        public static let traceContext: StaticString = "new_rpc_trace_context"
    }

    /// Class of the requests of SOFA RPC.
    public static let requestClass: StaticString = "com.alipay.sofa.rpc.core.request.SofaRequest"
    /// Class of the responses of SOFA RPC.
    public static let responseClass: StaticString = "com.alipay.sofa.rpc.core.response.SofaResponse"

    // MARK: Names

    @inline(__always)
    static func equals(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange, _ text: StaticString) -> Bool {
        Int(range.count) == text.utf8CodeUnitCount
            && equals(bytes + Int(range.start), text.utf8Start, text.utf8CodeUnitCount)
    }

    @inline(__always)
    static func hasPrefix(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange, _ text: StaticString) -> Bool {
        Int(range.count) >= text.utf8CodeUnitCount
            && equals(bytes + Int(range.start), text.utf8Start, text.utf8CodeUnitCount)
    }

    /// The last bytes are looked at first: names of SOFA begin alike.
    @inline(__always)
    static func equals(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var at = count
        while at >= 8 {
            at &-= 8
            if BigEndian.word(left, at) != BigEndian.word(right, at) { return false }
        }
        while at > 0 {
            at &-= 1
            if left[at] != right[at] { return false }
        }
        return true
    }
}
