/// Messages on a gRPC stream: each has a flag (0: not compressed) and its length in front.
struct GRPCMessages {
    /// Why a stream cannot be read on.
    enum Malformed: Error, Equatable {
        /// Compressed, though that was not offered.
        case compressed
        /// Larger than this many bytes.
        case tooLarge(Int)
    }

    private var buffer: [UInt8] = []
    private let limit: Int

    /// - Parameter limit: largest message that is taken, in bytes.
    init(limit: Int) { self.limit = limit }

    /// Whether a message has begun and not ended.
    var isWithin: Bool { !buffer.isEmpty }

    /// A message with its prefix.
    static func frame(_ message: [UInt8]) -> [UInt8] {
        let length = UInt32(clamping: message.count)
        return [0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + message
    }

    /// Takes what has come and returns the messages that are whole now.
    mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) throws(Malformed) -> [[UInt8]] {
        buffer.append(contentsOf: bytes)
        var messages: [[UInt8]] = []
        var position = 0
        while buffer.count - position >= 5 {
            guard buffer[position] == 0 else { throw .compressed }
            let length = (1...4).reduce(0) { $0 << 8 | Int(buffer[position + $1]) }
            guard length <= limit else { throw .tooLarge(limit) }
            guard buffer.count - position - 5 >= length else { break }
            messages.append(Array(buffer[position + 5..<position + 5 + length]))
            position += 5 + length
        }
        if position == buffer.count {
            // A large message's memory is given back.
            buffer = []
        } else if position > 0 {
            buffer.removeFirst(position)
        }
        return messages
    }
}
