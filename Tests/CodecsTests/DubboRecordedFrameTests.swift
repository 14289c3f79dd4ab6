import Testing

@testable import Codecs

/// Every frame recorded between real programs, against the table that describes them.
@Suite struct DubboRecordedFrameTests {
    @Test func allFramesAreThere() {
        #expect(RecordedFrame.all.count == 140)
    }

    @Test(arguments: RecordedFrame.all)
    func head(_ recorded: RecordedFrame) throws {
        let bytes = try recorded.bytes
        guard case .complete(let head) = frameHead(bytes) else {
            Issue.record("no frame")
            return
        }
        #expect(head.flags == recorded.flags)
        #expect(head.status == recorded.status)
        #expect(head.id == recorded.id)
        #expect(head.bodyLength == recorded.bodyLength)
        #expect(head.frameLength == bytes.count)
        #expect(head.serialization.id == recorded.serialization)
        #expect(head.isRequest == recorded.kind.hasSuffix("request"))
        #expect(head.isEvent == recorded.kind.hasPrefix("event"))
        if let twoWay = recorded.twoWay { #expect(head.isTwoWay == twoWay) }
    }

    @Test(arguments: RecordedFrame.all.filter { $0.kind == "request" && $0.method != nil })
    func request(_ recorded: RecordedFrame) throws {
        let parsed = ParsedBody(frame: try recorded.bytes)
        let invocation = parsed.invocation
        #expect(parsed.result == .parsed)
        #expect(parsed.text(invocation.protocolVersion) == recorded.protocol)
        #expect(parsed.text(invocation.bodyService) == recorded.interface)
        #expect(parsed.text(invocation.bodyVersion) == recorded.version)
        #expect(parsed.text(invocation.method) == recorded.method)
        #expect(parsed.text(invocation.types) == recorded.types)
        if let offset = recorded.attachmentsOffset {
            #expect(Int(invocation.attachments.start) == offset - Dubbo.headSize)
        }
        #expect(invocation.attachments.end == recorded.bodyLength)

        let attachments = recorded.attachments ?? [:]
        #expect(Int(invocation.attachmentCount) == attachments.count)
        for (key, value) in attachments {
            #expect(parsed.attachment(key.lowercased()) == value)
        }
        #expect(parsed.attachment("absent") == nil)
        #expect(parsed.text(invocation.path) == attachments["path"] ?? recorded.interface)
        #expect(parsed.text(invocation.interface) == attachments["interface"] ?? recorded.interface)
        #expect(parsed.text(invocation.version) == attachments["version"] ?? recorded.version)
        #expect(parsed.text(invocation.group) == attachments["group"] ?? "")
        #expect(invocation.timeoutMilliseconds == attachments["timeout"].flatMap { Int32($0) } ?? 0)
        let generic = ["say", "order", "fail"].first { recorded.file.contains("-generic-\($0)-") }
        #expect(parsed.text(invocation.calledMethod) == generic ?? recorded.method)
    }

    @Test(arguments: RecordedFrame.all.filter { $0.kind == "response" && $0.method == nil })
    func response(_ recorded: RecordedFrame) throws {
        let body = Array(try recorded.bytes.dropFirst(Dubbo.headSize))
        let serialization = Dubbo.Serialization(id: recorded.serialization)
        let kind = withBytes(body) {
            Dubbo.responseKind($0, count: body.count, status: recorded.status, serialization)
        }
        switch recorded.type {
        case 1, 4: #expect(kind == .value)
        case 2, 5: #expect(kind == .null)
        case 0, 3: #expect(kind == .exception)
        default: #expect(kind == (serialization == .fastjson ? .value : .unknown))
        }
        let refuses = withBytes(body) {
            Dubbo.refusesService($0, count: body.count, status: recorded.status, serialization)
        }
        let isRefusal =
            recorded.file.contains("-unknown-") && !recorded.file.contains("-serialization-")
            || recorded.file.contains("refused-serialization")
        #expect(refuses == isRefusal)
        let text = withBytes(body) { Dubbo.errorText($0, count: body.count, serialization) }
        if let expected = recorded.text {
            let range = try #require(text)
            #expect(String(decoding: body[Int(range.start)..<range.end], as: UTF8.self) == expected)
        }
    }

    @Test(arguments: RecordedFrame.all.filter { $0.kind.hasPrefix("event") })
    func event(_ recorded: RecordedFrame) throws {
        let bytes = try recorded.bytes
        let body = Array(bytes.dropFirst(Dubbo.headSize))
        #expect(body == hex(recorded.body ?? ""))
        let serialization = Dubbo.Serialization(id: recorded.serialization)
        withBytes(body) {
            #expect(
                Dubbo.isHeartbeat($0, count: body.count, serialization) == recorded.file.contains("-heartbeat-"))
            #expect(
                Dubbo.isReadonlyEvent($0, count: body.count, serialization) == recorded.file.contains("-readonly"))
            #expect(!Dubbo.isWriteableEvent($0, count: body.count, serialization))
        }
    }

    @Test(arguments: RecordedFrame.all.filter { $0.file.contains("-heartbeat-request") })
    func heartbeatAnswer(_ recorded: RecordedFrame) throws {
        let request = try recorded.bytes
        let answers = RecordedFrame.all.filter {
            $0.file == recorded.file.replacing("-request", with: "-response")
        }
        let answer = written(request.count) { out in
            withBytes(request) { Dubbo.writeHeartbeatAnswer(request: $0, count: request.count, into: out) }
        }
        #expect(answer == (try answers.first?.bytes))
    }

    @Test(arguments: RecordedFrame.all.filter { $0.kind == "request" && $0.method == nil })
    func unreadableSerializations(_ recorded: RecordedFrame) throws {
        #expect(recorded.serialization == 3 || recorded.serialization == 6)
        let parsed = ParsedBody(frame: try recorded.bytes)
        #expect(parsed.result == (recorded.serialization == 3 ? .opaque : .parsed))
        if recorded.serialization == 3 { return }
        let invocation = parsed.invocation
        #expect(parsed.text(invocation.protocolVersion) == "2.0.2")
        #expect(parsed.text(invocation.interface) == "demo.EchoService")
        #expect(parsed.text(invocation.version) == "1.0.0")
        #expect(parsed.text(invocation.method) == "say")
        #expect(invocation.argumentCount == 1)
        #expect(invocation.attachmentCount == 5)
        #expect(parsed.attachment("x-version") == "v2")
        #expect(parsed.attachment("remote.application") == "echo-consumer")
    }
}
