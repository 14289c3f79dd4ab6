import FoundationEssentials
import Testing
import WebServer

@testable import DevelopmentRegistry

/// The calls of a Nacos client against the API, without a network and with a clock of their own.
struct NamingAPITests {
    private var api = NamingAPI()
    private static let second: Int64 = 1_000_000_000

    private struct List: Decodable {
        struct Host: Decodable {
            var instanceId: String
            var ip: String
            var port: Int
            var weight: Double
            var healthy: Bool
            var enabled: Bool
            var ephemeral: Bool
            var clusterName: String
            var serviceName: String
            var metadata: [String: String?]
            var instanceHeartBeatInterval: Int
            var instanceHeartBeatTimeOut: Int
            var ipDeleteTimeout: Int
            var instanceIdGenerator: String?
        }
        var name: String
        var groupName: String
        var clusters: String
        var cacheMillis: Int
        var hosts: [Host]
        var lastRefTime: Int64
        var checksum: String
        var allIPs: Bool
        var reachProtectionThreshold: Bool
        var valid: Bool
    }

    private mutating func call(_ method: String, _ target: String, form: String = "", at seconds: Int64 = 0) -> (
        status: Int, text: String
    ) {
        var request = Request(method: method, target: "/nacos/v1" + target)
        if !form.isEmpty {
            request.headers = [HeaderField("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")]
            request.body = Array(form.utf8)
        }
        let response = api.answer(request, at: seconds * Self.second)
        guard case .bytes(let bytes) = response.body else { return (response.status, "") }
        return (response.status, String(decoding: bytes, as: UTF8.self))
    }

    private mutating func list(_ query: String, at seconds: Int64 = 0) throws -> List {
        let answer = call("GET", "/ns/instance/list?" + query, at: seconds)
        #expect(answer.status == 200)
        return try JSONDecoder().decode(List.self, from: Data(answer.text.utf8))
    }

    @Test mutating func listHasTheShapeOfNacos2() throws {
        let metadata = Parameters.encode("{\"version\":\"v2\",\"n\":1,\"flag\":true,\"none\":null}")
        let registered = call(
            "POST",
            "/ns/instance?serviceName=order&ip=10.0.0.2&port=8080&clusterName=HZ&weight=2.5&metadata=" + metadata)
        #expect(registered.status == 200 && registered.text == "ok")
        let list = try list("serviceName=order")
        #expect(list.name == "DEFAULT_GROUP@@order" && list.groupName == "DEFAULT_GROUP" && list.cacheMillis == 10000)
        #expect(list.checksum.isEmpty && list.valid && !list.allIPs && !list.reachProtectionThreshold)
        let host = try #require(list.hosts.first)
        #expect(host.instanceId == "10.0.0.2#8080#HZ#DEFAULT_GROUP@@order")
        #expect(host.ip == "10.0.0.2" && host.port == 8080 && host.weight == 2.5 && host.clusterName == "HZ")
        #expect(host.healthy && host.enabled && host.ephemeral && host.serviceName == "DEFAULT_GROUP@@order")
        #expect(host.metadata == ["version": "v2", "n": "1", "flag": "true", "none": nil])
        #expect(host.instanceHeartBeatInterval == 5000 && host.instanceHeartBeatTimeOut == 15000)
        #expect(host.ipDeleteTimeout == 30000 && host.instanceIdGenerator == nil)
    }

    @Test mutating func emptyAnswersForWhatIsUnknown() throws {
        #expect(try list("serviceName=nosuch").hosts.isEmpty)
        #expect(try list("serviceName=nosuch&namespaceId=nowhere").name == "DEFAULT_GROUP@@nosuch")
        _ = call("POST", "/ns/instance", form: "serviceName=a&ip=10.0.0.1&port=1")
        #expect(try list("serviceName=a&clusters=HZ").hosts.isEmpty)
        let services = call("GET", "/ns/service/list?pageNo=1&pageSize=10&namespaceId=nowhere")
        #expect(services.text == "{\"count\":0,\"doms\":[]}")
    }

