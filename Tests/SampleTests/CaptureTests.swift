import Glibc
import Testing

@testable import sample

/// Frames recorded between real Java programs, shared with the tests of the proxy's codec.
struct CaptureTests {
    private static let directory =
        #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" } + "/CodecsTests/Resources/dubbo/"

    private static func bytes(_ name: String) throws -> [UInt8] {
        let file = try #require(fopen(directory + name, "r"), "\(name)")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return bytes
    }

    private static func frame(_ name: String) throws -> DubboFrame {
        var bytes = try bytes(name)
        return try #require(try DubboFrame.take(from: &bytes))
    }

    @Test(arguments: ["dubbo27", "dubbo33"]) func requestsAreRead(version: String) throws {
        let frame = try Self.frame("\(version)-hessian2-say-request.bin")
        #expect(frame.isRequest && frame.isTwoWay && !frame.isEvent && frame.serialization == 2)
        let call = try DubboInvocation(parsing: frame.body)
        #expect(call.protocolVersion == "2.0.2" && call.path == "demo.EchoService" && call.method == "say")
        #expect(
            call.types == "Ljava/lang/String;" && call.arguments.count == 1 && call.attachments["path"] == call.path)
    }

    @Test(
        arguments: ["dubbo27", "dubbo33"],
        ["order", "generic-order", "attachments", "50k", "unicode", "async", "plain"])
    func everyKindOfRequestIsReadToItsEnd(version: String, kind: String) throws {
        let call = try DubboInvocation(parsing: try Self.frame("\(version)-hessian2-\(kind)-request.bin").body)
        #expect(call.attachments["path"] == "demo.EchoService")
        #expect(call.arguments.count == (try DubboInvocation.countTypes(call.types)))
    }

    @Test(arguments: ["dubbo27", "dubbo33"], ["say", "unicode", "order", "null-result", "blob4096", "generic-order"])
    func answersAreRead(version: String, kind: String) throws {
        let frame = try Self.frame("\(version)-hessian2-\(kind)-response.bin")
        #expect(!frame.isRequest && frame.status == DubboFrame.Status.ok)
        let (value, attachments) = try DubboResult.read(frame.body)
        #expect(attachments["dubbo"] == "2.0.2" && (value == .null) == (kind == "null-result"))
    }

    @Test(arguments: ["dubbo27", "dubbo33"]) func exceptionsAreThrown(version: String) throws {
        let frame = try Self.frame("\(version)-hessian2-exception-response.bin")
        #expect(throws: HessianError.self) { try DubboResult.read(frame.body) }
    }

    @Test(arguments: [
        "dubbo33-hessian2-say-request.bin", "dubbo33-hessian2-say-response.bin", "dubbo27-hessian2-oneway-request.bin",
        "dubbo27-hessian2-heartbeat-request.bin", "dubbo27-hessian2-heartbeat-response.bin",
        "dubbo33-hessian2-readonly.bin", "dubbo27-hessian2-unknown-group-response.bin",
    ])
    func framesAreWrittenAsJavaWritesThem(name: String) throws {
        #expect(try Self.frame(name).bytes == Self.bytes(name))
    }
}
