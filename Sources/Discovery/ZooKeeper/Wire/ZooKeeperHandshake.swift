/// What a session is known by; it can be taken to another connection, also to another server of the cluster.
struct ZooKeeperSession: Equatable {
    /// Not 0.
    let number: Int64
    let password: [UInt8]
}

/// The first message of each side.
enum ZooKeeperHandshake {
    /// What a server says to being greeted.
    enum Answer: Equatable {
        /// The session, and how long it lives without a sign of life, in milliseconds.
        case granted(ZooKeeperSession, timeout: Int32)
        /// There is no such session.
        case refused
    }

    /// Sizes of an answer: servers before 3.4 leave out the last byte, which says whether they can only be read from.
    static let sizes = 36...37

    private static let passwordSize = 16

    /// Asks for a session.
    ///
    /// - Parameter timeout: how long it shall live without a sign of life, in milliseconds.
    static func greet(_ output: inout JuteWriter, resuming session: ZooKeeperSession?, timeout: Int32) {
        output.frame {
            // The protocol's version.
            $0.put(Int32(0))
            // The last change that was seen: none. A server that lags behind another tells the rest by watches, and one whose
            // data was lost would refuse us for ever.
            $0.put(Int64(0))
            $0.put(timeout)
            $0.put(session?.number ?? 0)
            $0.put(session?.password ?? [UInt8](repeating: 0, count: passwordSize))
            // A server that can only be read from is of no use.
            $0.put(false)
        }
    }

    /// Reads the answer.
    static func answer(_ frame: ArraySlice<UInt8>) throws(JuteReader.Malformed) -> Answer {
        guard sizes.contains(frame.count) else { throw JuteReader.Malformed() }
        var reader = JuteReader(frame)
        // The protocol's version has always been 0.
        guard try reader.int32() == 0 else { throw JuteReader.Malformed() }
        let timeout = try reader.int32()
        let number = try reader.int64()
        let password = Array(try reader.buffer())
        guard timeout >= 0, password.count == passwordSize else { throw JuteReader.Malformed() }
        if timeout == 0 { return .refused }
        guard number != 0 else { throw JuteReader.Malformed() }
        return .granted(ZooKeeperSession(number: number, password: password), timeout: timeout)
    }
}
