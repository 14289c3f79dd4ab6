import Runtime
import Testing

@testable import Discovery

@Suite struct NacosAnswerTests {
    private func hosts(_ body: String) throws -> [NacosHost] {
        var list = NacosAnswer.HostList()
        _ = try NacosAnswer.read(Array(body.utf8), into: &list)
        return list.hosts.sorted { ($0.ip, $0.port) < ($1.ip, $1.port) }
    }

    @Test(arguments: ["nacos2-list.json", "nacos3-list.json"])
    func readsARecordedList(file: String) throws {
        let hosts = try hosts(Fixture.resource(file))
        #expect(hosts.map(\.ip) == ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5"])
        #expect(hosts.map(\.port) == [8080, 8080, 8080, 8080])
        #expect(hosts.map(\.weight) == [1, 2.5, 1, 0])
        #expect(hosts.map(\.isUsable) == [true, true, false, true])
        #expect(hosts.map { $0.metadata["version"] } == ["v1", "v2", "v2", nil])
        let told = hosts.compactMap { try? $0.httpHost.get() }
        #expect(told.map(\.host) == ["10.0.0.1", "10.0.0.2", "10.0.0.5"])
        #expect(told[0].instance.metadata == ["version": "v1"])
    }

    @Test(arguments: [
        ("nacos2-list-healthy-only.json", 3), ("nacos3-list-healthy-only.json", 3), ("nacos2-list-cluster.json", 1),
        ("nacos3-list-cluster.json", 1), ("nacos2-list-persistent.json", 1), ("nacos3-list-persistent.json", 1),
        ("nacos2-list-unknown-service.json", 0), ("nacos3-list-unknown-service.json", 0),
        ("nacos2-list-protected.json", 2), ("nacos3-list-protected.json", 2), ("nacos3-v3-list-protected.json", 2),
        ("nacos3-v3-list.json", 3), ("nacos3-v3-list-unknown-service.json", 0),
    ])
    func countsHostsOfRecordedLists(file: String, count: Int) throws {
        #expect(try hosts(Fixture.resource(file)).count == count)
    }

