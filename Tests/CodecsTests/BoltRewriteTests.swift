import Testing

@testable import Codecs

@Suite struct BoltRewriteTests {
    private let variants: [(Bolt.Variant, UInt8)] = [
        (.version1, 0), (.version2, 1), (.version2WithChecksums, 0), (.version2WithChecksums, 1),
    ]

    @Test func appendedPairAsInTheWorkedFrame() throws {
        let service = "com.acme.Echo:1.0"
        let pairs = [("service", service), ("sofa_head_target_service", service), ("sofa_head_method_name", "say")]
        let name = "com.alipay.sofa.rpc.core.request.SofaRequest"
        let frame = BoltBuild.frame(className: name, header: BoltBuild.map(pairs), content: [0x4e])
        #expect(frame.count == 180)
        let expected = hex(
            #"01 01 0001 01 00000001 01 00000bb8 002c 0084 00000001 "com.alipay.sofa.rpc.core.request.SofaRequest""#
                + #"00000007 "service" 00000011 "com.acme.Echo:1.0" 00000018 "sofa_head_target_service" 00000011"#
                + #""com.acme.Echo:1.0" 00000015 "sofa_head_method_name" 00000003 "say" 00000009 "x-version""#
                + #"00000002 "v2" 4e"#)
        #expect(rewriteHeader(frame, [("x-version", "v2", true)]) == expected)
        #expect(expected.count == 199)
    }

    @Test func replacedPairsStayWhereTheyWere() throws {
        let header = BoltBuild.map([("a", "1"), ("service", "s:1.0"), ("b", "2")])
        let expected = BoltBuild.map([("a", "1"), ("service", "s:1.0:blue"), ("b", "2")])
        for (variant, switches) in variants {
            let frame = BoltBuild.frame(variant, switches: switches, header: header, content: [1, 2, 3])
            let changed = rewriteHeader(frame, [("service", "s:1.0:blue", false)])
            #expect(changed == BoltBuild.frame(variant, switches: switches, header: expected, content: [1, 2, 3]))
            #expect(boltStep(changed).frame?.frameLength == changed.count)
        }
    }

    @Test func noDuplicateIsLeft() {
        let null = hex("ffffffff")
        let header =
            BoltBuild.map([("k", "1"), ("a", "2"), ("k", "3")]) + BoltBuild.text("k") + null
            + BoltBuild.map([("k", "4")])
        let changed = rewriteHeader(BoltBuild.frame(header: header), [("k", "new", true)])
        #expect(changed == BoltBuild.frame(header: BoltBuild.map([("k", "new"), ("a", "2")])))
    }

    @Test func otherNullPairsStay() {
        let header = hex("ffffffff") + BoltBuild.text("x") + BoltBuild.text("y") + hex("ffffffff")
        let changed = rewriteHeader(BoltBuild.frame(header: header), [("k", "v", true)])
        #expect(changed == BoltBuild.frame(header: header + BoltBuild.map([("k", "v")])))
    }

    @Test func absentKeyIsAddedOnlyIfAsked() {
        let frame = BoltBuild.frame(header: [], content: [9])
        let changes = [("service", "s", false), ("hops", "1", true), ("sofa_head_target_service", "t", false)]
        #expect(rewriteHeader(frame, changes) == BoltBuild.frame(header: BoltBuild.map([("hops", "1")]), content: [9]))
        #expect(rewriteHeader(frame, [("service", "s", false)]) == frame)
    }

    @Test func keysOfOtherCaseAreOthers() {
        let frame = BoltBuild.frame(header: BoltBuild.map([("Service", "a")]))
        let expected = BoltBuild.map([("Service", "a"), ("service", "b")])
        #expect(rewriteHeader(frame, [("service", "b", true)]) == BoltBuild.frame(header: expected))
    }

    @Test func serviceOfARecordedRequest() throws {
        let frame = try RecordedBoltFrame.bytes("request-hessian2")
        let changed = rewriteHeader(
            frame,
            [
                ("service", "demo.EchoService:1.0:blue", true),
                ("sofa_head_target_service", "demo.EchoService:1.0:blue", true), ("hops", "1", true),
            ])
        let (old, new) = (try #require(ReadRequest(frame)), try #require(ReadRequest(changed)))
        #expect(new.text(new.invocation.targetService) == "demo.EchoService:1.0:blue")
        #expect(new.text(new.invocation.dispatchedService) == "demo.EchoService:1.0:blue")
        #expect(new.header("hops") == "1" && new.pairCount == old.pairCount + 1)
        #expect(new.text(new.head.contentRange) == old.text(old.head.contentRange))
        #expect(changed.count == frame.count + 2 * 5 + 13)
    }

    @Test func headerIsNotGrownPastTheBorder() throws {
        let frame = try RecordedBoltFrame.bytes("request-header-max")
        let read = try #require(ReadRequest(frame))
        #expect(read.head.headerLength == 32_767 && read.result == .parsed)
        #expect(rewriteHeader(frame, [("k", "", true)]) == [])
        #expect(rewriteHeader(frame, [("sofa_head_method_name", "sayy", true)]) == [])
        #expect(rewriteHeader(frame, [("sofa_head_method_name", "yas", true)]).count == frame.count)
        let small = BoltBuild.frame(header: BoltBuild.map([("a", "1")]))
        let longest = String(repeating: "x", count: 32_767 - 10 - 9)
        #expect(boltHead(rewriteHeader(small, [("k", longest, true)]))?.headerLength == 32_767)
        #expect(rewriteHeader(small, [("k", longest + "x", true)]) == [])
    }

    @Test func boundCountsLengthsToo() {
        let value: StaticString = "defg"
        let change = Bolt.HeaderChange("abc", value: value.utf8Start, valueCount: 4, isAdded: true)
        let bound = withUnsafePointer(to: change) {
            Bolt.rewrittenBound(frameCount: 50, changes: $0, changeCount: 1)
        }
        #expect(bound == 65)
    }
}
