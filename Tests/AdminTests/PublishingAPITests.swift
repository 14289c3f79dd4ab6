import Configuration
import ControlPlane
import Discovery
import Runtime
import TestSupport
import Testing

@Suite("The API of applications made for MOSN")
struct PublishingAPITests {
    private let json = [(name: "Content-Type", value: "application/json; charset=utf-8")]

    private func post(
        _ mesh: AdminMesh, _ path: String, _ body: String, headers: [(name: String, value: String)]? = nil
    ) throws -> String {
        let answer = try mesh.ask(path, method: "POST", headers: headers ?? json, body: Array(body.utf8))
        #expect(answer.status == 200 && answer.header("content-type")?.hasPrefix("application/json") == true)
        return answer.text
    }

    private func request(_ service: String, registry: String? = nil) -> String {
        "{\(registry.map { "\"registry\":\($0)," } ?? "")\"service\":\(service)}"
    }

    private func required(_ mesh: AdminMesh) -> [String] {
        mesh.control.directory.statuses.filter(\.isRequired).map(\.key.description)
    }

    @Test("What is subscribed is watched for good, each version and group for itself, through a reload")
    func subscriptions() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        let before = required(mesh)
        let plain = request(
            #"{"interface":"com.acme.A","methods":["x"],"group":"","name":"A"}"#,
            registry: #"{"type":"nacos","addr":"127.0.0.1:1"}"#)
        let blue = request(#"{"interface":"com.acme.A","group":"blue"}"#)
        for body in [plain, plain, blue] {
            #expect(try post(mesh, "/sub", body) == #"{"err_no":0,"err_msg":"subscribe success"}"#)
        }
        #expect(required(mesh) == ["dubbo:com.acme.A"] + before)
        for _ in 0..<2 {
            #expect(try post(mesh, "/unsub", plain) == #"{"err_no":0,"err_msg":"unsubscribe success"}"#)
            #expect(required(mesh) == ["dubbo:com.acme.A"] + before)
        }
        mesh.control.reloadConfiguration()
        #expect(required(mesh) == ["dubbo:com.acme.A"] + before)
        _ = try post(mesh, "/unsub", blue)
        #expect(required(mesh) == before)
    }

    @Test(
        "Wrong requests are answered with a number other than 0 and in words",
        arguments: [
            ("", "the request is not JSON with an object \\\"service\\\" of texts"),
            ("{", "the request is not JSON with an object \\\"service\\\" of texts"),
            ("[]", "the request is not JSON with an object \\\"service\\\" of texts"),
            (#"{"service":[]}"#, "the request is not JSON with an object \\\"service\\\" of texts"),
            (#"{"service":{}}"#, "service.interface is missing"),
            (#"{"service":{"interface":"com.acme.A","port":"x"}}"#, "\\\"x\\\" is not a port"),
            (#"{"service":{"interface":"com.acme.A","port":65536}}"#, "\\\"65536\\\" is not a port"),
            (
                #"{"service":{"interface":"com.acme.A","port":true}}"#,
                "the request is not JSON with an object \\\"service\\\" of texts"
            ),
            (#"{"service":{"interface":"a b"}}"#, "\\\"a b\\\" is not the name of an interface"),
            (
                #"{"registry":{"type":"zookeeper","addr":"z:2181"},"service":{"interface":"com.acme.A"}}"#,
                "the registry zookeeper z:2181 is not configured; known are "
            ),
        ])
    func refusals(body: String, words: String) throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        for (path, name) in [("/sub", "subscribe"), ("/pub", "publish")] {
            let answer = try post(mesh, path, body)
            #expect(answer.hasPrefix(#"{"err_no":1,"err_msg":"\#(name) fail, err: \#(words)"#))
            #expect(!answer.contains("s3cret"))
        }
    }

    @Test("A page in a browser cannot use it, and bodies are bounded")
    func guarded() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        let body = request(#"{"interface":"com.acme.A"}"#)
        for headers in [[], [(name: "Content-Type", value: "text/plain")]] {
            #expect(try post(mesh, "/sub", body, headers: headers).contains("Content-Type: application/json"))
        }
        let long = request(#"{"interface":"com.acme.A","name":"\#(String(repeating: "x", count: 66_000))"}"#)
        #expect(try post(mesh, "/sub", long).contains("larger than 65536 bytes"))
        let get = try mesh.ask("/pub")
        #expect(get.status == 405 && get.header("allow") == "POST" && get.text == "only POST is allowed here\n")
        #expect(required(mesh).allSatisfy { !$0.hasPrefix("dubbo:com.acme") })
    }

    @Test("A file takes no registrations; what waits for its application is on /registrations and in the metrics")
    func pages() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        let file = request(#"{"interface":"com.acme.A","port":"1"}"#, registry: #"{"type":"file"}"#)
        #expect(
            try post(mesh, "/pub", file)
                == #"{"err_no":1,"err_msg":"publish fail, err: the registry file takes no Dubbo interfaces"}"#)
        let nacos = request(#"{"interface":"com.acme.A","port":1,"host":"192.0.2.1","version":"1.0.0"}"#)
        let publish = HTTPRequest("POST", "http://\(mesh.address)/pub", headers: json, body: Array(nacos.utf8))
        mesh.client.send(publish) { _ in }
        var page = ""
        let deadline = Clock.nanoseconds + 10_000_000_000
        while !page.contains(#""service": "com.acme.A""#), Clock.nanoseconds < deadline {
            page = try mesh.ask("/registrations").text
        }
        #expect(page.contains(#""source": "api""#) && page.contains(#""checked": "127.0.0.1:1""#))
        let labels = #"service="com.acme.A",protocol="dubbo",version="1.0.0",group="",port="1""#
        let metrics = try mesh.ask("/metrics").text
        #expect(metrics.contains("greymesh_registration_up{\(labels)} 0"))
        #expect(metrics.contains("greymesh_registration_registered{\(labels),registry=\"nacos://127.0.0.1:1\"} 0"))
        #expect(try post(mesh, "/unpub", nacos) == #"{"err_no":0,"err_msg":"unpub success"}"#)
        #expect(try !mesh.ask("/registrations").text.contains("com.acme.A"))
    }
}
