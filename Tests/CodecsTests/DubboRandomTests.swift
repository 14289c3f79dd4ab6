import Testing

@testable import Codecs

/// Recorded requests cut and changed at random: nothing traps or reads outside, and what is parsed can be rewritten.
@Suite struct DubboRandomTests {
    /// All ranges of an invocation.
    static func ranges(_ invocation: Dubbo.Invocation) -> [ByteRange] {
        [
            invocation.protocolVersion, invocation.bodyService, invocation.bodyVersion, invocation.method,
            invocation.types, invocation.genericMethod, invocation.attachments, invocation.path, invocation.interface,
            invocation.version, invocation.group, invocation.bodyVersionField, invocation.versionAttachmentField,
        ]
    }

    static let frames: [[UInt8]] = RecordedFrame.all
        .filter { $0.kind == "request" && $0.bodyLength < 1000 && $0.serialization != 3 }
        .compactMap { try? $0.bytes }

    @Test(arguments: 0..<8) func changedBodies(_ part: Int) {
        var random = FixedRandom(seed: UInt64(part))
        var parsedBodies = 0
        for turn in 0..<600 {
            var frame = Self.frames[(turn &* 8 &+ part) % Self.frames.count]
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let place = Int.random(in: Dubbo.headSize..<frame.count, using: &random)
                frame[place] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) {
                frame.removeLast(Int.random(in: 0..<frame.count - Dubbo.headSize, using: &random))
            }
            let parsed = ParsedBody(frame: frame)
            #expect(parsed.result != .opaque)
            _ = parsed.attachment("x-version")
            guard parsed.result == .parsed else { continue }
            parsedBodies += 1
            for range in Self.ranges(parsed.invocation) {
                #expect(range.start >= 0 && range.count >= 0 && range.end <= parsed.body.count)
            }
            let changed = ParsedBody(frame: rewrite(frame, to: "7.7"))
            #expect(changed.result == .parsed)
            #expect(changed.text(changed.invocation.version) == "7.7")
            #expect(changed.text(changed.invocation.bodyVersion) == "7.7")
            #expect(changed.text(changed.invocation.method) == parsed.text(parsed.invocation.method))
            #expect(changed.text(changed.invocation.path) == parsed.text(parsed.invocation.path))
        }
        #expect(parsedBodies > 100)
    }

    @Test func eventsAndResponsesOfAnyBytes() {
        var random = FixedRandom(seed: 1)
        for _ in 0..<3000 {
            let body = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random)
            }
            for serialization in [Dubbo.Serialization.hessian2, .fastjson2, .fastjson] {
                withBytes(body) {
                    _ = Dubbo.isHeartbeat($0, count: body.count, serialization)
                    _ = Dubbo.isReadonlyEvent($0, count: body.count, serialization)
                    _ = Dubbo.responseKind($0, count: body.count, status: 20, serialization)
                    _ = Dubbo.refusesService($0, count: body.count, status: 70, serialization)
                    if let text = Dubbo.errorText($0, count: body.count, serialization) {
                        #expect(text.start >= 0 && text.count >= 0 && text.end <= body.count)
                    }
                }
                let parsed = ParsedBody(body, serialization)
                #expect(parsed.result != .opaque)
            }
        }
    }
}