    @Test mutating func groupsAndNamespacesAreApart() throws {
        _ = call("POST", "/ns/instance", form: "serviceName=g2%40%40order&ip=10.0.0.1&port=1")
        _ = call("POST", "/ns/instance", form: "serviceName=order&groupName=g3&ip=10.0.0.2&port=1")
        _ = call("POST", "/ns/instance", form: "serviceName=order&namespaceId=dev&ip=10.0.0.3&port=1")
        #expect(try list("serviceName=order").hosts.isEmpty)
        #expect(try list("serviceName=order&groupName=g2").hosts.map(\.ip) == ["10.0.0.1"])
        #expect(try list("serviceName=g3@@order&groupName=g2").hosts.map(\.ip) == ["10.0.0.2"])
        #expect(try list("serviceName=order&namespaceId=dev").hosts.map(\.ip) == ["10.0.0.3"])
        #expect(try list("serviceName=order&namespaceId=").hosts.isEmpty)
        #expect(
            call("GET", "/ns/service/list?pageNo=1&pageSize=9&groupName=g2").text == #"{"count":1,"doms":["order"]}"#)
    }

    @Test mutating func filtersOfAList() throws {
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.2&port=1&healthy=false")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.3&port=1&enabled=false")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.4&port=1&enable=false")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.5&port=1&clusterName=HZ&metadata=a%3D1%2Cb%3D2")
        #expect(try list("serviceName=s").hosts.map(\.ip) == ["10.0.0.1", "10.0.0.2", "10.0.0.5"])
        #expect(try list("serviceName=s&healthyOnly=true").hosts.map(\.ip) == ["10.0.0.1", "10.0.0.5"])
        let other = try list("serviceName=s&clusters=HZ,SH")
        #expect(other.hosts.map(\.metadata) == [["a": "1", "b": "2"]] && other.clusters == "HZ,SH")
        #expect(try list("serviceName=s&clusters=DEFAULT").hosts.first?.instanceIdGenerator == "simple")
    }

    @Test mutating func beatsKeepAHostAliveAndSilenceRemovesIt() throws {
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1")
        api.store.expire(at: 15 * Self.second)
        #expect(try list("serviceName=s").hosts.map(\.healthy) == [true])
        let beat = call("PUT", "/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=1", at: 15)
        #expect(beat.text == #"{"clientBeatInterval":5000,"code":10200,"lightBeatEnabled":true}"#)
        api.store.expire(at: 30 * Self.second)
        #expect(try list("serviceName=s").hosts.map(\.healthy) == [true])
        api.store.expire(at: 31 * Self.second)
        #expect(try list("serviceName=s").hosts.map(\.healthy) == [false])
        _ = call("PUT", "/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=1", at: 32)
        #expect(try list("serviceName=s").hosts.map(\.healthy) == [true])
        api.store.expire(at: 63 * Self.second)
        #expect(try list("serviceName=s").hosts.isEmpty)
        let late = call("PUT", "/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=1", at: 63)
        #expect(late.text == #"{"clientBeatInterval":5000,"code":20404,"lightBeatEnabled":true}"#)
        #expect(call("GET", "/ns/service/list?pageNo=1&pageSize=9").text == #"{"count":1,"doms":["s"]}"#)
        api.store.expire(at: 124 * Self.second)
        #expect(call("GET", "/ns/service/list?pageNo=1&pageSize=9").text == #"{"count":0,"doms":[]}"#)
    }

    @Test mutating func heartbeatMetadataIsHonoured() throws {
        let metadata = Parameters.encode(
            "preserved.heart.beat.interval=1000,preserved.heart.beat.timeout=3000,preserved.ip.delete.timeout=6000")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1&metadata=" + metadata)
        let beat = call("PUT", "/ns/instance/beat?serviceName=s&ip=10.0.0.1&port=1")
        #expect(beat.text.hasPrefix(#"{"clientBeatInterval":1000,"code":10200"#))
        api.store.expire(at: 4 * Self.second)
        let host = try #require(try list("serviceName=s").hosts.first)
        #expect(!host.healthy && host.instanceHeartBeatTimeOut == 3000)
        api.store.expire(at: 7 * Self.second)
        #expect(try list("serviceName=s").hosts.isEmpty)
    }

    @Test mutating func aFullBeatRegistersButDoesNotChange() throws {
        let beat = { (weight: Int) in
            Parameters.encode(
                #"{"serviceName":"DEFAULT_GROUP@@s","cluster":"HZ","ip":"10.0.0.1","port":80,"weight":\#(weight),"#
                    + #""metadata":{"version":"2"},"cpu":0.1,"scheduled":true}"#)
        }
        let first = call("PUT", "/ns/instance/beat?serviceName=s&ip=1.1.1.1&port=9&beat=" + beat(3))
        #expect(first.text.contains("10200"))
        _ = call("PUT", "/ns/instance/beat?serviceName=s&beat=" + beat(7))
        let hosts = try list("serviceName=s").hosts
        #expect(hosts.count == 1 && hosts[0].ip == "10.0.0.1" && hosts[0].weight == 3 && hosts[0].clusterName == "HZ")
        #expect(hosts[0].metadata == ["version": "2"])
        #expect(call("PUT", "/ns/instance/beat?serviceName=s&beat=%7Bx").status == 500)
    }

    @Test mutating func persistentHostsNeedNoBeatsAndDoNotMix() throws {
        _ = call("POST", "/ns/instance?serviceName=p&ip=10.0.0.1&port=1&ephemeral=false")
        api.store.expire(at: 1000 * Self.second)
        #expect(try list("serviceName=p").hosts.map(\.healthy) == [true])
        let mixed = call("POST", "/ns/instance?serviceName=p&ip=10.0.0.2&port=1")
        #expect(mixed.status == 400 && mixed.text.contains("is persistent service, can't register ephemeral instance."))
        #expect(call("PUT", "/ns/instance/beat?serviceName=p&ip=10.0.0.1&port=1").text.contains("20404"))
        #expect(call("DELETE", "/ns/instance?serviceName=p&ip=10.0.0.1&port=1").text == "ok")
        #expect(try list("serviceName=p").hosts.count == 1)
        _ = call("DELETE", "/ns/instance?serviceName=p&ip=10.0.0.1&port=1&ephemeral=false")
        #expect(try list("serviceName=p").hosts.isEmpty)
    }

    @Test mutating func registrationReplacesAndOperatorWins() throws {
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1&metadata=a%3D1")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1&clusterName=HZ&metadata=a%3D2%2Cb%3D2")
        #expect(try list("serviceName=s").hosts.map(\.clusterName) == ["HZ"])
        let change = call("PUT", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1&weight=0&metadata=a%3D9")
        #expect(change.text == "ok")
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1&weight=5&metadata=a%3D3%2Cb%3D3")
        let host = try #require(try list("serviceName=s").hosts.first)
        #expect(host.weight == 0 && host.metadata == ["a": "9", "b": "3"])
        #expect(call("PUT", "/ns/instance?serviceName=none&ip=10.0.0.1&port=1").status == 400)
    }

    @Test mutating func singleInstance() {
        _ = call("POST", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1")
        let found = call("GET", "/ns/instance?serviceName=s&ip=10.0.0.1&port=1")
        #expect(found.status == 200 && found.text.hasPrefix(#"{"service":"DEFAULT_GROUP@@s","ip":"10.0.0.1","port":1"#))
        let absent = call("GET", "/ns/instance?serviceName=s&ip=10.0.0.1&port=2")
        #expect(absent.status == 404 && absent.text == "no matched ip found!")
    }

    @Test mutating func pagesOfServices() {
        for name in ["c", "a", "b"] { _ = call("POST", "/ns/instance?serviceName=\(name)&ip=10.0.0.1&port=1") }
        #expect(call("GET", "/ns/service/list?pageNo=1&pageSize=2").text == #"{"count":3,"doms":["a","b"]}"#)
        #expect(call("GET", "/ns/service/list?pageNo=2&pageSize=2").text == #"{"count":3,"doms":["c"]}"#)
        #expect(call("GET", "/ns/service/list?pageNo=3&pageSize=2").text == #"{"count":3,"doms":[]}"#)
        #expect(call("GET", "/ns/service/list?pageNo=0&pageSize=2").text == #"{"count":3,"doms":["a","b"]}"#)
        #expect(call("GET", "/ns/service/list?pageNo=9223372036854775807&pageSize=9").text == #"{"count":3,"doms":[]}"#)
        #expect(call("GET", "/ns/service/list?pageNo=-5&pageSize=-1").text == #"{"count":3,"doms":[]}"#)
        #expect(call("GET", "/ns/service/list?pageSize=2").text == "Param 'pageNo' is required.")
    }

    @Test(arguments: [
        ("serviceName=&ip=1.1.1.1&port=1", 400, "Param 'serviceName' is required."),
        ("ip=1.1.1.1&port=1", 400, "Param 'serviceName' is required."),
        ("serviceName=a%20b&ip=1.1.1.1&port=1", 400, "illegal characters should not appear in the param."),
        ("serviceName=%E4%B8%AD&ip=1.1.1.1&port=1", 400, "illegal characters should not appear in the param."),
        ("serviceName=a&port=1", 400, "Param 'ip' is required."),
        (
            "serviceName=a&ip=1.1.1.1&port=65536", 400,
            "Param 'port' is illegal, the value should be between 0 and 65535."
        ),
        ("serviceName=a&ip=1.1.1.1&port=1&weight=x", 400, "For input string: \"x\""),
        ("serviceName=a&ip=1.1.1.1&port=1&weight=nan", 400, "The weights range from 0.0 to 10000.0"),
        ("serviceName=a&ip=1.1.1.1&port=1&weight=10001", 400, "The weights range from 0.0 to 10000.0"),
        ("serviceName=a&ip=1.1.1.1&port=1&metadata=%7Bbroken", 500, "metadata format incorrect"),
        ("serviceName=a&ip=1.1.1.1&port=1&metadata=%7B%22a%22%3A%7B%7D%7D", 500, "metadata format incorrect"),
    ])
    mutating func refusals(query: String, status: Int, text: String) throws {
        let answer = call("POST", "/ns/instance?" + query)
        #expect(answer.status == status)
        #expect(answer.text.contains(text))
        #expect(try list("serviceName=a").hosts.isEmpty)
    }

    @Test mutating func metadataHasALimit() throws {
        let most = "k=" + String(repeating: "v", count: 1023)
        #expect(
            call("POST", "/ns/instance?serviceName=a&ip=1.1.1.1&port=1&metadata=\(Parameters.encode(most))").text
                == "ok")
        let more = call(
            "POST", "/ns/instance?serviceName=b&ip=1.1.1.1&port=1&metadata=\(Parameters.encode(most + "v"))")
        #expect(more.status == 400)
    }

    @Test mutating func theServerItself() {
        #expect(call("GET", "/console/health/readiness").text == "OK")
        #expect(call("POST", "/auth/login", form: "username=u&password=p").text.contains(#""tokenTtl":18000"#))
        #expect(call("PATCH", "/ns/instance").status == 501)
        #expect(api.answer(Request(method: "GET", target: "/nacos/v3/client/ns/instance/list"), at: 0).status == 404)
        #expect(api.answer(Request(method: "GET", target: "/"), at: 0).status == 404)
    }
}
