extension Bolt {
    /// What stands before class, header, content and checksum.
    public struct FrameHead: FrameHeading, Equatable, Sendable {
        /// Protocol and inner version.
        public var variant: Variant
        /// Request, response or one-way request.
        public var type: FrameType
        /// What the frame is for; see `Command`.
        public var command: UInt16
        /// Chosen by the requesting side and echoed in the response; any 32 bits.
        public var id: UInt32
        /// How the content is serialized; see `Codec`.
        public var codec: UInt8
        /// Bit 0 says that there is a checksum, in `version2WithChecksums` only: Java sets it without one in `version2`.
        public var switches: UInt8 = 0
        /// Milliseconds that the caller waits; 0 and less for no limit. 0 in responses.
        public var timeout: Int32 = 0
        /// See `Status`. 0 in requests.
        public var status: UInt16 = 0
        /// Bytes of the class name, 0 ... 32767.
        public var classLength = 0
        /// Bytes of the header map, 0 ... 32767.
        public var headerLength = 0
        /// Bytes of the content, 0 ..< 2^31.
        public var contentLength = 0

        /// A head of a frame that has nothing behind it.
        @inlinable
        public init(variant: Variant, type: FrameType, command: UInt16, id: UInt32, codec: UInt8) {
            self.variant = variant
            self.type = type
            self.command = command
            self.id = id
            self.codec = codec
        }

        /// A request, with or without a response; not a response.
        @inlinable public var isRequest: Bool { type != .response }
        /// A heartbeat or the answer to one.
        @inlinable public var isHeartbeat: Bool { command == Command.heartbeat }
        /// A request that must be answered. One-way heartbeats are answered too.
        @inlinable public var wantsResponse: Bool { type == .request || type == .oneWay && isHeartbeat }
        /// Whether a checksum follows the content.
        @inlinable public var hasChecksum: Bool { variant == .version2WithChecksums && switches & 1 != 0 }
        /// Bytes of the head: 20 for responses, 22 for requests, two more in version 2.
        @inlinable public var headLength: Int { (isRequest ? 22 : 20) &+ (variant == .version1 ? 0 : 2) }
        /// Bytes behind the head, a checksum included.
        @inlinable public var bodyLength: Int {
            classLength &+ headerLength &+ contentLength &+ (hasChecksum ? checksumSize : 0)
        }

        /// Place of the class name in the frame.
        @inlinable public var classRange: ByteRange { ByteRange(start: headLength, count: classLength) }
        /// Place of the header map in the frame.
        @inlinable public var headerRange: ByteRange {
            ByteRange(start: headLength &+ classLength, count: headerLength)
        }
        /// Place of the content in the frame.
        @inlinable public var contentRange: ByteRange {
            ByteRange(start: headLength &+ classLength &+ headerLength, count: contentLength)
        }
    }

    /// Why bytes are not a frame. The stream cannot be used any further; Java peers close the connection.
    public enum FrameError: Equatable, Sendable {
        /// It begins with neither 1 nor 2.
        case badProtocol
        /// The inner version of protocol 2 is neither 1 nor 2.
        case badVersion
        /// Neither request nor response nor one-way request.
        case badType
        /// A length that Java reads as negative.
        case badLength
        /// The checksum is not that of the frame.
        case badChecksum
    }

    /// What `parseFrameHead` found.
    public typealias FrameHeadResult = Frames.HeadResult<FrameHead, FrameError>
    /// What `nextFrame` found.
    public typealias FrameStep = Frames.Step<FrameHead, FrameError>

