/// The index of a service's last answer: what the next query is to be newer than.
struct ConsulIndex: Equatable {
    /// What an answer's index tells.
    enum Verdict: Equatable {
        /// The next query may wait for a newer one.
        case good
        /// There is none, so nothing can be waited for.
        case missing
        /// It is smaller than before: Consul was restored, upgraded or has forgotten everything. The next query must not wait.
        case wentBack
    }

    /// Sent with the next query; nil sends none.
    private(set) var value: UInt64?
    /// The last one seen, also when it is not to be sent.
    private(set) var seen: UInt64?

    /// Takes the header of an answer.
    mutating func take(_ header: String?) -> Verdict {
        guard let header, let number = UInt64(header) else {
            value = nil
            return .missing
        }
        // 0 would not block.
        let new = max(number, 1)
        defer { seen = new }
        if let seen, new < seen {
            value = nil
            return .wentBack
        }
        value = new
        return .good
    }

    /// The connection broke or another agent is asked: what it is worth there is unknown. A query with an index that is too
    /// large would hang although everything has changed.
    mutating func distrust() { value = nil }

    /// Another agent may count differently.
    mutating func forget() { (value, seen) = (nil, nil) }
}
