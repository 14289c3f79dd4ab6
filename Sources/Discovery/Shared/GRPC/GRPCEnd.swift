/// How a gRPC stream has ended, or its connection.
struct GRPCEnd: Error, Equatable, CustomStringConvertible {
    /// What it means.
    enum Kind: Equatable {
        /// With gRPC status 0: all messages have come.
        case complete
        /// With another status.
        case refused
        /// Nothing listens there.
        case unreachable
        /// The stream was reset, or the connection is gone.
        case closed
        /// What came is no gRPC.
        case unreadable
        /// A message is too long.
        case tooLarge
    }

    let kind: Kind
    /// For the log.
    let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
