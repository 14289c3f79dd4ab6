/// Fields that must not be trailers (RFC 9110, section 6.5.1): whoever merges trailers into the head would frame, route,
/// authenticate or read the message otherwise than this proxy did.
///
/// A name arrives in pieces and is not kept, so it is compared by a hash of its bytes in lower case.
enum ForbiddenTrailers {
    private static let names = [
        // Framing, routing and the connection
        "content-length", "transfer-encoding", "host", "connection", "keep-alive", "te", "trailer", "upgrade", "via",
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
        // What is asked for
        "authorization", "cookie", "expect", "max-forwards", "pragma", "range", "cache-control", "if-match",
        "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
        // How the content is read
        "content-encoding", "content-range", "content-type",
        // How the answer is taken
        "age", "date", "expires", "location", "retry-after", "set-cookie", "vary", "warning", "www-authenticate",
    ]

    private static let hashes = Set(names.map(hash))

    /// Every name that begins with this is forbidden.
    static let proxyPrefix = hash("proxy-")

    /// The hash of no bytes at all (FNV-1a).
    static let emptyHash: UInt64 = 0xcbf2_9ce4_8422_2325

    /// The hash of one more byte of a name.
    static func add(_ byte: UInt8, to hash: UInt64) -> UInt64 {
        let lower = byte.isLetter ? byte | 0x20 : byte
        return (hash ^ UInt64(lower)) &* 0x100_0000_01b3
    }

    /// Whether the name with this hash is forbidden.
    static func contains(_ hash: UInt64) -> Bool { hashes.contains(hash) }

    private static func hash(_ name: String) -> UInt64 { name.utf8.reduce(emptyHash) { add($1, to: $0) } }
}
