extension HTTP1 {
    /// How a request target is written (RFC 9112, section 3.2).
    public enum TargetForm: UInt8, Sendable {
        /// A path and perhaps a query.
        case origin
        /// A whole URI.
        case absolute
        /// A host and a port; CONNECT only.
        case authority
        /// `*`; OPTIONS only.
        case asterisk
    }

    /// Yes-or-no facts about a head.
    public struct HeadFlags: OptionSet, Sendable {
        /// One bit for each flag.
        public var rawValue: UInt8

        /// Flags from their bits.
        @inline(__always)
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The sender keeps the connection open after this message.
        public static let keepAlive = HeadFlags(rawValue: 1)
        /// The client waits for 100 Continue before it sends the body.
        public static let expectContinue = HeadFlags(rawValue: 2)
        /// The client asks for another protocol on this connection, and that may be granted; or a response names one.
        public static let upgrade = HeadFlags(rawValue: 4)
        /// The client understands trailers (`TE: trailers`).
        public static let trailersWelcome = HeadFlags(rawValue: 8)
    }

    /// The head of a request. All places are in the bytes it was parsed from.
    public struct RequestHead: Sendable {
        /// The request line begins here: behind empty lines, which are skipped.
        public var start: Int32 = 0
        /// One past the empty line: the body begins here.
        public var length: Int32 = 0
        /// The first field line begins here.
        public var fieldsStart: Int32 = 0
        /// The method, if it is a known one.
        public var method = Method.other
        /// How the target is written.
        public var targetForm = TargetForm.origin
        /// 0 for HTTP/1.0, 1 for HTTP/1.1 and later.
        public var minorVersion: UInt8 = 1
        /// Facts.
        public var flags: HeadFlags = []
        /// Which special fields there are.
        public var kinds: KindSet = []
        /// The method as written.
        public var methodName = ByteRange.none
        /// The whole target as written.
        public var target = ByteRange.none
        /// The path without the query. Empty if an absolute target has none, which means `/`; and for CONNECT.
        public var path = ByteRange.none
        /// Path and query, as they stand in the target.
        public var pathAndQuery = ByteRange.none
        /// Host and port: the authority of the target if it has one, otherwise the value of Host. May be empty.
        public var host = ByteRange.none
        /// `host` without the port; an IPv6 address keeps its brackets.
        public var hostName = ByteRange.none
        /// How the end of the body is found; never `untilClose`.
        public var framing = BodyFraming.none

        /// A head that nothing was parsed into.
        public init() {}
    }
}
