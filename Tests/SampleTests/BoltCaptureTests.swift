import Glibc
import Testing

@testable import sample

/// Frames recorded between real SOFA RPC programs, shared with the tests of the proxy's codec.
struct BoltCaptureTests {
    private static let directory =
        #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" } + "/CodecsTests/Resources/bolt/bolt-"

    private static func bytes(_ name: String) throws -> [UInt8] {
        let file = try #require(fopen("\(directory)\(name).bin", "r"), "\(name)")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 17)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return bytes
    }

    private static func frame(_ name: String) throws -> BoltFrame {
        var bytes = try bytes(name)
        let frame = try #require(try BoltFrame.take(from: &bytes))
        #expect(bytes.isEmpty)
        return frame
    }

    @Test(arguments: [
        "request-hessian2", "request-order", "request-unicode", "request-unicode-header", "request-null",
        "request-blob",
        "request-fail", "request-slow", "request-uniqueid", "request-big-header", "request-oneway",
    ])
    func requestsAreReadToTheirEnd(name: String) throws {
        let frame = try Self.frame(name)
        #expect(frame.className == BoltFrame.requestClass && frame.command == 1)
        #expect(frame.kind == (name == "request-oneway" ? .oneWay : .request))
        let call = try SofaRequest(parsing: frame.content)
        #expect(call.method == frame.value("sofa_head_method_name") && call.arguments.count == 1)
        #expect(frame.value("service")?.hasPrefix("demo.EchoService:1.0") == true)
    }

    @Test func textsAreRead() throws {
        let call = try SofaRequest(parsing: try Self.frame("request-unicode").content)
        #expect(call.arguments == [.string("灰度 😀 é")])
        #expect(try Self.frame("request-unicode-header").value("中文") == "灰度😀")
        #expect(try Self.frame("request-hessian2").value("x-version") == "v2")
    }

    @Test func answersAreRead() throws {
        #expect(try SofaResult.read(try Self.frame("response-hessian2").content) == .string("p1|1.0|hello"))
        #expect(try SofaResult.read(try Self.frame("response-null").content) == .null)
        guard case .binary(let blob) = try SofaResult.read(try Self.frame("response-blob").content) else {
            return #expect(Bool(false), "no blob")
        }
        #expect(blob.count == 4096)
        #expect(try SofaResult.read(try Self.frame("response-order").content).field("id") != nil)
        for (name, text) in [
            ("response-no-service", "RPC-020100010: RPC cannot find service: [demo.EchoService:1.0:blue] "),
            ("response-exception", "java.lang.IllegalStateException: boom"),
        ] {
            let frame = try Self.frame(name)
            #expect(frame.value("sofa_head_response_error") == "true")
            #expect {
                try SofaResult.read(frame.content)
            } throws: {
                "\($0)" == text
            }
        }
    }

    @Test(arguments: [
        "request-hessian2", "response-hessian2", "response-no-service", "request-json", "response-status18",
        "heartbeat",
        "heartbeat-ack", "goaway", "response-busy",
    ])
    func framesAreWrittenAsJavaWritesThem(name: String) throws {
        #expect(try Self.frame(name).bytes == Self.bytes(name))
    }

    /// What the sample writes is what Java writes, but for the order and number of properties.
    @Test func contentsAreWrittenAsJavaWritesThem() throws {
        let answer = SofaResult.content { $0.write("p1|1.0|hello") }
        #expect(try answer == Self.frame("response-hessian2").content)
        let request = try Self.frame("request-hessian2")
        let written = SofaCall(service: "demo.EchoService:1.0", method: "say", argument: "hello").frame(1)
        let map: UInt8 = 0x4d
        let (start, end) = (
            try #require(request.content.firstIndex(of: map)), try #require(written.content.firstIndex(of: map))
        )
        #expect(request.content[..<start] == written.content[..<end])
        #expect(request.content.suffix(37) == written.content.suffix(37))
    }
}
