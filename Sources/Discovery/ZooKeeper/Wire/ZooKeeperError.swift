/// Why a request has no answer.
enum ZooKeeperError: Error, Equatable {
    /// The connection is lost; whether the server has seen the request is not known.
    case lost
    /// No such node.
    case noNode
    /// These credentials are not allowed to do that.
    case notAllowed
    /// There is such a node already.
    case nodeExists
    /// Another code of the server's.
    case code(Int32)

    init(_ code: Int32) {
        switch code {
        case -101: self = .noNode
        case -102: self = .notAllowed
        case -110: self = .nodeExists
        default: self = .code(code)
        }
    }

    /// No request is answered any more after this: the session or the connection is over, or not let in.
    var isFinal: Bool {
        if case .code(let code) = self { [-4, -7, -112, -115, -118, -124].contains(code) } else { false }
    }
}

extension ZooKeeperError: CustomStringConvertible {
    /// In words.
    var description: String {
        switch self {
        case .lost: "the connection to the server is lost"
        case .noNode: "no such node"
        case .notAllowed: "not allowed (NoAuth): USER:PASSWORD@ in the address is missing or not the owner's"
        case .nodeExists: "the node exists already"
        case .code(let code): "ZooKeeper says \(Self.names[code].map { "\($0) (\(code))" } ?? "error \(code)")"
        }
    }

    /// As ZooKeeper calls its codes.
    private static let names: [Int32: String] = [
        -1: "SystemError", -2: "RuntimeInconsistency", -3: "DataInconsistency", -4: "ConnectionLoss",
        -5: "MarshallingError", -6: "Unimplemented", -7: "OperationTimeout", -8: "BadArguments", -12: "UnknownSession",
        -13: "NewConfigNoQuorum", -14: "ReconfigInProgress", -100: "APIError", -103: "BadVersion",
        -108: "NoChildrenForEphemerals", -111: "NotEmpty", -112: "SessionExpired", -113: "InvalidCallback",
        -114: "InvalidACL", -115: "AuthFailed", -118: "SessionMoved", -119: "NotReadOnly",
        -120: "EphemeralOnLocalSession", -121: "NoWatcher", -122: "RequestTimeout", -123: "ReconfigDisabled",
        -124: "SessionClosedRequireSaslAuth", -125: "QuotaExceeded", -127: "ThrottledOp",
    ]
}
