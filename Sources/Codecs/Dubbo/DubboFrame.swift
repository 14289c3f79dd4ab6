extension Dubbo {
    /// The 16 bytes before every body.
    public struct FrameHead: FrameHeading, Equatable, Sendable {
        /// Byte 2: request 0x80, two-way 0x40, event 0x20, serialization 0x1f.
        public var flags: UInt8
        /// Byte 3: meaningful in responses only; see `Status`.
        public var status: UInt8
        /// Chosen by the requesting side and echoed in the response; any 64-bit value.
        public var id: Int64
        /// Bytes after the head, 0 ..< 2^31.
        public var bodyLength: Int

        /// A head.
        @inlinable
        public init(flags: UInt8, status: UInt8, id: Int64, bodyLength: Int) {
            self.flags = flags
            self.status = status
            self.id = id
            self.bodyLength = bodyLength
        }

        /// A request, not a response.
        @inlinable public var isRequest: Bool { flags & 0x80 != 0 }
        /// A request that wants a response. One without gets none, not even an error. Meaningless in responses.
        @inlinable public var isTwoWay: Bool { flags & 0x40 != 0 }
        /// A heartbeat, readonly or writeable message, not a call or its result.
        @inlinable public var isEvent: Bool { flags & 0x20 != 0 }
        /// How the body is serialized.
        @inlinable public var serialization: Serialization { Serialization(id: flags) }
        /// Always 16.
        @inlinable public var headLength: Int { headSize }
    }

    /// Why bytes are not a frame. The stream cannot be used any further.
    public enum FrameError: Equatable, Sendable {
        /// It does not begin with `dabb`.
        case badMagic
        /// The body length is 2^31 or more, which Java reads as negative.
        case badLength
    }

    /// What `parseFrameHead` found.
    public typealias FrameHeadResult = Frames.HeadResult<FrameHead, FrameError>
    /// What `nextFrame` found.
    public typealias FrameStep = Frames.Step<FrameHead, FrameError>

    /// Reads the head of a frame. One byte may be enough to say that it is none.
    @inlinable
    public static func parseFrameHead(_ bytes: UnsafePointer<UInt8>, count: Int) -> FrameHeadResult {
        if count < headSize { return parseShortFrameHead(bytes, count: count) }
        let raw = UnsafeRawPointer(bytes)
        let first = UInt32(bigEndian: raw.loadUnaligned(as: UInt32.self))
        if first >> 16 != 0xdabb { return .invalid(.badMagic) }
        let length = UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        if length >= 0x8000_0000 { return .invalid(.badLength) }
        return .complete(
            FrameHead(
                flags: UInt8(truncatingIfNeeded: first >> 8), status: UInt8(truncatingIfNeeded: first),
                id: readID(bytes), bodyLength: Int(length)))
    }

    /// Goes on in a stream of frames; see `Frames.next`.
    @inlinable @inline(__always)
    public static func nextFrame(
        _ bytes: UnsafePointer<UInt8>, count: Int, used: inout Int, skip: inout Int, limit: Int
    ) -> FrameStep {
        Frames.next(bytes, count: count, used: &used, skip: &skip, limit: limit) { parseFrameHead($0, count: $1) }
    }

    @usableFromInline
    static func parseShortFrameHead(_ bytes: UnsafePointer<UInt8>, count: Int) -> FrameHeadResult {
        if count >= 1 && bytes[0] != 0xda || count >= 2 && bytes[1] != 0xbb { return .invalid(.badMagic) }
        return .incomplete
    }

    /// The id of the frame at `frame`, of which 12 bytes are there.
    @inlinable
    public static func readID(_ frame: UnsafePointer<UInt8>) -> Int64 {
        Int64(bigEndian: UnsafeRawPointer(frame).loadUnaligned(fromByteOffset: 4, as: Int64.self))
    }

    /// Overwrites the id of the frame at `frame`. Nothing in a body depends on it.
    @inlinable
    public static func writeID(_ id: Int64, _ frame: UnsafeMutablePointer<UInt8>) {
        UnsafeMutableRawPointer(frame).storeBytes(of: id.bigEndian, toByteOffset: 4, as: Int64.self)
    }

    /// Writes a head of 16 bytes.
    @inlinable
    public static func writeHead(_ head: FrameHead, _ out: UnsafeMutablePointer<UInt8>) {
        let raw = UnsafeMutableRawPointer(out)
        out[0] = 0xda
        out[1] = 0xbb
        out[2] = head.flags
        out[3] = head.status
        raw.storeBytes(of: head.id.bigEndian, toByteOffset: 4, as: Int64.self)
        raw.storeBytes(of: UInt32(truncatingIfNeeded: head.bodyLength).bigEndian, toByteOffset: 12, as: UInt32.self)
    }
}