    /// Reads the head of a frame. One byte may be enough to say that it is none.
    @inlinable
    public static func parseFrameHead(_ bytes: UnsafePointer<UInt8>, count: Int) -> FrameHeadResult {
        if count < smallestHeadSize { return parseShortFrameHead(bytes, count: count) }
        // Fields of version 2 lie one byte further behind the inner version, two behind the switch.
        let isSecond = bytes[0] == 2
        if !isSecond && bytes[0] != 1 { return .invalid(.badProtocol) }
        let shift = isSecond ? 1 : 0
        if isSecond && bytes[1] != 1 && bytes[1] != 2 { return .invalid(.badVersion) }
        guard let type = FrameType(rawValue: bytes[1 &+ shift]) else { return .invalid(.badType) }
        let raw = UnsafeRawPointer(bytes)
        var head = FrameHead(
            variant: !isSecond ? .version1 : bytes[1] == 1 ? .version2 : .version2WithChecksums,
            type: type,
            command: UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 2 &+ shift, as: UInt16.self)),
            id: UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 5 &+ shift, as: UInt32.self)),
            codec: bytes[9 &+ shift])
        if count < head.headLength { return .incomplete }
        if isSecond { head.switches = bytes[11] }
        let field = raw + (isSecond ? 12 : 10)
        if head.isRequest {
            head.timeout = Int32(bigEndian: field.loadUnaligned(as: Int32.self))
        } else {
            head.status = UInt16(bigEndian: field.loadUnaligned(as: UInt16.self))
        }
        let lengths = UInt64(
            bigEndian: raw.loadUnaligned(fromByteOffset: head.headLength &- 8, as: UInt64.self))
        if lengths & 0x8000_8000_8000_0000 != 0 { return .invalid(.badLength) }
        head.classLength = Int(lengths >> 48)
        head.headerLength = Int(lengths >> 32 & 0xffff)
        head.contentLength = Int(lengths & 0xffff_ffff)
        return .complete(head)
    }

    @usableFromInline
    static func parseShortFrameHead(_ bytes: UnsafePointer<UInt8>, count: Int) -> FrameHeadResult {
        if count == 0 { return .incomplete }
        if bytes[0] != 1 && bytes[0] != 2 { return .invalid(.badProtocol) }
        let isSecond = bytes[0] == 2
        if isSecond && count > 1 && bytes[1] != 1 && bytes[1] != 2 { return .invalid(.badVersion) }
        let typePlace = isSecond ? 2 : 1
        if count > typePlace && bytes[typePlace] > 2 { return .invalid(.badType) }
        return .incomplete
    }

    /// Goes on in a stream of frames; see `Frames.next`. The limit includes a checksum. The checksum of a whole frame is right where
    /// it has one.
    @inlinable @inline(__always)
    public static func nextFrame(
        _ bytes: UnsafePointer<UInt8>, count: Int, used: inout Int, skip: inout Int, limit: Int
    ) -> FrameStep {
        let step = Frames.next(bytes, count: count, used: &used, skip: &skip, limit: limit) {
            parseFrameHead($0, count: $1)
        }
        if case .frame(let head) = step, head.hasChecksum, !isChecksumRight(bytes + used, head) {
            return .invalid(.badChecksum)
        }
        return step
    }

    /// Writes a head and returns its size, at most `largestHeadSize`.
    @inlinable @discardableResult
    public static func writeHead(_ head: FrameHead, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        let raw = UnsafeMutableRawPointer(out)
        let isSecond = head.variant != .version1
        let shift = isSecond ? 1 : 0
        out[0] = head.variant.protocolCode
        if isSecond { out[1] = head.variant == .version2 ? 1 : 2 }
        out[1 &+ shift] = head.type.rawValue
        raw.storeBytes(of: head.command.bigEndian, toByteOffset: 2 &+ shift, as: UInt16.self)
        out[4 &+ shift] = 1
        raw.storeBytes(of: head.id.bigEndian, toByteOffset: 5 &+ shift, as: UInt32.self)
        out[9 &+ shift] = head.codec
        if isSecond { out[11] = head.switches }
        let field = isSecond ? 12 : 10
        if head.isRequest {
            raw.storeBytes(of: head.timeout.bigEndian, toByteOffset: field, as: Int32.self)
        } else {
            raw.storeBytes(of: head.status.bigEndian, toByteOffset: field, as: UInt16.self)
        }
        let lengths = UInt64(head.classLength) << 48 | UInt64(head.headerLength) << 32 | UInt64(head.contentLength)
        raw.storeBytes(of: lengths.bigEndian, toByteOffset: head.headLength &- 8, as: UInt64.self)
        return head.headLength
    }
}
