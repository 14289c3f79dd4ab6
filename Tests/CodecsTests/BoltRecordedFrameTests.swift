import Testing

@testable import Codecs

/// Every recorded frame, against the table that describes them.
@Suite struct BoltRecordedFrameTests {
    @Test func allFramesAreThere() {
        #expect(RecordedBoltFrame.all.count == 57)
    }

    @Test(arguments: RecordedBoltFrame.all)
    func head(_ recorded: RecordedBoltFrame) throws {
        let bytes = try recorded.bytes
        let head = try #require(boltStep(bytes).frame)
        #expect(head.variant.protocolCode == recorded.protocol)
        if let inner = recorded.innerVersion {
            #expect(head.variant == (inner == 1 ? .version2 : .version2WithChecksums))
        }
        #expect(head.switches == recorded.switches ?? 0)
        #expect(head.type.rawValue == recorded.type)
        #expect(head.command == recorded.command)
        #expect(head.id == recorded.id)
        #expect(head.codec == recorded.codec)
        #expect(head.timeout == recorded.timeout ?? 0)
        #expect(head.status == recorded.status ?? 0)
        #expect(head.headerLength == recorded.headerLength)
        #expect(head.contentLength == recorded.contentLength)
        #expect(head.frameLength == bytes.count && bytes.count == recorded.size)
        #expect(head.hasChecksum == (recorded.checksum != nil))
        if let checksum = recorded.checksum { #expect(Array(bytes.suffix(4)) == hex(checksum)) }
        let name = String(decoding: bytes[Int(head.classRange.start)..<head.classRange.end], as: UTF8.self)
        #expect(name.split(separator: ".").last.map(String.init) == recorded.className)
        #expect(written(Bolt.largestHeadSize) { Bolt.writeHead(head, $0) } == Array(bytes.prefix(head.headLength)))
    }

    @Test(arguments: RecordedBoltFrame.all)
    func frameIsIncompleteUntilItsLastByte(_ recorded: RecordedBoltFrame) throws {
        let bytes = try recorded.bytes
        for count in bytes.indices where bytes.count < 2000 || count % 97 == 0 || count > bytes.count - 9 {
            #expect(boltStep(Array(bytes.prefix(count))).isIncomplete)
        }
    }

    @Test(arguments: RecordedBoltFrame.all)
    func headers(_ recorded: RecordedBoltFrame) throws {
        let request = try #require(ReadRequest(try recorded.bytes))
        #expect(request.result == .parsed)
        #expect(request.pairCount == recorded.pairs)
        for (key, value) in recorded.headers ?? [:] {
            #expect(request.header(key.lowercased()) == value)
        }
        #expect(request.header("absent") == nil)
        guard recorded.className == "SofaRequest" else { return }
        let headers = recorded.headers ?? ["service": "demo.EchoService:1.0"]
        #expect(request.text(request.invocation.service) == headers["service"])
        #expect(request.text(request.invocation.dispatchedService) == headers["service"])
        #expect(request.text(request.invocation.targetService) == headers["service"])
        #expect(request.text(request.invocation.method) == headers["sofa_head_method_name"] ?? "say")
    }

    @Test func captionsAreTrue() throws {
        let plain = try #require(ReadRequest(try RecordedBoltFrame.bytes("request-hessian2")))
        #expect(plain.property("x-version") == "v2" && plain.property("user") == nil)
        let unicode = try #require(ReadRequest(try RecordedBoltFrame.bytes("request-unicode-header")))
        #expect(unicode.header("中文") == "灰度😀" && unicode.property("user") == "bob")
        let named = try #require(ReadRequest(try RecordedBoltFrame.bytes("request-uniqueid")))
        let name = withBytes(named.frame) { Bolt.serviceName($0, named.invocation.service) }
        #expect(named.text(name.interface) == "demo.EchoService")
        #expect(named.text(name.version) == "1.0" && named.text(name.uniqueID) == "blue")
    }

    @Test(arguments: RecordedBoltFrame.all.filter { $0.type == 0 })
    func response(_ recorded: RecordedBoltFrame) throws {
        let bytes = try recorded.bytes
        let head = try #require(boltHead(bytes))
        let (kind, refuses, text) = withBytes(bytes) {
            (Bolt.responseKind($0, head), boltRefuses($0, head, of: "demo.EchoService"), Bolt.errorText($0, head))
        }
        let isFailure = recorded.file.contains("no-service") || recorded.file.contains("reply-error-hessian2")
        switch recorded.file {
        case _ where isFailure: #expect(kind == .failure)
        // The words of our own errors have no code, by which they are told from exceptions where there is no other sign.
        case _ where recorded.file.contains("exception") || recorded.file.contains("reply-error"):
            #expect(kind == .exception)
        case "bolt-response-null.bin": #expect(kind == .null)
        default: #expect(kind == (head.status == 0 ? .value : .unknown))
        }
        #expect(refuses == recorded.file.contains("no-service"))
        let words = text.map { String(decoding: bytes[Int($0.start)..<$0.end], as: UTF8.self) }
        if recorded.file.contains("reply-error") { #expect(words == "greymesh: no host for v9") }
        if recorded.file.contains("no-service") {
            #expect(words?.hasPrefix("RPC-020100010: RPC cannot find service: [demo.EchoService:1.0:blue]") == true)
        }
    }
}
