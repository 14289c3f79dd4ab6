extension Dubbo {
    /// How attachments are written in a body.
    public enum AttachmentForm: UInt8, Sendable {
        /// Nothing is known: the serialization is opaque.
        case unknown
        /// A map without a type, what Java's HashMap becomes.
        case untypedMap
        /// A map with the name of its class.
        case typedMap
        /// Null in the place of the map.
        case null
        /// The body ends after the arguments.
        case missing
    }

    /// What a request calls. All ranges are places in the body; `.none` where the body has null or nothing.
    ///
    /// Text is as it lies in the body: UTF-8 or CESU-8 in Hessian2, ASCII, Latin-1 or UTF-8 in fastjson2, UTF-8 in fastjson.
    public struct Invocation: Sendable {
        /// Body field 1, such as `2.0.2`. Providers choose the form of the answer by it.
        public var protocolVersion = ByteRange.none
        /// Body field 2: the interface, or the path.
        public var bodyService = ByteRange.none
        /// Body field 3: the interface version, `0.0.0` for none.
        public var bodyVersion = ByteRange.none
        /// Body field 4; `$invoke` for generic calls.
        public var method = ByteRange.none
        /// Body field 5: types of the arguments, such as `Ljava/lang/String;I`.
        public var types = ByteRange.none
        /// Where the arguments begin.
        public var argumentsStart: Int32 = 0
        /// Number of arguments.
        public var argumentCount: Int32 = 0
        /// The real method of a generic call (`$invoke`, `$invokeAsync`): its first argument.
        public var genericMethod = ByteRange.none

        /// The whole attachments value; in fastjson2 with its length prefix, in fastjson with its line end.
        public var attachments = ByteRange.none
        /// How the attachments are written.
        public var attachmentForm = AttachmentForm.unknown
        /// Whether there are more attachments than `Scratch.maximumAttachments`: then the body counts as malformed.
        public var attachmentsOverflow = false
        /// Whether texts that matter are, or may be, written in several pieces, or fastjson2's in another encoding than ASCII and
        /// UTF-8. They were not read: `writePlainTexts` makes them readable.
        public var hasUnusualTexts = false
        /// Attachments in the body, also those of a kind that cannot be looked up.
        public var attachmentCount: Int32 = 0

        /// What providers look up: attachment `path`, else body field 2.
        public var path = ByteRange.none
        /// Attachment `interface`, else `path`. Differs from it only where a path was configured.
        public var interface = ByteRange.none
        /// The version that counts: attachment `version`, else body field 3.
        public var version = ByteRange.none
        /// Attachment `group`; there is none in the body fields.
        public var group = ByteRange.none
        /// Time the consumer waits, in milliseconds: attachment `_TO` (what remains of a countdown), else `timeout`; 0 when
        /// there is none, or nothing usable.
        public var timeoutMilliseconds: Int32 { countdown > 0 ? countdown : timeout }

        /// Body field 3 with its encoding, for replacing.
        public var bodyVersionField = ByteRange.none
        /// The value of the last attachment `version` with its encoding, for replacing; `.none` when it is not plain text.
        public var versionAttachmentField = ByteRange.none

        var timeout: Int32 = 0
        var countdown: Int32 = 0
        /// Place of the attachment map's end mark.
        var attachmentsEndMark: Int32 = 0

        /// Nothing known yet.
        public init() {}

        /// The method that is meant: the real one in generic calls.
        @inlinable public var calledMethod: ByteRange { genericMethod.isEmpty ? method : genericMethod }
    }

    /// What `parseInvocation` made of a body.
    public enum InvocationResult: Sendable {
        /// The invocation holds what the body says.
        case parsed
        /// This serialization is not understood; the invocation is empty. The frame can still be forwarded and answered.
        case opaque
        /// The body is truncated or wrong: answer `Status.badRequest`.
        case malformed
    }

    /// One attachment whose key is plain text.
    struct Attachment {
        var key: ByteRange
        /// Where the value begins.
        var fieldStart: Int32
        /// Where the value's text begins; negative when it is not a string in one piece.
        var textStart: Int32
        /// Where value and text end.
        var end: Int32

        @inline(__always)
        init(key: ByteRange, fieldStart: Int, textStart: Int, end: Int) {
            self.key = key
            self.fieldStart = Int32(truncatingIfNeeded: fieldStart)
            self.textStart = Int32(truncatingIfNeeded: textStart)
            self.end = Int32(truncatingIfNeeded: end)
        }

        @inline(__always) var isText: Bool { textStart >= 0 }
        @inline(__always) var field: ByteRange { ByteRange(start: Int(fieldStart), count: Int(end &- fieldStart)) }
        @inline(__always) var text: ByteRange { ByteRange(start: Int(textStart), count: Int(end &- textStart)) }
    }

    /// Memory for reading bodies, allocated once (per worker) and used for body after body.
    public struct Scratch: ~Copyable {
        /// Attachments of one body that can be looked up.
        public static let maximumAttachments = 65_536

        var hessian = Hessian2.Scratch()
        private(set) var attachments: UnsafeMutablePointer<Attachment>
        private var room = 256
        private(set) var attachmentCount = 0
        /// A bit for each kind of key that there is, so that most names that are not there need no search.
        private(set) var keyKinds: UInt64 = 0

        /// Allocates about 40 KiB.
        public init() {
            attachments = .allocate(capacity: room)
        }

        deinit { attachments.deallocate() }

        /// Begins another body.
        mutating func begin() {
            attachmentCount = 0
            keyKinds = 0
        }

        /// Keeps an attachment of a body. False: there are too many.
        @inline(__always)
        mutating func keep(_ attachment: Attachment, _ body: UnsafePointer<UInt8>) -> Bool {
            if attachmentCount == room && !grow() { return false }
            (attachments + attachmentCount).initialize(to: attachment)
            attachmentCount &+= 1
            keyKinds |= Self.kind(body + Int(attachment.key.start), Int(attachment.key.count))
            return true
        }

        /// The bit of a key, by its length and its last byte in either case. Before an empty key there is a byte in any form.
        @inline(__always)
        static func kind(_ key: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
            1 &<< UInt64(truncatingIfNeeded: count &+ Int(key[count &- 1] | 0x20))
        }

        @inline(never)
        private mutating func grow() -> Bool {
            if room == Self.maximumAttachments { return false }
            let larger = UnsafeMutablePointer<Attachment>.allocate(capacity: 2 * room)
            larger.moveInitialize(from: attachments, count: attachmentCount)
            attachments.deallocate()
            attachments = larger
            room *= 2
            return true
        }
    }

    /// Reads the body of a request (not of an event).
    ///
    /// - Parameters:
    ///   - body: The bytes after the head.
    ///   - count: Their number, the head's `bodyLength`.
    ///   - serialization: From the head.
    ///   - scratch: Holds the attachments afterwards, until the next body is read with it.
    ///   - invocation: Overwritten.
    public static func parseInvocation(
        _ body: UnsafePointer<UInt8>, count: Int, _ serialization: Serialization, _ scratch: inout Scratch,
        into invocation: inout Invocation
    ) -> InvocationResult {
        scratch.begin()
        invocation = Invocation()
        let isParsed: Bool
        switch serialization {
        case .hessian2: isParsed = parseHessian2(body, count, &scratch, &invocation)
        case .fastjson2: isParsed = parseFastjson2(body, count, &scratch, &invocation)
        case .fastjson: isParsed = parseFastjson(body, count, &scratch, &invocation)
        default: return .opaque
        }
        // What cannot be read may be a field in such a form.
        if !isParsed { invocation.hasUnusualTexts = serialization != .fastjson }
        return isParsed && !invocation.attachmentsOverflow ? .parsed : .malformed
    }

    /// Notes where the arguments begin that follow the five fields of a request, and counts them; -1 when their types are no
    /// types.
    @inline(__always)
    static func beginArguments(_ body: UnsafePointer<UInt8>, _ count: Int, at: Int, _ invocation: inout Invocation)
        -> Int
    {
        invocation.path = invocation.bodyService
        invocation.version = invocation.bodyVersion
        let arguments = argumentCount(body, invocation.types, count)
        if arguments < 0 { return -1 }
        invocation.argumentsStart = Int32(truncatingIfNeeded: at)
        invocation.argumentCount = Int32(truncatingIfNeeded: arguments)
        return arguments
    }
}
