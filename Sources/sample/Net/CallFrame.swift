/// A frame of a protocol that has many calls in flight on a connection and numbers them.
protocol CallFrame {
    /// Takes a frame out of `input` once it is complete; nil until then. Throws where the bytes are of another protocol.
    static func take(from input: inout [UInt8]) throws -> Self?

    /// The frame as it is sent.
    var bytes: [UInt8] { get }
    /// The number of the call that this answers; nil: it is no answer to a call.
    var answeredCall: Int64? { get }
    /// What a client sends back at once, as to a heartbeat; nil: nothing.
    var reply: [UInt8]? { get }
    /// What an answer says: a text, or why there is none.
    var result: Result<String, CallFailure> { get }
}
