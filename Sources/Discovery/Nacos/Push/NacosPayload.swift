/// The envelope of every message on Nacos' gRPC channel, in both directions: a protobuf `Payload` around a text in JSON.
///
///     message Metadata { string type = 3; map<string, string> headers = 7; string clientIp = 8; }
///     message Payload  { Metadata metadata = 2; google.protobuf.Any body = 3; }
///     message Any      { string type_url = 1; bytes value = 2; }
enum NacosPayload {
    /// What was in an envelope.
    struct Content: Equatable {
        /// The message's name: `SubscribeServiceResponse`.
        var type = ""
        /// JSON.
        var body: [UInt8] = []
    }

    /// Not a `Payload`.
    struct Malformed: Error, Equatable {}

    /// Puts a message into an envelope.
    static func encode(
        _ type: String, _ json: String, headers: [(name: String, value: String)] = [], clientIP: String = ""
    ) -> [UInt8] {
        var metadata = Writer()
        metadata.field(3, Array(type.utf8))
        for header in headers {
            var entry = Writer()
            entry.field(1, Array(header.name.utf8))
            entry.field(2, Array(header.value.utf8))
            metadata.field(7, entry.bytes)
        }
        if !clientIP.isEmpty { metadata.field(8, Array(clientIP.utf8)) }
        var body = Writer()
        body.field(2, Array(json.utf8))
        var payload = Writer()
        payload.field(2, metadata.bytes)
        payload.field(3, body.bytes)
        return payload.bytes
    }

    /// Takes a message out of its envelope. Fields that are not known are passed over.
    static func decode(_ bytes: [UInt8]) throws(Malformed) -> Content {
        var content = Content()
        var payload = Reader(bytes, 0..<bytes.count)
        while let (field, range) = try payload.next() {
            switch (field, range) {
            case (2, let range?):
                var metadata = Reader(bytes, range)
                while let (field, range) = try metadata.next() {
                    guard field == 3, let range else { continue }
                    guard let type = String(validating: bytes[range], as: UTF8.self) else { throw Malformed() }
                    content.type = type
                }
            case (3, let range?):
                var body = Reader(bytes, range)
                while let (field, range) = try body.next() {
                    if field == 2, let range { content.body = Array(bytes[range]) }
                }
            default: break
            }
        }
        guard !content.type.isEmpty else { throw Malformed() }
        return content
    }

    private struct Writer {
        var bytes: [UInt8] = []

        /// A field of bytes; a number below 16, so that its key is one byte.
        mutating func field(_ number: UInt8, _ value: [UInt8]) {
            bytes.append(number << 3 | 2)
            var length = value.count
            while length >= 0x80 {
                bytes.append(UInt8(truncatingIfNeeded: length) | 0x80)
                length >>= 7
            }
            bytes.append(UInt8(truncatingIfNeeded: length))
            bytes += value
        }
    }

    private struct Reader {
        private let bytes: [UInt8]
        private let end: Int
        private var position: Int

        init(_ bytes: [UInt8], _ range: Range<Int>) {
            self.bytes = bytes
            position = range.lowerBound
            end = range.upperBound
        }

        /// The next field's number and where its bytes are: nil for a number. Nil at the end.
        mutating func next() throws(Malformed) -> (field: UInt64, range: Range<Int>?)? {
            guard position < end else { return nil }
            let key = try number()
            guard key >> 3 > 0 else { throw Malformed() }
            switch key & 7 {
            case 0:
                _ = try number()
                return (key >> 3, nil)
            case 1: try skip(8)
            case 2:
                guard let length = Int(exactly: try number()) else { throw Malformed() }
                let start = position
                try skip(length)
                return (key >> 3, start..<position)
            case 5: try skip(4)
            default: throw Malformed()
            }
            return (key >> 3, nil)
        }

        private mutating func skip(_ count: Int) throws(Malformed) {
            guard count <= end - position else { throw Malformed() }
            position += count
        }

        private mutating func number() throws(Malformed) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), through: 63, by: 7) {
                guard position < end else { throw Malformed() }
                let byte = bytes[position]
                position += 1
                value |= UInt64(byte & 0x7f) << shift
                if byte < 0x80 { return value }
            }
            throw Malformed()
        }
    }
}
