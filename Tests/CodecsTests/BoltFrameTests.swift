import Testing

@testable import Codecs

/// A frame and what its head says.
struct WorkedBoltFrame: Sendable, CustomStringConvertible {
    var description: String
    var bytes: [UInt8]
    var variant: Bolt.Variant
    var type: Bolt.FrameType
    var command: UInt16
    var id: UInt32
    var switches: UInt8 = 0
    var timeout: Int32 = 0
    var status: UInt16 = 0
    /// Bytes of class, header and content.
    var lengths = [0, 0, 0]

    /// Frames that the real Java code sent or took.
    static let all: [WorkedBoltFrame] = [
        WorkedBoltFrame(
            description: "heartbeat", bytes: hex("01 01 0000 01 00000007 01 ffffffff 0000 0000 00000000"),
            variant: .version1, type: .request, command: 0, id: 7, timeout: -1),
        WorkedBoltFrame(
            description: "heartbeat answer", bytes: hex("01 00 0000 01 00000007 01 0000 0000 0000 00000000"),
            variant: .version1, type: .response, command: 0, id: 7),
        WorkedBoltFrame(
            description: "request",
            bytes: hex(#"01 01 0001 01 00000001 01 00000bb8 0010 0000 00000003 "java.lang.String" 026869"#),
            variant: .version1, type: .request, command: 1, id: 1, timeout: 3000, lengths: [16, 0, 3]),
        WorkedBoltFrame(
            description: "response",
            bytes: hex(#"01 00 0002 01 00000001 01 0000 0010 0000 00000006 "java.lang.String" 0572653a6869"#),
            variant: .version1, type: .response, command: 2, id: 1, lengths: [16, 0, 6]),
        WorkedBoltFrame(
            description: "one-way",
            bytes: hex("01 02 0001 01 00000008 01 ffffffff 0001 000a 00000001 43 000000016b0000000176 4e"),
            variant: .version1, type: .oneWay, command: 1, id: 8, timeout: -1, lengths: [1, 10, 1]),
        WorkedBoltFrame(
            description: "timeout", bytes: hex("01 00 0002 01 00000001 01 0007 0000 0000 00000000"),
            variant: .version1, type: .response, command: 2, id: 1, status: 7),
        WorkedBoltFrame(
            description: "goaway", bytes: hex("01 01 0064 01 00000009 01 00000000 0000 0000 00000000"),
            variant: .version1, type: .request, command: 100, id: 9),
        WorkedBoltFrame(
            description: "heartbeat 2", bytes: hex("02 01 01 0000 01 00000007 01 00 ffffffff 0000 0000 00000000"),
            variant: .version2, type: .request, command: 0, id: 7, timeout: -1),
        WorkedBoltFrame(
            description: "heartbeat answer 2", bytes: hex("02 01 00 0000 01 00000007 01 00 0000 0000 0000 00000000"),
            variant: .version2, type: .response, command: 0, id: 7),
        WorkedBoltFrame(
            description: "request 2, switch without checksum",
            bytes: hex(#"02 01 01 0001 01 00000001 01 01 00000bb8 0010 0000 00000003 "java.lang.String" 026869"#),
            variant: .version2, type: .request, command: 1, id: 1, switches: 1, timeout: 3000, lengths: [16, 0, 3]),
        WorkedBoltFrame(
            description: "request 2, checksum",
            bytes: hex(
                #"02 02 01 0001 01 00000001 01 01 00000bb8 0010 0000 00000003 "java.lang.String" 026869 4d307e37"#),
            variant: .version2WithChecksums, type: .request, command: 1, id: 1, switches: 1, timeout: 3000,
            lengths: [16, 0, 3]),
        WorkedBoltFrame(
            description: "response 2, checksum",
            bytes: hex(
                #"02 02 00 0002 01 00000001 01 01 0000 0010 0000 00000006 "java.lang.String" 0572653a6869 23895247"#),
            variant: .version2WithChecksums, type: .response, command: 2, id: 1, switches: 1, lengths: [16, 0, 6]),
        WorkedBoltFrame(
            description: "header 2, checksum",
            bytes: hex(
                "02 02 01 0001 01 00000001 01 01 00000bb8 0001 000a 00000001 43 000000016b0000000176 4e b0e5ae8e"),
            variant: .version2WithChecksums, type: .request, command: 1, id: 1, switches: 1, timeout: 3000,
            lengths: [1, 10, 1]),
        WorkedBoltFrame(
            description: "heartbeat 2, checksum",
            bytes: hex("02 02 01 0000 01 00000007 01 01 ffffffff 0000 0000 00000000 08143f27"),
            variant: .version2WithChecksums, type: .request, command: 0, id: 7, switches: 1, timeout: -1),
    ]
}

@Suite struct BoltFrameTests {
    @Test(arguments: WorkedBoltFrame.all)
    func headIsRead(_ worked: WorkedBoltFrame) throws {
        let head = try #require(boltStep(worked.bytes).frame)
        #expect(head.variant == worked.variant)
        #expect(head.type == worked.type)
        #expect(head.command == worked.command)
        #expect(head.id == worked.id)
        #expect(head.codec == Bolt.Codec.hessian)
        #expect(head.switches == worked.switches)
        #expect(head.timeout == worked.timeout)
        #expect(head.status == worked.status)
        #expect([head.classLength, head.headerLength, head.contentLength] == worked.lengths)
        #expect(head.frameLength == worked.bytes.count)
    }

    @Test(arguments: WorkedBoltFrame.all)
    func headIsWritten(_ worked: WorkedBoltFrame) throws {
        let head = try #require(boltHead(worked.bytes))
        let bytes = written(Bolt.largestHeadSize) { Bolt.writeHead(head, $0) }
        #expect(bytes == Array(worked.bytes.prefix(head.headLength)))
    }

    @Test(arguments: WorkedBoltFrame.all)
    func frameIsIncompleteUntilItsLastByte(_ worked: WorkedBoltFrame) {
        for count in 0..<worked.bytes.count {
            #expect(boltStep(Array(worked.bytes.prefix(count))).isIncomplete, "\(count) bytes")
        }
        #expect(boltStep(worked.bytes + [9]).frame?.frameLength == worked.bytes.count)
    }

    @Test func rangesFollowEachOther() throws {
        let frame = BoltBuild.frame(.version2, className: "abc", header: BoltBuild.map([("k", "v")]), content: [7])
        let head = try #require(boltHead(frame))
        #expect(head.classRange == ByteRange(start: 24, count: 3))
        #expect(head.headerRange == ByteRange(start: 27, count: 10))
        #expect(head.contentRange == ByteRange(start: 37, count: 1))
    }

    @Test func onlyHeartbeatsOfOneWayTypeWantAResponse() {
        let cases: [(Bolt.FrameType, UInt16, Bool)] = [
            (.request, 1, true), (.request, 0, true), (.oneWay, 1, false), (.oneWay, 0, true), (.response, 2, false),
            (.response, 0, false),
        ]
        for (type, command, wants) in cases {
            let head = Bolt.FrameHead(variant: .version1, type: type, command: command, id: 1, codec: 1)
            #expect(head.wantsResponse == wants)
        }
    }

    // MARK: What is no frame

    @Test(
        arguments: [
            ("00", .badProtocol), ("03", .badProtocol), ("47455420", .badProtocol), ("0200", .badVersion),
            ("0203", .badVersion), ("0103", .badType), ("01ff", .badType), ("020103", .badType),
        ] as [(String, Bolt.FrameError)])
    func aFewBytesAreEnough(_ bytes: String, _ error: Bolt.FrameError) {
        #expect(boltHeadResult(hex(bytes)) == .invalid(error))
        #expect(boltHeadResult(hex(bytes) + [UInt8](repeating: 1, count: 40)) == .invalid(error))
    }

    /// Places of the lengths of a request's class, header and content.
    @Test(arguments: [(14, 2), (16, 2), (18, 4)])
    func lengthsThatJavaReadsAsNegativeAreRefused(_ place: Int, _ size: Int) {
        var frame = BoltBuild.frame(className: "")
        frame[place] = 0x80
        #expect(boltHeadResult(frame) == .invalid(.badLength))
        #expect(boltHeadResult(Array(frame.dropLast())) == .incomplete)
        frame[place] = 0x7f
        for index in 1..<size { frame[place + index] = 0xff }
        guard case .complete(let head) = boltHeadResult(frame) else {
            Issue.record("longest length is refused")
            return
        }
        #expect(head.frameLength == 22 + (size == 2 ? 32_767 : 2_147_483_647))
    }

    @Test func unknownCommandsAreFrames() {
        #expect(boltStep(BoltBuild.frame(command: 77)).frame?.command == 77)
    }

    // MARK: Checksums

    @Test func checksumIsThatOfZlib() {
        let text = Array("The quick brown fox jumps over the lazy dog".utf8)
        #expect(withBytes(text) { Bolt.checksum($0, count: text.count) } == 0x414f_a339)
        #expect(withBytes([]) { Bolt.checksum($0, count: 0) } == 0)
        var random = FixedRandom(seed: 7)
        for count in 0..<80 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(withBytes(bytes) { Bolt.checksum($0, count: count) } == BoltBuild.crc(bytes))
        }
    }

    @Test func everyChangedByteIsSeen() throws {
        let frame = try RecordedBoltFrame.bytes("v2-request-crc")
        for place in 24..<frame.count {
            var changed = frame
            changed[place] ^= 0x10
            #expect(boltStep(changed).error == .badChecksum, "byte \(place)")
        }
        #expect(boltStep(frame).frame != nil)
    }

    @Test func switchOfEveryFrameCounts() {
        let without = BoltBuild.frame(.version2WithChecksums, switches: 0xfe, content: [1])
        #expect(boltStep(without).frame?.hasChecksum == false)
        let with = BoltBuild.frame(.version2WithChecksums, switches: 0xff, content: [1])
        #expect(boltStep(with).frame?.frameLength == without.count + 4)
        var first = with
        first[1] = 1
        #expect(boltStep(first).frame?.frameLength == without.count)
    }

    // MARK: Streams

    @Test func oversizedBodiesAreSkippedAsTheyCome() {
        let content = [UInt8](repeating: 1, count: 60)
        let large = BoltBuild.frame(.version2WithChecksums, id: 5, switches: 1, content: content)
        let small = BoltBuild.frame(id: 6, content: [1])
        let stream = large + small + large + small
        for size in 1...stream.count {
            var seen: [String] = []
            var skip = 0
            var held: [UInt8] = []
            for start in stride(from: 0, to: stream.count, by: size) {
                held += stream[start..<min(start + size, stream.count)]
                var used = 0
                reading: while true {
                    let step = withBytes(held) {
                        Bolt.nextFrame($0, count: held.count, used: &used, skip: &skip, limit: 30)
                    }
                    switch step {
                    case .incomplete: break reading
                    case .frame(let head):
                        seen.append("frame \(head.id)")
                        used += head.frameLength
                    case .oversized(let head): seen.append("oversized \(head.id)")
                    case .invalid: seen.append("invalid")
                    }
                    if seen.count > 4 { break }
                }
                held.removeFirst(used)
                // Of an oversized frame nothing but its head is ever held.
                #expect(held.count < 30 + Bolt.largestHeadSize)
            }
            #expect(seen == ["oversized 5", "frame 6", "oversized 5", "frame 6"])
            #expect(skip == 0 && held.isEmpty)
        }
    }

    @Test func checksumCountsToTheLimit() {
        let frame = BoltBuild.frame(.version2WithChecksums, switches: 1, className: "", content: [1, 2])
        #expect(boltStep(frame, limit: 6).frame != nil)
        guard case .oversized = boltStep(frame, limit: 5) else {
            Issue.record("not oversized")
            return
        }
    }

    // MARK: Changes in place

    @Test(arguments: WorkedBoltFrame.all, [0, 1, .max, 0xffff_fff0] as [UInt32])
    func idIsChangedInPlace(_ worked: WorkedBoltFrame, _ id: UInt32) throws {
        let changed = try patched(worked.bytes, id: id, timeout: 0)
        var expected = try #require(boltHead(worked.bytes))
        expected.id = id
        #expect(boltStep(changed).frame == expected)
        let place = worked.variant == .version1 ? 5 : 6
        #expect(changed[..<place] == worked.bytes[..<place])
        let end = worked.bytes.count - (expected.hasChecksum ? 4 : 0)
        #expect(changed[(place + 4)..<end] == worked.bytes[(place + 4)..<end])
        #expect(try patched(changed, id: worked.id, timeout: 0) == worked.bytes)
    }

    @Test(arguments: [(.version1, 0), (.version2, 1), (.version2WithChecksums, 1)] as [(Bolt.Variant, UInt8)])
    func timeoutIsOnlyLowered(_ variant: Bolt.Variant, _ switches: UInt8) throws {
        for (old, new, result) in [
            (3000, 20, 20), (3000, 4000, 3000), (3000, 0, 3000), (3000, -5, 3000), (-1, 20, -1), (0, 20, 0),
        ] as [(Int32, Int32, Int32)] {
            let frame = BoltBuild.frame(variant, switches: switches, timeout: old, content: [1, 2])
            let head = try #require(boltStep(try patched(frame, id: 9, timeout: new)).frame)
            #expect(head.timeout == result && head.id == 9)
        }
        let response = BoltBuild.frame(variant, type: .response, switches: switches, status: 4)
        #expect(boltStep(try patched(response, id: 9, timeout: 20)).frame?.status == 4)
    }

    private func patched(_ frame: [UInt8], id: UInt32, timeout: Int32) throws -> [UInt8] {
        let head = try #require(boltHead(frame))
        return written(frame.count) { out in
            for (index, byte) in frame.enumerated() { out[index] = byte }
            Bolt.patch(out, head, id: id, timeout: timeout)
            return frame.count
        }
    }
}
