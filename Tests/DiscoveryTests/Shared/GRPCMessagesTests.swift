import Testing

@testable import Discovery

@Suite struct GRPCMessagesTests {
    @Test func messagesComeInAnyPieces() throws {
        let sent: [[UInt8]] = [[], [1], Array(repeating: 7, count: 300), [2, 3]]
        let stream = sent.flatMap { GRPCMessages.frame($0) }
        for piece in [1, 2, 3, 5, 7, 100, 1000] {
            var messages = GRPCMessages(limit: 300)
            var got: [[UInt8]] = []
            for start in stride(from: 0, to: stream.count, by: piece) {
                let part = Array(stream[start..<min(start + piece, stream.count)])
                got += try part.withUnsafeBufferPointer { try messages.append($0) }
            }
            #expect(got == sent)
        }
    }

    @Test(arguments: [([1, 0, 0, 0, 0], GRPCMessages.Malformed.compressed), ([0, 0, 0, 1, 45], .tooLarge(300))])
    func refuses(bytes: [UInt8], error: GRPCMessages.Malformed) {
        var messages = GRPCMessages(limit: 300)
        #expect(throws: error) { try bytes.withUnsafeBufferPointer { try messages.append($0) } }
    }
}

@Suite struct ProtobufTests {
    @Test func readsWhatItWrites() throws {
        var writer = Protobuf.Writer()
        writer.field(1, "é".utf8)
        writer.field(15, UInt64.max)
        writer.field(2, [UInt8](repeating: 7, count: 300))
        writer.field(3, 0)
        let bytes = writer.bytes + [0x25, 1, 2, 3, 4, 0x29, 1, 2, 3, 4, 5, 6, 7, 8]
        var reader = Protobuf.Reader(bytes, 0..<bytes.count)
        var found: [(UInt64, Protobuf.Value)] = []
        while let field = try reader.next() { found.append(field) }
        #expect(found.map(\.0) == [1, 15, 2, 3, 4, 5])
        #expect(
            found.map(\.1) == [.bytes(2..<4), .number(.max), .bytes(18..<318), .number(0), .fixed, .fixed])
        #expect(try reader.text(2..<4) == "é")
        #expect(throws: Protobuf.Malformed.self) { try reader.text(2..<3) }
        // No field reaches past the end of its message.
        for end in [1, 3, 10, 17, 200, 322, 330] {
            var reader = Protobuf.Reader(bytes, 0..<end)
            #expect(throws: Protobuf.Malformed.self) { while try reader.next() != nil {} }
        }
    }
}
