import Testing

@testable import Codecs

@Suite struct DubboAnswerTests {
    private func error(_ text: [UInt8], status: UInt8 = Dubbo.Status.serviceError, id: Int64 = 1) -> [UInt8] {
        written(Dubbo.errorBound) { out in
            withBytes(text) { Dubbo.writeError(status: status, id: id, text: $0, count: text.count, into: out) }
        }
    }

    @Test func errorAsJavaWritesIt() {
        let expected = hex(
            "dabb0246 0000000000000001 00000014 13 6e6f206865616c74687920757073747265616d")
        #expect(error(Array("no healthy upstream".utf8)) == expected)
        #expect(error([], status: 31, id: -2) == hex("dabb021f fffffffffffffffe 00000001 00"))
    }

    @Test(arguments: ["x", "é", "中", "😀"], [0, 31, 32, 1023, 1024, 4096, 5000])
    func errorOfAnyLength(_ character: String, _ count: Int) {
        let text = String(repeating: character, count: count)
        let frame = error(Array(text.utf8))
        #expect(frame.count <= Dubbo.errorBound)
        let body = Array(frame.dropFirst(16))
        #expect(skipHessian(body) == body.count)
        withBytes(body) {
            let found = Dubbo.errorText($0, count: body.count, .hessian2)
            #expect(found?.end == body.count)
        }
        let kept = Dubbo.maximumErrorText / character.utf8.count
        #expect(Build.hessian(String(text.prefix(kept))) == body)
    }

    @Test func exceptionAsJavaReadsIt() {
        let text = Array("no version 3 of demo".utf8)
        let frame = written(Dubbo.errorBound) { out in
            withBytes(text) { Dubbo.writeRpcException(id: 9, code: 4, text: $0, count: text.count, into: out) }
        }
        let body = hex(
            """
            93 43 3021"org.apache.dubbo.rpc.RpcException" 92 04"code" 0d"detailMessage" 60 94 14"no version 3 of demo"
            48 05"dubbo" 05"2.0.2" 5a
            """)
        #expect(frame == Build.frame(body, flags: 0x02, status: 20, id: 9))
        let kind = withBytes(body) { Dubbo.responseKind($0, count: body.count, status: 20, .hessian2) }
        #expect(kind == .exception)

        let long = [UInt8](repeating: 0xff, count: 10000)
        let longFrame = written(Dubbo.errorBound) { out in
            withBytes(long) { Dubbo.writeRpcException(id: 9, code: 1000, text: $0, count: long.count, into: out) }
        }
        #expect(longFrame.count <= Dubbo.errorBound)
    }

    /// As a 3.3.6 consumer was seen to read it, without trying again.
    @Test func exceptionInFastjson2() {
        let text = Array("no v3 \u{FF}é".utf8) + [0xff]
        func exception(_ serialization: Dubbo.Serialization) -> [UInt8] {
            written(Dubbo.errorBound) { out in
                withBytes(text) {
                    Dubbo.writeRpcException(
                        id: 9, code: 4, text: $0, count: text.count, serialization: serialization, into: out)
                }
            }
        }
        let object = hex(
            """
            92 6a"org.apache.dubbo.rpc.RpcException" 00 a6 4d"code" 4800000004 56"detailMessage"
            7a480000000b "no v3 ÿé?" a5
            """)
        let body = hex("00000002 bd03") + Build.element(object) + hex("0000000e a6 4e\"dubbo\" 4e\"2.0.2\" a5")
        #expect(exception(.fastjson2) == Build.frame(body, flags: 0x17, status: 20, id: 9))
        let kind = withBytes(body) { Dubbo.responseKind($0, count: body.count, status: 20, .fastjson2) }
        #expect(kind == .exception)
        #expect(exception(.fastjson) == [])
        #expect(exception(Dubbo.Serialization(id: 8)) == [])
    }

    @Test func heartbeats() {
        let request = written(Dubbo.heartbeatRequestSize) { Dubbo.writeHeartbeatRequest(id: 3, into: $0) }
        #expect(request == hex("dabbe200 0000000000000003 00000001 4e"))
        // In place.
        let answer = written(request.count) { out in
            for (index, byte) in request.enumerated() { out[index] = byte }
            return Dubbo.writeHeartbeatAnswer(request: UnsafePointer(out), count: request.count, into: out)
        }
        #expect(answer == hex("dabb2214 0000000000000003 00000001 4e"))
    }

