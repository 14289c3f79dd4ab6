/// The Dubbo protocol (`dubbo://`, magic `dabb`): frames, invocations in Hessian2, fastjson2 and fastjson, and answers of our own.
///
/// Everything is a function over bytes that the caller owns. Nothing is allocated: what must be remembered of a body
/// lies in an `Invocation` (places in the body) and in a `Scratch` that is used for body after body.
public enum Dubbo {
    /// Bytes of a frame's head.
    public static let headSize = 16

    /// How a body is serialized: the low five bits of the flags.
    public struct Serialization: Hashable, Sendable {
        /// The wire's number, 0 ... 31.
        public let id: UInt8

        /// A serialization by number; only the low five bits count.
        @inlinable public init(id: UInt8) { self.id = id & 0x1f }

        /// Hessian 2, the default of all versions but 3.2.
        public static let hessian2 = Serialization(id: 2)
        /// fastjson 1: lines of JSON text.
        public static let fastjson = Serialization(id: 6)
        /// fastjson 2: length-prefixed JSONB.
        public static let fastjson2 = Serialization(id: 23)
    }

    /// Response status, byte 3 of a response. Consumers take any value; these are the known ones.
    public enum Status {
        /// The body is a result, which may be an exception of the called method.
        public static let ok: UInt8 = 20
        /// The provider cannot serialize its result (3.x).
        public static let serializationError: UInt8 = 25
        /// The consumer gave up waiting.
        public static let clientTimeout: UInt8 = 30
        /// The provider, or a proxy, gave up waiting.
        public static let serverTimeout: UInt8 = 31
        /// The connection is gone.
        public static let channelInactive: UInt8 = 35
        /// The request cannot be decoded.
        public static let badRequest: UInt8 = 40
        /// The answer cannot be decoded or is too long.
        public static let badResponse: UInt8 = 50
        /// No such service.
        public static let serviceNotFound: UInt8 = 60
        /// A failure outside the called method, "Not found exported service" among them.
        public static let serviceError: UInt8 = 70
        /// A failure of the server.
        public static let serverError: UInt8 = 80
        /// A failure of the consumer.
        public static let clientError: UInt8 = 90
        /// The provider's thread pool is full; the request was not executed.
        public static let threadPoolExhausted: UInt8 = 100
    }

    /// Codes of `RpcException`, see `writeRpcException`.
    public enum RpcExceptionCode {
        /// No particular kind.
        public static let unknown: Int32 = 0
        /// Network trouble.
        public static let network: Int32 = 1
        /// Time ran out.
        public static let timeout: Int32 = 2
        /// A failure of the called method.
        public static let business: Int32 = 3
        /// The call is not allowed.
        public static let forbidden: Int32 = 4
        /// Serialization trouble.
        public static let serialization: Int32 = 5
        /// No provider is available after filtering.
        public static let noInvokerAvailable: Int32 = 6
        /// A limit is exceeded.
        public static let limitExceeded: Int32 = 7
    }
}
