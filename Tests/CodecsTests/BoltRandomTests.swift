import Testing

@testable import Codecs

/// Recorded frames cut and changed at random: nothing traps or reads outside, and what is read can be rewritten.
@Suite struct BoltRandomTests {
    static let frames: [[UInt8]] = RecordedBoltFrame.all.filter { $0.size < 2000 }.compactMap { try? $0.bytes }

    @Test(arguments: 0..<8) func changedFrames(_ part: Int) throws {
        var random = FixedRandom(seed: UInt64(part))
        var rewritten = 0
        for turn in 0..<800 {
            var frame = Self.frames[(turn &* 8 &+ part) % Self.frames.count]
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let place = Int.random(in: 0..<frame.count, using: &random)
                frame[place] = UInt8.random(in: 0...255, using: &random)
            }
            if turn % 5 == 0 { frame.removeLast(Int.random(in: 0..<frame.count, using: &random)) }
            frame = Self.withRightChecksum(frame)
            guard let head = boltStep(frame).frame else { continue }
            let whole = Array(frame.prefix(head.frameLength))
            withBytes(whole) {
                _ = Bolt.responseKind($0, head)
                _ = boltRefuses($0, head)
                if let text = Bolt.errorText($0, head) {
                    #expect(text.start >= 0 && text.count >= 0 && text.end <= head.contentRange.end)
                }
            }
            let read = try #require(ReadRequest(whole))
            _ = read.property("x-version")
            guard read.result == .parsed else { continue }
            let ranges = [
                read.invocation.service, read.invocation.dispatchedService, read.invocation.method,
                read.invocation.traceAttributes,
            ]
            for range in ranges { #expect(range.start >= 0 && range.count >= 0 && range.end <= whole.count) }
            let changed = rewriteHeader(whole, [("service", "a:1.0:b", true), ("hops", "1", true)])
            let again = try #require(ReadRequest(changed))
            #expect(boltStep(changed).frame?.frameLength == changed.count)
            #expect(again.text(again.invocation.dispatchedService) == "a:1.0:b" && again.header("hops") == "1")
            #expect(again.text(again.invocation.method) == read.text(read.invocation.method))
            #expect(again.text(again.head.contentRange) == read.text(read.head.contentRange))
            rewritten += 1
        }
        #expect(rewritten > 200)
    }

    @Test func anyBytes() {
        var random = FixedRandom(seed: 1)
        for _ in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0...3, using: &random)
            }
            for place in bytes.indices where Bool.random(using: &random) && place < 10 { bytes[place] = 1 }
            if let head = boltStep(bytes).frame { #expect(head.frameLength <= bytes.count) }
        }
    }

    /// Gives a frame that says it has a checksum the right one.
    static func withRightChecksum(_ frame: [UInt8]) -> [UInt8] {
        guard let head = boltHead(frame), head.hasChecksum, head.frameLength <= frame.count else { return frame }
        let end = head.frameLength - Bolt.checksumSize
        return Array(frame.prefix(end)) + BoltBuild.bigEndian(BoltBuild.crc(Array(frame.prefix(end))))
            + frame.dropFirst(end + 4)
    }
}