    @Test func readonlyEvent() {
        let event = written(Dubbo.readonlyEventSize) { Dubbo.writeReadonlyEvent(id: 0, into: $0) }
        #expect(event == hex("dabba200 0000000000000000 00000002 0152"))
    }

    @Test(arguments: [
        ("4e", 2, "heartbeat"), ("0152", 2, "readonly"), ("0157", 2, "writeable"), ("0158", 2, ""), ("", 2, ""),
        ("4e4e", 2, ""),
        ("00000001af", 23, "heartbeat"), ("000000024a52", 23, "readonly"), ("000000024a57", 23, "writeable"),
        ("00000001b0", 23, ""),
        ("\"null\" 0a", 6, "heartbeat"), ("22 52 22 0a", 6, "readonly"), ("22 57 22 0d0a", 6, "writeable"),
        ("22 52 22", 6, "readonly"),
        ("aced000570", 3, "heartbeat"), ("0148", 22, "heartbeat"), ("", 3, ""),
    ])
    func events(_ text: String, _ serialization: UInt8, _ meaning: String) {
        let body = hex(text)
        let serialization = Dubbo.Serialization(id: serialization)
        withBytes(body) {
            #expect(Dubbo.isHeartbeat($0, count: body.count, serialization) == (meaning == "heartbeat"))
            #expect(Dubbo.isReadonlyEvent($0, count: body.count, serialization) == (meaning == "readonly"))
            #expect(Dubbo.isWriteableEvent($0, count: body.count, serialization) == (meaning == "writeable"))
        }
    }

    @Test(arguments: [
        ("94 00", 20, 2, Dubbo.ResponseKind.value), ("91 00", 20, 2, .value), ("95 485a", 20, 2, .null),
        ("92", 20, 2, .null),
        ("90 4e", 20, 2, .exception), ("93 4e", 20, 2, .exception), ("96", 20, 2, .unknown), ("", 20, 2, .unknown),
        ("94 00", 70, 2, .unknown), ("00000002bd04", 20, 23, .value), ("0000000105", 20, 23, .null),
        ("00000002bd0", 20, 23, .unknown),
        ("00000001", 20, 23, .unknown), ("34 0a", 20, 6, .value), ("33 0a", 20, 6, .exception), ("20", 20, 6, .unknown),
        ("94", 20, 3, .unknown),
    ])
    func kinds(_ text: String, _ status: UInt8, _ serialization: UInt8, _ kind: Dubbo.ResponseKind) {
        let body = hex(text)
        let found = withBytes(body) {
            Dubbo.responseKind($0, count: body.count, status: status, Dubbo.Serialization(id: serialization))
        }
        #expect(found == kind)
    }

    private func refuses(_ text: String, status: UInt8, _ serialization: Dubbo.Serialization = .hessian2) -> Bool {
        let body = serialization == .hessian2 ? Build.hessian(text) : Build.element(Build.jsonb(text))
        return withBytes(body) { Dubbo.refusesService($0, count: body.count, status: status, serialization) }
    }

    /// Recorded refusals are in the table of frames; here what must not be taken for one.
    @Test func refusals() {
        let refusal = "org.apache.dubbo.remoting.RemotingException: Not found exported service: demo:1:20880 in []"
        #expect(refuses(refusal, status: 70))
        #expect(refuses(refusal, status: 70, .fastjson2))
        #expect(refuses(refusal + String(repeating: "\tat x\n", count: 20000), status: 70, .fastjson2))
        #expect(!refuses(refusal, status: 20))
        #expect(!refuses(refusal, status: 80))
        #expect(!refuses("org.apache.dubbo.rpc.RpcException: nested: " + refusal, status: 70))
        #expect(!refuses("Fail to decode request due to: java.io.IOException: x", status: 40))
        #expect(!refuses("", status: 40))
        // In pieces, as Java writes long texts.
        let start = Array(refusal.utf8)
        let body = [0x52, 0, UInt8(start.count)] + start + [0x00]
        #expect(withBytes(body) { Dubbo.refusesService($0, count: body.count, status: 70, .hessian2) })
    }
}
