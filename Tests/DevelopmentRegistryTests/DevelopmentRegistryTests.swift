import Glibc
import Runtime
import Testing
import WebServer

@testable import DevelopmentRegistry

/// The registry over a socket.
struct DevelopmentRegistryTests {
    private let loop: EventLoop
    private let registry: DevelopmentRegistry
    private let address: SocketAddress

    init() throws {
        loop = try EventLoop()
        registry = DevelopmentRegistry(loop: loop)
        address = try registry.listen(on: SocketAddress("127.0.0.1:0")!)
    }

    /// Sends one request on a connection of its own and returns all that comes back until the server closes.
    private func exchange(_ method: String, _ target: String, form: String = "") throws -> String {
        let descriptor = try Socket.connect(to: address)
        defer {
            loop.unwatch(descriptor)
            Socket.close(descriptor)
        }
        var request = "\(method) \(target) HTTP/1.1\r\nHost: r\r\nConnection: close\r\n"
        request +=
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: \(form.utf8.count)\r\n\r\n\(form)"
        var received: [UInt8] = []
        var isSent = false
        var isEnded = false
        loop.watch(descriptor, [.readable, .writable]) { _ in
            if !isSent {
                isSent = send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL)) == request.utf8.count
                loop.watch(descriptor, .readable) { _ in
                    var buffer = [UInt8](repeating: 0, count: 65_536)
                    let count = read(descriptor, &buffer, buffer.count)
                    if count > 0 { received += buffer[..<count] } else { isEnded = true }
                }
            }
        }
        #expect(loop.run(for: .seconds(10)) { isEnded })
        return String(decoding: received, as: UTF8.self)
    }

    @Test func registersListsAndDeregisters() throws {
        let service = "providers%3Acom.acme.Echo%3A1.0.0%3A"
        #expect(
            try exchange("POST", "/nacos/v1/ns/instance", form: "serviceName=\(service)&ip=10.0.0.1&port=20880")
                .hasSuffix(
                    "\r\n\r\nok"))
        let list = try exchange("GET", "/nacos/v1/ns/instance/list?serviceName=\(service)&healthyOnly=true")
        #expect(list.contains("HTTP/1.1 200 OK") && list.contains("application/json"))
        #expect(list.contains(#""name":"DEFAULT_GROUP@@providers:com.acme.Echo:1.0.0:""#) && list.contains("20880"))
        _ = try exchange("DELETE", "/nacos/v1/ns/instance?serviceName=\(service)&ip=10.0.0.1&port=20880")
        #expect(try exchange("GET", "/nacos/v1/ns/instance/list?serviceName=\(service)").contains(#""hosts":[]"#))
    }

    @Test func silentHostsDisappearByThemselves() throws {
        let metadata = Parameters.encode("preserved.heart.beat.timeout=50,preserved.ip.delete.timeout=100")
        _ = try exchange("POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=1&metadata=\(metadata)")
        let isGone = loop.run(for: .seconds(10)) {
            (try? exchange("GET", "/nacos/v1/ns/instance/list?serviceName=s").contains(#""hosts":[]"#)) == true
        }
        #expect(isGone)
    }

    @Test func aRestartForgetsAndAStoppedOneRefuses() throws {
        _ = try exchange("POST", "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=1")
        registry.stop()
        #expect(throws: (any Error).self) {
            let descriptor = try Socket.connect(to: address)
            defer { Socket.close(descriptor) }
            let isRefused = loop.run(for: .milliseconds(500)) { Socket.connectError(descriptor) != 0 }
            if isRefused { throw SystemError("connect", code: ECONNREFUSED) }
        }
        registry.forgetAll()
        try registry.listen(on: address)
        #expect(try exchange("PUT", "/nacos/v1/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=1").contains("20404"))
    }
}
