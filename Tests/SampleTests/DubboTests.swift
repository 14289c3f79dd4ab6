import Glibc
import Runtime
import Testing

@testable import sample

/// The sample provider and consumer.
struct DubboTests {
    private let loop: EventLoop
    private let service: DubboService
    private let address: SocketAddress
    private let client: DubboClient

    init() throws {
        loop = try EventLoop()
        let identity = Identity(service: "com.acme.Echo", version: "1.0", host: "h1")
        service = DubboService(loop: loop, identity: identity, group: "g", delay: .zero)
        address = try service.listen(on: SocketAddress("127.0.0.1:0")!)
        client = DubboClient(loop: loop, address: address, timeout: .seconds(5))
    }

    private func invocation(
        path: String = "com.acme.Echo", version: String = "1.0", group: String = "g", method: String = "say",
        attachments: [String: String] = [:]
    ) -> DubboInvocation {
        DubboInvocation(
            path: path, version: version, group: group, method: method, argument: "hi 😀", attachments: attachments)
    }

    private func call(_ invocation: DubboInvocation) -> String {
        var answer: String?
        client.call(invocation) { result in
            switch result {
            case .success(let text): answer = text
            case .failure(let failure): answer = "! \(failure)"
            }
        }
        _ = loop.run(for: .seconds(10)) { answer != nil }
        return answer ?? "no answer"
    }

    /// Sends frames on a connection of their own and returns the frames that come back until there are `count`.
    private func exchange(_ frames: [[UInt8]], count: Int) throws -> [DubboFrame] {
        let stream = try Stream(loop: loop, connectingTo: address)
        defer { stream.close() }
        var answers: [DubboFrame] = []
        stream.onData = { [unowned stream] in
            while let frame = try? DubboFrame.take(from: &stream.input) { answers.append(frame) }
        }
        for frame in frames { stream.send(frame) }
        #expect(loop.run(for: .seconds(10)) { answers.count >= count })
        return answers
    }

    @Test func answersWithHostVersionAndArgument() { #expect(call(invocation()) == "h1|1.0|hi 😀") }

    @Test func refusesAsJavaDoes() {
        #expect(
            call(invocation(path: "com.acme.Other")).hasPrefix(
                "! status 70: Not found exported service: g/com.acme.Other:1.0 in"))
        #expect(call(invocation(version: "2.0")).hasPrefix("! status 70"))
        #expect(call(invocation(version: "")).hasPrefix("! status 70: Not found exported service: g/com.acme.Echo in"))
        #expect(call(invocation(group: "")).hasPrefix("! status 70"))
        var wrongBody = invocation()
        wrongBody.version = "2.0"
        #expect(call(wrongBody).hasPrefix("! status 40: Fail to decode request"))
        #expect(call(invocation(method: "fail")) == "! java.lang.RuntimeException: hi 😀")
    }

    @Test func manyCallsShareAConnection() {
        var answers: [Int: String] = [:]
        for number in 0..<500 {
            let one = DubboInvocation(
                path: "com.acme.Echo", version: "1.0", group: "g", method: "say", argument: "\(number)",
                attachments: [:])
            client.call(one) { answers[number] = try? $0.get() }
        }
        #expect(client.inFlight == 500)
        #expect(loop.run(for: .seconds(10)) { answers.count == 500 })
        #expect(answers.allSatisfy { $0.value == "h1|1.0|\($0.key)" } && client.inFlight == 0)
    }

    @Test func slowCallsDoNotHoldUpOthersAndTimeOut() throws {
        let impatient = DubboClient(loop: loop, address: address, timeout: .milliseconds(100))
        var slow: Result<String, CallFailure>?
        var sleep = invocation(method: "sleep")
        sleep.types = "J"
        sleep.arguments = [.long(2000)]
        impatient.call(sleep) { slow = $0 }
        #expect(call(invocation()) == "h1|1.0|hi 😀" && slow == nil && service.inFlight == 1)
        #expect(loop.run(for: .seconds(10)) { slow != nil })
        #expect(throws: CallFailure.self) { try slow?.get() }
    }

