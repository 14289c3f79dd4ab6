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

    /// Puts a message into an envelope.
    static func encode(
        _ type: String, _ json: String, headers: [(name: String, value: String)] = [], clientIP: String = ""
    ) -> [UInt8] {
        var metadata = Protobuf.Writer()
        metadata.field(3, type.utf8)
        for header in headers {
            var entry = Protobuf.Writer()
            entry.field(1, header.name.utf8)
            entry.field(2, header.value.utf8)
            metadata.field(7, entry.bytes)
        }
        if !clientIP.isEmpty { metadata.field(8, clientIP.utf8) }
        var body = Protobuf.Writer()
        body.field(2, json.utf8)
        var payload = Protobuf.Writer()
        payload.field(2, metadata.bytes)
        payload.field(3, body.bytes)
        return payload.bytes
    }

    /// Takes a message out of its envelope. Fields that are not known are passed over.
    static func decode(_ bytes: [UInt8]) throws(Protobuf.Malformed) -> Content {
        var content = Content()
        var payload = Protobuf.Reader(bytes, 0..<bytes.count)
        while let (field, value) = try payload.next() {
            switch (field, value) {
            case (2, .bytes(let range)):
                var metadata = Protobuf.Reader(bytes, range)
                while let (field, value) = try metadata.next() {
                    if field == 3, case .bytes(let range) = value { content.type = try metadata.text(range) }
                }
            case (3, .bytes(let range)):
                var body = Protobuf.Reader(bytes, range)
                while let (field, value) = try body.next() {
                    if field == 2, case .bytes(let range) = value { content.body = Array(bytes[range]) }
                }
            default: break
            }
        }
        guard !content.type.isEmpty else { throw Protobuf.Malformed() }
        return content
    }
}