    @Test(arguments: ["nacos2", "nacos3"])
    func readsRecordedDubboHosts(version: String) throws {
        let name = try #require(NacosDubboName("providers:demo.EchoService:1.0.0:", separator: ":"))
        for (file, tag, port) in [("dubbo27", nil, 20981), ("dubbo33", "gray", 20983)] {
            let entry = try #require(try hosts(Fixture.resource("\(version)-list-\(file).json")).first)
            let host = try entry.dubboHost(name).get()
            #expect(host.host == "127.0.0.1" && Int(host.port) == port)
            #expect(
                host.instance.interfaceVersion == "1.0.0" && host.instance.group.isEmpty && host.instance.weight == 1)
            #expect(host.instance.metadata["dubbo.tag"] == tag)
            #expect(host.instance.metadata["application"] == "echo-\(file)")
        }
        // The application-level entry is neither an HTTP host nor a provider of an interface.
        let application = try #require(try hosts(Fixture.resource("\(version)-list-dubbo33-application.json")).first)
        #expect(application.httpHost == .failure(.unsupportedProtocol))
        #expect(application.dubboHost(name) == .failure(.unsupportedProtocol))
    }

    @Test func orderAndTimeStampsAreNoChange() throws {
        let (one, two) = (FakeNacos.Host(ip: "10.0.0.1").json, FakeNacos.Host(ip: "10.0.0.2").json)
        func body(_ hosts: String, _ time: Int) -> [UInt8] {
            Array(#"{"cacheMillis":\#(time),"hosts":[\#(hosts)], "lastRefTime": \#(time * 7),"checksum":""}"#.utf8)
        }
        var list = NacosAnswer.HostList()
        #expect(try NacosAnswer.read(body("\(one),\(two)", 1), into: &list))
        #expect(try !NacosAnswer.read(body("\(two), \n \(one)", 2), into: &list))
        #expect(try NacosAnswer.read(body(one, 3), into: &list))
        // The same entry twice is another list than once, and than not at all.
        #expect(try NacosAnswer.read(body("\(one),\(one)", 4), into: &list))
        #expect(try NacosAnswer.read(body("", 5), into: &list))
        #expect(try !NacosAnswer.read(body("", 6), into: &list))
        #expect(list.hosts.isEmpty)
    }

    @Test func theFirstEmptyListIsNews() throws {
        var list = NacosAnswer.HostList()
        #expect(try NacosAnswer.read(Array(#"{"hosts":[]}"#.utf8), into: &list))
    }

    @Test func skipsHostsThatCannotBeRead() throws {
        let bad = [
            #"{"ip":"","port":1}"#, #"{"ip":"10.0.0.1","port":0}"#, #"{"ip":"10.0.0.1","port":70000}"#,
            #"{"ip":"10.0.0.1","port":-1}"#, #"{"port":1}"#, #"{"ip":"10.0.0.1"}"#, #"{"ip":5,"port":1}"#,
            #"{"ip":"10.0.0.1 ","port":1}"#, "null", "[]", "5", #""x""#, "{}", #"{"ip":"10.0.0.1","port":1,}x"#,
        ]
        var list = NacosAnswer.HostList()
        let good = FakeNacos.Host(ip: "10.0.0.9").json
        let last = bad.last ?? ""
        for entry in bad.dropLast() {
            _ = try NacosAnswer.read(Array(#"{"hosts":[\#(entry),\#(good)]}"#.utf8), into: &list)
            #expect(list.hosts.map(\.ip) == ["10.0.0.9"], "\(entry)")
            #expect(list.unreadable == 1, "\(entry)")
        }
        #expect(throws: NacosAnswer.Unreadable.self) {
            try NacosAnswer.read(Array(#"{"hosts":[\#(last),\#(good)]}"#.utf8), into: &list)
        }
    }

    @Test func takesMissingAndMistypedKeysForTheirDefaults() throws {
        let body = #"""
            {"hosts":[{"ip":"10.0.0.1","port":"8080","weight":"heavy","healthy":"yes","enabled":null,
            "metadata":{"a":null,"b":1,"c":true,"d":1.5,"e":{"x":1},"f":"text","g":[1]},"new":{"deep":[[{}]]}},
            {"ip":"10.0.0.2","port":1,"metadata":null},{"ip":"10.0.0.3","port":1,"metadata":[],"weight":-5},
            {"ip":"10.0.0.4","port":1,"weight":1e300}]}
            """#
        let hosts = try hosts(body)
        #expect(hosts.map(\.ip) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"])
        #expect(hosts[0].metadata == ["b": "1", "c": "true", "d": "1.5", "f": "text"])
        #expect(hosts[0].port == 8080 && hosts[0].weight == 1 && hosts[0].isUsable)
        #expect(hosts[2].weight == 0 && hosts[3].weight == 10_000)
    }

    @Test(arguments: [
        "", " ", "OK", "<html></html>", "null", "[]", "{", #"{"hosts":[}"#, #"{"hosts":[{]}"#, #"{"hosts":[{}"#,
        #"{"hosts":["x]}"#, #"{"hosts":{}}"#, #"{"hosts":[]} x"#, #"{"name":"x"}"#, #"{"code":10001,"data":[]}"#,
        #"{"code":0,"data":{}}"#, #"{"code":0}"#, #"{"hosts":[],}"#, #"{"hosts"[]}"#, #"{"hosts":[\#u{0}]}"#,
        "{\"hosts\":\"\\", "{\"hosts\":[\"\\\"]}",
    ])
    func refusesWhatIsNoList(body: String) { expectNoList(body) }

    @Test func refusesWhatIsNestedTooDeep() {
        expectNoList(
            #"{"hosts":"# + String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000) + "}")
    }

    private func expectNoList(_ body: String) {
        var list = NacosAnswer.HostList()
        #expect(throws: NacosAnswer.Unreadable.self) { try NacosAnswer.read(Array(body.utf8), into: &list) }
    }

    @Test func everyPrefixOfAListIsRefused() throws {
        let body = Array(try Fixture.resource("nacos2-list.json").utf8)
        var list = NacosAnswer.HostList()
        for length in 0..<body.count {
            #expect(throws: NacosAnswer.Unreadable.self) { try NacosAnswer.read(Array(body[..<length]), into: &list) }
        }
    }

    @Test func readsServiceLists() throws {
        let recorded = try NacosAnswer.serviceNames(Array(Fixture.resource("nacos2-service-list-dubbo.json").utf8))
        #expect(recorded.contains("providers:demo.EchoService:1.0.0:") && recorded.count == 5)
        #expect(throws: NacosAnswer.Unreadable.self) { try NacosAnswer.serviceNames(Array("{}".utf8)) }
        let body = Array(try Fixture.resource("nacos3-v3-admin-service-list.json").utf8)
        let page = try NacosAnswer.adminServicePage(body, group: "DEFAULT_GROUP")
        #expect(page.names == ["persistent", "order", "protected"] && page.pages == 1)
        #expect(try NacosAnswer.adminServicePage(body, group: "OTHER").names.isEmpty)
        for bad in ["{}", #"{"code":10001,"message":"access denied"}"#, "x"] {
            #expect(throws: NacosAnswer.Unreadable.self) {
                try NacosAnswer.adminServicePage(Array(bad.utf8), group: "DEFAULT_GROUP")
            }
        }
    }

    @Test(arguments: ["nacos2-login.json", "nacos3-login.json"])
    func readsLogins(file: String) throws {
        let login = try #require(NacosAnswer.token(Array(Fixture.resource(file).utf8)))
        #expect(login.token.hasPrefix("eyJ") && login.lifetime == .seconds(18_000))
        for bad in ["", "{}", #"{"accessToken":""}"#, #"{"accessToken":"a\nb"}"#, "user not found!"] {
            #expect(NacosAnswer.token(Array(bad.utf8)) == nil)
        }
    }

    @Test(arguments: [
        ("providers:a.B:1.0.0:g", ":", "a.B", "1.0.0", "g"), ("providers:a.B:1.0.0:", ":", "a.B", "1.0.0", ""),
        ("providers:a.B::", ":", "a.B", "", ""), ("providers:a.B", ":", "a.B", "", ""),
        ("providers:a.B:1.0.0", ":", "a.B", "1.0.0", ""), ("providers:a.B::g", ":", "a.B", "", "g"),
        ("providers:a.B:0.0.0:g", ":", "a.B", "", "g"), ("providers##a.B##2##", "##", "a.B", "2", ""),
    ])
    func readsDubboNames(text: String, separator: String, interface: String, version: String, group: String) throws {
        let name = try #require(NacosDubboName(text, separator: separator))
        #expect(name.interface == interface && name.version == version && name.group == group)
    }

    @Test(arguments: ["order", "providers", "providers:", "providers::1:", "consumers:a.B:1:", "providers:a:b:c:d", ""])
    func refusesOtherNames(text: String) { #expect(NacosDubboName(text, separator: ":") == nil) }

    @Test func onlyDubboProvidersAreProviders() throws {
        let name = try #require(NacosDubboName("providers:a.B:1:g", separator: ":"))
        func host(_ metadata: [String: String], weight: Double = 1) -> ListedHost? {
            let entry = NacosHost(ip: "10.0.0.1", port: 1, weight: weight, isUsable: true, metadata: metadata)
            return try? entry.dubboHost(name).get()
        }
        #expect(host(["protocol": "dubbo"])?.instance.weight == 1)
        #expect(host(["protocol": "dubbo", "weight": "50"])?.instance.weight == 0.5)
        #expect(host(["protocol": "dubbo", "weight": "0"])?.instance.weight == 0)
        #expect(host(["protocol": "dubbo", "weight": "x"])?.instance.weight == 1)
        #expect(host(["protocol": "dubbo", "weight": "nan"])?.instance.weight == 1)
        #expect(host(["protocol": "dubbo", "weight": "50"], weight: 0)?.instance.weight == 0)
        #expect(host(["protocol": "dubbo"], weight: 5)?.instance.weight == 1)
        func path(_ metadata: [String: String]) -> String? { host(metadata)?.instance.metadata["path"] }
        let own = ["protocol": "dubbo", "path": "ctx/orders", "interface": "a.B", "release": "3.3.6"]
        #expect(path(own) == "ctx/orders" && host(own)?.instance.metadata["release"] == "3.3.6")
        #expect(path(["protocol": "dubbo", "path": "a.B", "interface": "a.B"]) == nil)
        #expect(path(["protocol": "dubbo", "path": "/orders"]) == "orders")
        #expect(path(["protocol": "dubbo", "path": "a.B"]) == nil)
        for metadata in [
            [:], ["protocol": "tri"], ["protocol": "rest"], ["protocol": "dubbo", "category": "consumers"],
            ["protocol": "dubbo", "enabled": "false"], ["protocol": "dubbo", "disabled": "true"],
        ] {
            #expect(host(metadata) == nil)
        }
    }

    @Test func aSpringApplicationWithDubboIsAnHTTPHost() {
        func host(_ metadata: [String: String]) -> ListedHost? {
            try? NacosHost(ip: "10.0.0.1", port: 1, weight: 1, isUsable: true, metadata: metadata).httpHost.get()
        }
        #expect(host(["dubbo.endpoints": "[]"]) == nil)
        let both = host(["dubbo.endpoints": "[]", "preserved.register.source": "SPRING_CLOUD", "version": "1"])
        #expect(both?.instance.metadata == ["dubbo.endpoints": "[]", "version": "1"])
    }
}