    @Test func attachmentsAreTold() throws {
        let request = DubboFrame(
            request: 7, body: invocation(method: "attachments", attachments: ["x-version": "2"]).body)
        let answer = try #require(try exchange([request.bytes], count: 1).first)
        let (value, attachments) = try DubboResult.read(answer.body)
        #expect(
            value.strings["x-version"] == "2" && value.strings["body.version"] == "1.0" && value.strings["group"] == "g"
        )
        #expect(attachments == ["dubbo": "2.0.2"] && answer.identifier == 7)
    }

    @Test func protocolVersionDecidesAboutAttachmentsOfTheAnswer() throws {
        for (version, flag) in [
            ("2.0.1", UInt8(0x91)), ("2.0.2", 0x94), ("2.0.99", 0x94), ("2.0.100", 0x91), ("2.5.3", 0x91),
        ] {
            var old = invocation()
            old.protocolVersion = version
            let answer = try exchange([DubboFrame(request: 1, body: old.body).bytes], count: 1)
            #expect(answer.first?.body.first == flag, "\(version)")
        }
    }

    @Test func eventsAndOneWayRequests() throws {
        let heartbeat: [UInt8] = [0xda, 0xbb, 0xe2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0x4e]
        let other: [UInt8] = [0xda, 0xbb, 0xf7, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 1, 0xaf]
        let readonly: [UInt8] = [0xda, 0xbb, 0xa2, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 1, 0x52]
        let oneWay = DubboFrame(request: 6, isTwoWay: false, body: invocation(path: "wrong").body).bytes
        let last = DubboFrame(request: 8, body: invocation().body).bytes
        let answers = try exchange([heartbeat, other, readonly, oneWay, last], count: 3)
        #expect(answers.map(\.identifier) == [3, 4, 8] && answers.map(\.status) == [20, 20, 20])
        #expect(answers[0].bytes == [0xda, 0xbb, 0x22, 0x14, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0x4e])
        #expect(answers[1].serialization == 23 && answers[1].body == [0, 0, 0, 1, 0xaf])
    }

    @Test func echoAndGenericCalls() throws {
        var echo = invocation(method: "$echo")
        echo.types = "Ljava/lang/Object;"
        #expect(call(echo) == "hi 😀")
        var generic = invocation(method: "$invoke")
        generic.types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
        generic.arguments = [.string("say"), .list([.string("java.lang.String")]), .list([.int(1), .string("inner")])]
        #expect(call(generic) == "h1|1.0|inner")
    }

    @Test func consumersAreToldThatTheHostStops() throws {
        #expect(call(invocation()).hasPrefix("h1"))
        let stream = try Stream(loop: loop, connectingTo: address)
        var seen: [DubboFrame] = []
        stream.onData = { [unowned stream] in
            while let frame = try? DubboFrame.take(from: &stream.input) { seen.append(frame) }
        }
        stream.send(DubboFrame(request: 1, body: invocation().body).bytes)
        #expect(loop.run(for: .seconds(10)) { seen.count == 1 })
        service.sendReadOnly()
        #expect(loop.run(for: .seconds(10)) { seen.count == 2 })
        #expect(seen[1].isRequest && seen[1].isEvent && !seen[1].isTwoWay && seen[1].body == [1, 0x52])
        #expect(call(invocation()).hasPrefix("h1"))
    }

    @Test func whatIsNotDubboIsClosed() throws {
        for bytes in [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [0xda, 0xbb, 0xc2, 0] + [UInt8](repeating: 0xff, count: 12),
        ] {
            let stream = try Stream(loop: loop, connectingTo: address)
            var isEnded = false
            stream.onEnd = { _ in isEnded = true }
            stream.send(bytes)
            #expect(loop.run(for: .seconds(10)) { isEnded })
        }
        let bad = try exchange([DubboFrame(request: 1, body: [1, 2, 3]).bytes], count: 1)
        #expect(bad.first?.status == 40)
    }

    @Test func aLostConnectionFailsItsCallsAndTheNextOneConnects() throws {
        var sleep = invocation(method: "sleep")
        sleep.types = "I"
        sleep.arguments = [.int(2000)]
        var failure: Result<String, CallFailure>?
        client.call(sleep) { failure = $0 }
        #expect(loop.run(for: .seconds(10)) { service.inFlight == 1 })
        service.closeConnections()
        #expect(loop.run(for: .seconds(10)) { failure != nil })
        #expect(throws: CallFailure.self) { try failure?.get() }
        #expect(call(invocation()) == "h1|1.0|hi 😀")
    }

    @Test(arguments: [("", 0), ("Ljava/lang/String;", 1), ("Ljava/lang/String;[[I[BJ", 4), ("ZBCDFIJS", 8)])
    func countsTypes(descriptor: String, count: Int) throws {
        #expect(try DubboInvocation.countTypes(descriptor) == count)
    }

    @Test(arguments: ["Ljava", "x", "I;"]) func refusesBadTypes(descriptor: String) {
        #expect(throws: HessianError.self) { try DubboInvocation.countTypes(descriptor) }
    }
}
