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
    /// Too much waits here already or is in flight, or too many names are asked for that no registry lists.
    case overloaded
    /// More requests than the rate limit lets through.
    case rateLimited
    /// The client has no access.
    case denied
    /// The request has come round.
    case loop
    /// This is not forwarded.
    case unsupported
}

extension LocalAnswer {
    /// What it is called in one word, for programs. It never changes.
    var word: StaticString {
        switch self {
        case .malformed: "malformed"
        case .tooLong: "too-long"
        case .unnamed: "not-found"
        case .undiscovered: "discovery"
        case .noHost: "no-host"
        case .unreachable: "connect"
        case .exhausted: "exhausted"
        case .lost: "reset"
        case .timeout: "timeout"
        case .badAnswer: "bad-answer"
        case .overloaded: "limit"
        case .rateLimited: "rate"
        case .denied: "denied"
        case .loop: "loop"
        case .unsupported: "unsupported"
        }
    }

    /// The word for an HTTP head that is refused with a status of its own.
    static func word(refusing status: Int) -> StaticString {
        switch status {
        case 408: "client-timeout"
        case 413, 414, 431: LocalAnswer.tooLong.word
        case 501, 505: LocalAnswer.unsupported.word
        default: LocalAnswer.malformed.word
        }
    }
}
