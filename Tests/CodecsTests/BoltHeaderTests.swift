import Testing

@testable import Codecs

@Suite struct BoltHeaderTests {
    private func request(_ header: [UInt8], variant: Bolt.Variant = .version1) throws -> ReadRequest {
        try #require(ReadRequest(BoltBuild.frame(variant, header: header, content: [0x4e])))
    }

    private func request(_ pairs: [(String, String)]) throws -> ReadRequest {
        try request(BoltBuild.map(pairs))
    }

    @Test func noHeaderIsAnEmptyMap() throws {
        let empty = try request([])
        #expect(empty.result == .parsed && empty.pairCount == 0)
        #expect(empty.invocation.service.isEmpty && empty.property("x-version") == nil)
    }

    @Test func lastDuplicateCounts() throws {
        let read = try request([
            ("service", "a:1.0"), ("x-version", "v1"), ("sofa_head_method_name", "m"), ("service", "b:1.0"),
            ("x-version", "v2"), ("sofa_head_method_name", "n"),
        ])
        #expect(read.text(read.invocation.service) == "b:1.0")
        #expect(read.text(read.invocation.method) == "n")
        #expect(read.header("x-version") == "v2")
        let name: StaticString = "x-version"
        let value = withBytes(read.frame) { Bolt.headerValue(named: name, in: $0, read.head) }
        #expect(value.map(read.text) == "v2")
    }

    @Test func whatServersDispatchByGoesFirst() throws {
        #expect(try request([("service", "a")]).invocation.targetService.isEmpty)
        let both = try request([("sofa_head_target_service", "b"), ("service", "a")])
        #expect(both.text(both.invocation.service) == "a" && both.text(both.invocation.targetService) == "b")
        let blank = try request([("sofa_head_target_service", "b"), ("service", "")])
        #expect(blank.text(blank.invocation.service) == "b")
    }

    @Test func nullPairsAreDropped() throws {
        let null = hex("ffffffff")
        let read = try request(
            BoltBuild.map([("a", "1")]) + BoltBuild.text("a") + null + null + BoltBuild.text("x") + null + null
                + hex("80000000") + BoltBuild.text("y") + BoltBuild.map([("b", "2"), ("c", "")]))
        #expect(read.result == .parsed && read.pairCount == 3)
        #expect(read.header("a") == "1" && read.header("b") == "2" && read.header("c") == "")
    }

    @Test(arguments: [
        "00", "ffffff", "00000001", "00000001 6b 000000", "00000001 6b 00000002 76", "7fffffff 6b 00000001 76",
        "00000001 6b 7fffffff 76", "000000016b0000000176 00", "cafebabe",
    ])
    func headerThatIsNoMapIsUnreadable(_ bytes: String) throws {
        let read = try request(BoltBuild.map([("service", "a")]) + hex(bytes))
        #expect(read.result == .unreadable && read.pairCount == 0)
        #expect(read.invocation.service.isEmpty && read.header("service") == nil)
        #expect(withBytes(read.frame) { Bolt.headerValue(named: "service", in: $0, read.head) } == nil)
        #expect(rewriteHeader(read.frame, [("service", "b", true)]) == [])
    }

    @Test func longestHeaderOfSmallestPairsIsRead() throws {
        // 4,095 pairs of eight bytes are 32,760; one of them is longer.
        let header = [UInt8](repeating: 0, count: 4094 * 8) + BoltBuild.map([("abc", "defg")])
        let read = try request(header)
        #expect(header.count == 32_767 && read.result == .parsed && read.pairCount == 4095)
        #expect(read.header("abc") == "defg" && read.header("") == "")
    }

    @Test func namesHaveNoCase() throws {
        let read = try request([("X-Version", "v2"), ("x-version[", "no"), ("x_version", "no")])
        #expect(read.header("x-version") == "v2" && read.property("x-version") == "v2")
        #expect(read.header("x-versio") == nil && read.header("x-version{") == nil)
        #expect(try request([("Service", "a")]).invocation.service.isEmpty)
    }

    // MARK: Properties

    @Test func propertyIsInHeaderThenBaggageThenTrace() throws {
        let trace = ("rpc_trace_context.sofaPenAttrs", "a=1&x-version=trace&")
        let baggage = ("rpc_req_baggage.x-version", "baggage")
        let header = ("x-version", "header")
        for pairs in [[header, baggage, trace], [trace, baggage, header]] {
            #expect(try request(pairs).property("x-version") == "header")
        }
        for pairs in [[("x-version", ""), baggage, trace], [baggage, trace]] {
            #expect(try request(pairs).property("x-version") == "baggage")
        }
        #expect(try request([trace, ("rpc_req_baggage.x-version", "")]).property("x-version") == "trace")
        #expect(try request([trace]).property("version") == nil)
        #expect(try request([("xpc_req_baggage.x-version", "no")]).property("x-version") == nil)
        #expect(try request([baggage, ("rpc_req_baggage.x-version", "last")]).property("x-version") == "last")
    }

    @Test(
        arguments: [
            ("v=1", "1"), ("v=1&", "1"), ("a=0&v=1&b=2&", "1"), ("v=1&v=2&", "2"), ("V=1&", "1"), ("v=&", nil),
            ("v", nil), ("", nil), ("&", nil), ("=1&", nil), ("av=1&va=2", nil), ("a=v=3&", "3"), ("v=a=3&", nil),
            ("v=%26&", "%26"),
        ] as [(String, String?)])
    func traceAttributes(_ text: String, _ value: String?) throws {
        #expect(try request([("rpc_trace_context.sofaPenAttrs", text)]).property("v") == value)
        #expect(try request([("new_rpc_trace_context", "tcid=7&spid=0&" + text)]).property("v") == value)
    }

    @Test func emptyAttributesDoNotHideTheContext() throws {
        let read = try request([("new_rpc_trace_context", "v=1&"), ("rpc_trace_context.sofaPenAttrs", "")])
        #expect(read.property("v") == "1")
    }

    // MARK: Services

    @Test(arguments: [
        ("a.B:1.0", "a.B", "1.0", ""), ("a.B:1.0:blue", "a.B", "1.0", "blue"), ("a.B", "a.B", "", ""),
        ("a.B:", "a.B", "", ""), ("a.B::x", "a.B", "", "x"), ("a:1:b:c", "a", "1", "b:c"), ("", "", "", ""),
        (":", "", "", ""), ("::", "", "", ""),
    ])
    func serviceName(_ text: String, _ interface: String, _ version: String, _ uniqueID: String) throws {
        let read = try request([("service", text)])
        let name = withBytes(read.frame) { Bolt.serviceName($0, read.invocation.service) }
        #expect(read.text(name.interface) == interface)
        #expect(read.text(name.version) == version)
        #expect(read.text(name.uniqueID) == uniqueID)
    }
}
