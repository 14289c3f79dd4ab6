import Testing

@testable import Codecs

@Suite struct DubboFrameTests {
    let head = hex("dabb c2 00 8000000000000001 00000005")

    @Test func everyPartOfAHeadIsIncomplete() {
        for count in 0..<Dubbo.headSize { #expect(frameHead(Array(head[..<count])) == .incomplete) }
        #expect(
            frameHead(head) == .complete(Dubbo.FrameHead(flags: 0xc2, status: 0, id: .min + 1, bodyLength: 5)))
    }

    @Test func wrongMagicIsSeenAtOnce() {
        #expect(frameHead([0x47]) == .invalid(.badMagic))
        #expect(frameHead([0xda, 0xba]) == .invalid(.badMagic))
        #expect(frameHead([0xdb] + head.dropFirst()) == .invalid(.badMagic))
        #expect(frameHead([0xda, 0xbc] + head.dropFirst(2)) == .invalid(.badMagic))
        #expect(frameHead(Array("GET / HTTP/1.1\r\n\r\n".utf8)) == .invalid(.badMagic))
    }

    @Test(arguments: [("7fffffff", true), ("80000000", false), ("ffffffff", false), ("00000000", true)])
    func lengths(_ length: String, _ valid: Bool) {
        let result = frameHead(head[..<12] + hex(length))
        if valid {
            guard case .complete(let found) = result else {
                Issue.record("refused")
                return
            }
            #expect(found.bodyLength == Int(length, radix: 16))
        } else {
            #expect(result == .invalid(.badLength))
        }
    }

    @Test func flags() {
        let cases: [(UInt8, Bool, Bool, Bool, UInt8)] = [
            (0xc2, true, true, false, 2), (0x82, true, false, false, 2), (0xe2, true, true, true, 2),
            (0xa2, true, false, true, 2), (0x02, false, false, false, 2), (0x22, false, false, true, 2),
            (0xd7, true, true, false, 23), (0x37, false, false, true, 23),
        ]
        for (flags, request, twoWay, event, serialization) in cases {
            let head = Dubbo.FrameHead(flags: flags, status: 0, id: 0, bodyLength: 0)
            #expect(head.isRequest == request && head.isTwoWay == twoWay && head.isEvent == event)
            #expect(head.serialization.id == serialization)
        }
    }

    @Test(arguments: [0, 1, -1, .min, .max, 0x0102_0304_0506_0708] as [Int64])
    func idIsChangedInPlace(_ id: Int64) {
        let changed = written(head.count) { out in
            for (index, byte) in head.enumerated() { out[index] = byte }
            Dubbo.writeID(id, out)
            #expect(Dubbo.readID(out) == id)
            return head.count
        }
        #expect(frameHead(changed) == .complete(Dubbo.FrameHead(flags: 0xc2, status: 0, id: id, bodyLength: 5)))
        #expect(changed[..<4] == head[..<4] && changed[12...] == head[12...])
    }
}
