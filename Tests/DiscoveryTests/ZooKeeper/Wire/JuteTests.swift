import Testing

@testable import Discovery

@Suite struct JuteTests {
    /// What a writer has written.
    private func bytes(_ write: (inout JuteWriter) -> Void) -> ArraySlice<UInt8> {
        var writer = JuteWriter()
        write(&writer)
        return writer.waiting
    }

    @Test func readsWhatItWrites() throws {
        let all = bytes {
            $0.put(Int32(-2))
            $0.put(Int64.min)
            $0.put([1, 2, 3])
            $0.put("caf\u{e9}")
            $0.put(Int32(2))
            $0.put("a")
            $0.put("b")
            $0.put(Int32(-1))
            $0.put(Int32(-1))
        }
        var reader = JuteReader(all)
        #expect(try reader.int32() == -2)
        #expect(try reader.int64() == .min)
        #expect(try reader.buffer() == [1, 2, 3])
        #expect(try reader.text() == "caf\u{e9}")
        #expect(try reader.names() == ["a", "b"])
        #expect(try reader.names() == [])
        #expect(throws: JuteReader.Malformed.self) { try reader.end() }
        #expect(try reader.text() == "")
        #expect(throws: Never.self) { try reader.end() }
    }

    @Test func namesStayWhateverComesAfterTheirMessage() throws {
        var frames = ZooKeeperFrames()
        let name = String(repeating: "n", count: 300)
        func message(_ count: Int) -> [UInt8] {
            let list = bytes { writer in
                writer.put(Int32(count))
                for number in 0..<count { writer.put(name + "\(number)") }
            }
            return Array(bytes { $0.put(Array(list)) })
        }
        // A short list and one whose memory goes with it, pieces of the next behind each.
        let counts = [3, 2000, 3, 2000]
        var stream = counts.flatMap(message)[...]
        var lists: [JuteNames] = []
        while !stream.isEmpty {
            _ = frames.receive { room in
                let piece = stream.prefix(min(room.count, 50_000))
                room.copyBytes(from: piece)
                stream = stream.dropFirst(piece.count)
                return piece.count
            }
            while let frame = try frames.next() {
                var reader = JuteReader(frame)
                lists.append(try reader.names())
                try reader.end()
            }
        }
        #expect(!frames.isWithin)
        #expect(lists.map(\.count) == counts)
        for list in lists { #expect(Array(list) == (0..<list.count).map { name + "\($0)" }) }
    }

    @Test func refusesWhatIsCutOffAnywhere() {
        let all = bytes {
            $0.put(Int32(2))
            $0.put("abc")
            $0.put("d")
        }
        for count in 0..<all.count {
            var names = JuteReader(all.prefix(count))
            #expect(throws: JuteReader.Malformed.self) { try names.names() }
        }
        for count in 0..<8 {
            var number = JuteReader(all.prefix(count))
            #expect(throws: JuteReader.Malformed.self) { try number.int64() }
        }
    }

    @Test(arguments: [Int32.max, .min, -2, 3])
    func refusesCountsThatCannotBe(count: Int32) {
        let all = bytes {
            $0.put(count)
            $0.put("ab")
        }
        var names = JuteReader(all)
        #expect(throws: JuteReader.Malformed.self) { try names.names() }
        if count != 3 {
            var buffer = JuteReader(all)
            #expect(throws: JuteReader.Malformed.self) { try buffer.buffer() }
        }
        // A list of names without any letter, which would be short on the wire and long in memory.
        var empty = JuteReader(bytes { $0.put([UInt8](repeating: 0, count: 400)) }.dropFirst(4))
        #expect(try! empty.names() == [])
        var nameless = JuteReader([0, 0, 0, 2] + [UInt8](repeating: 0, count: 20))
        #expect(throws: JuteReader.Malformed.self) { try nameless.names() }
    }

    @Test func keepsWhatIsNotSent() {
        var writer = JuteWriter()
        var sent: [UInt8] = []
        var expected: [UInt8] = []
        for round in 0..<2000 {
            writer.frame { $0.put(Int32(round)) }
            expected += [0, 0, 0, 4, 0, 0, UInt8(round >> 8), UInt8(round & 255)]
            // More is written than is sent, and in the end the rest.
            let part = writer.waiting.prefix(round == 1999 ? .max : round % 13)
            sent += part
            writer.sent(part.count)
        }
        #expect(sent == expected && writer.isEmpty && writer.waiting.isEmpty)
    }
}

@Suite struct ZooKeeperFramesTests {
    /// Takes in bytes in pieces of a size; whatever is whole is returned.
    private func frames(_ bytes: [UInt8], piece: Int) throws -> [[UInt8]] {
        var frames = ZooKeeperFrames()
        var found: [[UInt8]] = []
        var position = 0
        while position < bytes.count {
            position += frames.receive { room in
                let part = bytes[position...].prefix(min(piece, room.count))
                room.copyBytes(from: part)
                return part.count
            }
            while let frame = try frames.next() { found.append(Array(frame)) }
        }
        #expect(!frames.isWithin)
        return found
    }

    @Test(arguments: [1, 3, 7, 4096, .max])
    func cutsMessages(piece: Int) throws {
        let contents = [0, 1, 3, 300, 70_000, 2, piece == .max ? 3_000_000 : 9, 0].enumerated().map { index, count in
            (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) }
        }
        var writer = JuteWriter()
        for content in contents { writer.put(content) }
        #expect(try frames(Array(writer.waiting), piece: piece) == contents)
    }

    @Test func refusesLengthsThatCannotBe() throws {
        #expect(throws: ZooKeeperFrames.Malformed.negative) { try frames([0xff, 0xff, 0xff, 0xff], piece: 4) }
        #expect(throws: ZooKeeperFrames.Malformed.tooLarge(64 << 20 + 1)) { try frames([4, 0, 0, 1], piece: 4) }
        var waiting = ZooKeeperFrames()
        _ = waiting.receive { room in
            room.copyBytes(from: [4, 0, 0, 0] as [UInt8])
            return 4
        }
        #expect(try waiting.next() == nil && waiting.isWithin)
        #expect(waiting.receive { _ in 0 } == 0 && waiting.receive { _ in -1 } == -1)
        #expect(try waiting.next() == nil)
    }
}
