/// Why an instance has not told what it offers.
struct DubboMetadataFailure: Error, Equatable, CustomStringConvertible {
    /// What has gone wrong.
    enum Kind: Equatable {
        /// Its name has no address, or nothing listens there.
        case unreachable
        /// Nothing, or only a part, came in time.
        case late
        /// It has closed the connection.
        case closed
        /// What came is not Dubbo, or cannot be read.
        case unreadable
        /// The answer is too long.
        case tooLarge
        /// It has answered with an error.
        case refused
        /// It does not know the revision, or has told about another one.
        case wrongRevision
    }

    let kind: Kind
    /// `10.0.0.1:20880`; empty where no host is concerned.
    var host = ""
    let reason: String

    init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    var description: String { host.isEmpty ? reason : "\(host): \(reason)" }
}
