/// What a server answers.
enum ZooKeeperReply: Equatable {
    /// It is done.
    case done
    /// The names below the node.
    case children(JuteNames)
    /// The node's data.
    case data([UInt8])
    /// There is a node; the session that it ends with, 0 for none.
    case exists(owner: Int64)
}

extension ZooKeeperReply {
    /// What stands before each answer.
    struct Header {
        /// The request's number, or one of `ZooKeeperRequest.Number`.
        let number: Int32
        /// 0, or why there is no answer.
        let code: Int32

        init(_ reader: inout JuteReader) throws(JuteReader.Malformed) {
            number = try reader.int32()
            // The server's last change.
            _ = try reader.int64()
            code = try reader.int32()
        }
    }

    /// Larger data is not ours: a server takes 1 MiB by default.
    private static let largestData = 16 << 20

    /// Reads the answer to a request. An answer does not say to what; one that does not fit to the byte is not taken for it.
    init(_ reader: inout JuteReader, to request: ZooKeeperRequest) throws(JuteReader.Malformed) {
        switch request {
        case .children: self = .children(try reader.names())
        case .data:
            let data = try reader.buffer()
            self = .data(data.count > Self.largestData ? [] : Array(data))
            _ = try Self.owner(&reader)
        case .exists: self = .exists(owner: try Self.owner(&reader))
        case .create:
            // The path as it has been made.
            _ = try reader.buffer()
            self = .done
        case .set:
            _ = try Self.owner(&reader)
            self = .done
        case .delete, .forget: self = .done
        }
        try reader.end()
    }

    /// Reads all about a node.
    private static func owner(_ reader: inout JuteReader) throws(JuteReader.Malformed) -> Int64 {
        // Changes and times of creating and writing; versions of data, children and rights.
        for _ in 0..<4 { _ = try reader.int64() }
        for _ in 0..<3 { _ = try reader.int32() }
        let owner = try reader.int64()
        // Size of the data, number of children; the last change of these.
        for _ in 0..<2 { _ = try reader.int32() }
        _ = try reader.int64()
        return owner
    }
}
