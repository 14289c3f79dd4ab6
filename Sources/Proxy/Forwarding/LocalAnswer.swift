/// An answer that Greymesh makes itself. What it becomes on the wire is the protocol's own table.
enum LocalAnswer: Equatable {
    /// The request cannot be read.
    case malformed
    /// The request is longer than is allowed.
    case tooLong
    /// No service is meant that could be asked for.
    case unnamed
    /// The registries have not told in time, or the service was let go meanwhile.
    case undiscovered
    /// No host may serve, or none is usable.
    case noHost
    /// Hosts were tried, and none could be reached.
    case unreachable
    /// No connection could be opened for want of descriptors, ports or memory here.
    case exhausted
    /// The connection ended after the request may have been read.
    case lost
    /// No answer in time.
    case timeout
    /// The host's answer is none, or too long.
    case badAnswer
    /// Too much waits here already, or too many names are asked for that no registry lists.
    case overloaded
    /// The request has come round.
    case loop
    /// This is not forwarded.
    case unsupported
}
