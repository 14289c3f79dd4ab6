extension HTTP1 {
    /// Longest chunk-size line, with its extensions and line end, in bytes.
    public static let maximumChunkLine = 256

    /// Longest trailer section, with the empty line, in bytes.
    public static let maximumTrailers = 65536

    /// What is wrong with a chunked body.
    public enum ChunkError: UInt8, Error, CaseIterable, Sendable {
        /// The size is missing, not hexadecimal, or above `Int64.max`.
        case badSize
        /// Something else behind the size than extensions as RFC 9112, section 7.1.1, writes them.
        case badExtension
        /// The size line is longer than `maximumChunkLine`.
        case lineTooLong
        /// A line or a chunk does not end with carriage return and line feed.
        case badLineEnd
        /// A trailer line is not a valid field.
        case badTrailer
        /// A trailer whose name means something to framing, routing or the connection; see `ForbiddenTrailers`.
        case forbiddenTrailer
        /// The trailer section is longer than `maximumTrailers`.
        case trailersTooLarge

        /// One line for people, without a full stop.
        public var text: StaticString {
            switch self {
            case .badSize: "malformed chunk size"
            case .badExtension: "malformed chunk extension"
            case .lineTooLong: "chunk size line too long"
            case .badLineEnd: "malformed line end in a chunked body"
            case .badTrailer: "malformed trailer field"
            case .forbiddenTrailer: "trailer field not allowed"
            case .trailersTooLarge: "trailer section too large"
            }
        }
    }

    /// How far a chunked body has come (RFC 9112, section 7.1). One for each body.
    public struct ChunkedState: Sendable {
        enum Phase: UInt8 {
            case size
            case extensionBlank, extensionStart, extensionName, extensionNameBlank
            case extensionValueStart, extensionValue, extensionQuoted, extensionEscape, extensionQuoteEnd
            case sizeLineFeed
            case data, dataReturn, dataLineFeed
            case trailerStart, trailerName, trailerValue, trailerLineFeed, endLineFeed
            case done
        }

        var phase = Phase.size
        /// Bytes of the current size line or trailer name.
        var lineLength: Int32 = 0
        /// Bytes of the trailer section.
        var trailerLength: Int32 = 0
        /// The size read so far, then the bytes of data that are still to come.
        var remaining: UInt64 = 0
        /// Of the current trailer name's bytes so far.
        var nameHash: UInt64 = 0

        /// The state at the first byte of a body.
        @inline(__always)
        public init() {}

        /// Whether the body has ended.
        @inline(__always)
        public var isDone: Bool { phase == .done }
    }

    /// What `advanceChunked` saw.
    public enum ChunkedResult: Equatable, Sendable {
        /// All bytes belong to the body, and it goes on.
        case needMore
        /// The body, with its trailers, ended after this many of the bytes.
        case done(consumed: Int)
        /// Not a chunked body; what came before in these bytes must not be passed on as if it were complete.
        case invalid(ChunkError)
    }

    /// What `nextChunk` saw.
    public enum ChunkedEvent: Equatable, Sendable {
        /// Bytes of content; there may be more behind them.
        case data(ByteRange)
        /// All bytes are used up, and the body goes on.
        case needMore
        /// The body, with its trailers, ended before `position`.
        case done
        /// Not a chunked body.
        case invalid(ChunkError)
    }

    /// Follows a chunked body that is passed on as it is, with extensions and trailers.
    ///
    /// - Parameters:
    ///   - bytes: the next bytes of the body, and perhaps what comes behind it.
    ///   - count: number of bytes.
    ///   - state: where the body stands.
    public static func advanceChunked(
        _ bytes: UnsafePointer<UInt8>, count: Int, state: inout ChunkedState
    ) -> ChunkedResult {
        var position = 0
        while true {
            switch nextChunk(bytes, count: count, position: &position, state: &state) {
            case .data: continue
            case .needMore: return .needMore
            case .done: return .done(consumed: position)
            case .invalid(let reason): return .invalid(reason)
            }
        }
    }

    /// Takes a chunked body apart: call again until the event is not `data`. Trailers are checked and skipped.
    ///
    /// - Parameters:
    ///   - bytes: the next bytes of the body, and perhaps what comes behind it.
    ///   - count: number of bytes.
    ///   - position: where to go on in `bytes`; moved behind what was used.
    ///   - state: where the body stands.
    public static func nextChunk(
        _ bytes: UnsafePointer<UInt8>, count: Int, position: inout Int, state: inout ChunkedState
    ) -> ChunkedEvent {
        while state.phase != .done {
            guard position >= 0, position < count else { return .needMore }
            if state.phase == .data {
                let start = position
                let length = Int(min(state.remaining, UInt64(count &- position)))
                state.remaining &-= UInt64(length)
                position &+= length
                if state.remaining == 0 { state.phase = .dataReturn }
                return .data(ByteRange(start: start, count: length))
            }
            let byte = bytes[position]
            position &+= 1
            do throws(ChunkError) {
                if state.phase.rawValue < ChunkedState.Phase.trailerStart.rawValue {
                    try state.stepFrame(byte)
                } else {
                    try state.stepTrailer(byte)
                }
            } catch {
                return .invalid(error)
            }
        }
        return .done
    }

    /// Most bytes that `writeChunkSize` writes: 16 digits and a line end.
    public static let chunkSizeBound = 18

    /// The end of a chunked body, behind the line end of the last chunk.
    public static let lastChunk: StaticString = "0\r\n\r\n"

    /// Writes the size line of a chunk; the data and a line end have to follow.
    ///
    /// - Parameters:
    ///   - size: bytes of data, at least 1.
    ///   - output: room for `chunkSizeBound` bytes.
    /// - Returns: bytes written.
    public static func writeChunkSize(_ size: Int, into output: UnsafeMutablePointer<UInt8>) -> Int {
        var out = Output(output)
        out.put(hexadecimal: UInt64(truncatingIfNeeded: size))
        out.put("\r\n")
        return out.count
    }
}
