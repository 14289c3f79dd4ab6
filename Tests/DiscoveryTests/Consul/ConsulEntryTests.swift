import Configuration
import Runtime
import Testing

@testable import Discovery

/// What is made of entries of a health list.
@Suite struct ConsulEntryTests {
    typealias Entry = FakeConsul.Entry

    private func read(_ entry: Entry, _ adjust: (inout ConsulSettings) -> Void = { _ in }) -> ConsulEntry {
        read(entry.json, adjust)
    }

    private func read(_ text: String, _ adjust: (inout ConsulSettings) -> Void = { _ in }) -> ConsulEntry {
        var settings = ConsulSettings(agents: ["http://x"])
        adjust(&settings)
        let bytes = Array(text.utf8)
        return ConsulEntry(bytes, 0..<bytes.count, settings)
    }

    @Test func readsAWholeEntry() throws {
        let entry = read(
            Entry(
                tags: #"["primary","zone=a","version=v1"]"#, meta: #"{"version":"v2","note":"a \"b\" ü"}"#,
                weights: #"{"Passing":10,"Warning":3}"#, checks: [("serfHealth", "passing"), ("service:x", "passing")]))
        let host = try entry.http.get()
        #expect(host.host == "10.0.0.1" && host.port == 8080 && host.instance.weight == 10)
        #expect(host.instance.metadata == ["zone": "a", "version": "v2", "note": "a \"b\" ü"])
        #expect(entry.dubbo == .failure(.unsupportedProtocol))
    }

    @Test func theNodesAddressStandsInForTheServices() throws {
        #expect(try read(Entry(address: "")).http.get().host == "10.9.9.9")
        #expect(read(Entry(nodeAddress: "", address: "")).http == .failure(.unreadable))
        #expect(try read(Entry(address: "fd00::1")).http.get().host == "fd00::1")
        #expect(try read(Entry(address: "host.example")).http.get().host == "host.example")
    }

    @Test func tagsAndMetaMayBeNull() throws {
        let host = try read(Entry(tags: "null", meta: "null", weights: "null", checks: [])).http.get()
        #expect(host.instance.metadata.isEmpty && host.instance.weight == 1)
        let bare = #"{"Node":{"Address":"10.0.0.9"},"Service":{"Port":1}}"#
        #expect(try read(bare).http.get().host == "10.0.0.9")
    }

    @Test(
        arguments: [
            ([("a", "passing"), ("b", "warning")], nil, 3.0), ([("a", "passing"), ("b", "critical")], .unhealthy, 0),
            ([("a", "passing"), ("serfHealth", "critical")], .unhealthy, 0), ([("a", "what")], .unhealthy, 0),
            ([("_service_maintenance:x", "critical"), ("a", "critical")], .disabled, 0),
            ([("a", "critical"), ("_node_maintenance", "critical")], .disabled, 0), ([], nil, 10),
        ] as [([(String, String)], DropReason?, Double)])
    func theWorstCheckDecides(checks: [(String, String)], reason: DropReason?, weight: Double) {
        let entry = read(Entry(weights: #"{"Passing":10,"Warning":3}"#, checks: checks))
        switch entry.http {
        case .success(let host): #expect(reason == nil && host.instance.weight == weight)
        case .failure(let found): #expect(found == reason)
        }
    }

    @Test(arguments: ["nan", "\"nan\"", "-nan", "inf", "\"-inf\"", "1e999", "-9223372036854775808", "\"0x1p9999\""])
    func weightsAreNumbers(text: String) throws {
        let weight = try read(Entry(weights: "{\"Passing\":\(text),\"Warning\":1}")).http.get().instance.weight
        #expect((0...1_000_000).contains(weight))
    }

    @Test func warningsAreLeftOutOnDemand() throws {
        let warned = Entry(checks: [("a", "warning")])
        #expect(try read(warned).http.get().instance.weight == 1)
        #expect(read(warned) { $0.passingOnly = true }.http == .failure(.unhealthy))
        #expect(read(Entry()) { $0.passingOnly = true }.http != .failure(.unhealthy))
        #expect(
            try read(Entry(weights: #"{"Passing":1,"Warning":0}"#, checks: warned.checks)).http.get().instance.weight
                == 0)
    }

    @Test func plainTagsAreVersionsOnDemand() throws {
        let entry = Entry(tags: #"["web","v2","urlprefix-/x"]"#)
        #expect(try read(entry).http.get().instance.metadata.isEmpty)
        let found = try read(entry) { $0.versionTags = ["v1", "v2"] }.http.get().instance.metadata
        #expect(found == ["version": "v2"])
        let said = try read(Entry(tags: #"["v2","version=v3"]"#)) { $0.versionTags = ["v2"] }.http.get().instance
            .metadata
        #expect(said == ["version": "v3"])
    }

    @Test(arguments: [
        "", "[]", "{}", "null", "{\"Service\":null}", "{\"Service\":{}}", #"{"Service":{"Address":"10.0.0.1"}}"#,
        #"{"Service":{"Address":"10.0.0.1","Port":0}}"#, #"{"Service":{"Address":"10.0.0.1","Port":65536}}"#,
        #"{"Service":{"Address":"10.0.0.1","Port":-1}}"#, #"{"Service":{"Address":"10.0. 0.1","Port":1}}"#,
        #"{"Service":{"Address":7,"Port":1}}"#, #"{"Service":{"Address":"\ud800","Port":1}}"#,
    ])
    func whatHasNoAddressIsUnreadable(text: String) { #expect(read(text).http == .failure(.unreadable)) }

    @Test func proxiesAndTLSAreNotUsed() {
        let proxy = Entry(more: #","Kind":"connect-proxy","Proxy":{"DestinationServiceName":"order"}"#)
        #expect(read(proxy).http == .failure(.unsupportedProtocol))
        #expect(read(Entry(meta: #"{"secure":"true"}"#)).http == .failure(.unsupportedProtocol))
        #expect(read(Entry(tags: #"["secure=true"]"#)).http == .failure(.unsupportedProtocol))
    }

    @Test func kratosWritesURLs() throws {
        let both =
            #"{"grpc":{"Address":"grpc://10.0.0.5:9000?isSecure=false","Port":9000},"http":{"Address":"http://10.0.0.5:8000?isSecure=false","Port":8000}}"#
        let host = try read(
            Entry(address: "10.0.0.5", port: "9000", tags: #"["version=v2"]"#, more: #","TaggedAddresses":\#(both)"#)
        ).http.get()
        #expect(host.host == "10.0.0.5" && host.port == 8000 && host.instance.metadata["version"] == "v2")
        let rpc = #","TaggedAddresses":{"grpc":{"Address":"grpc://10.0.0.5:9000","Port":9000}}"#
        #expect(read(Entry(more: rpc)).http == .failure(.unsupportedProtocol))
        // Others write plain addresses there, in small letters.
        let lan = #","TaggedAddresses":{"lan":{"address":"10.0.0.8","port":1}}"#
        #expect(try read(Entry(more: lan)).http.get().host == "10.0.0.1")
    }

    @Test func dubboProvidersAreReadFromTheirURL() throws {
        let url = "dubbo://10.0.0.2:20880/com.acme.Echo?interface=com.acme.Echo&version=1.0.0&group=g&weight=200"
        let entry = read(Entry(address: "10.0.0.3", port: "1", tags: #"["dubbo"]"#, meta: #"{"url":"\#(url)"}"#))
        let host = try entry.dubbo.get()
        #expect(host.host == "10.0.0.2" && host.port == 20880 && host.instance.weight == 2)
        #expect(host.instance.interfaceVersion == "1.0.0" && host.instance.group == "g")
        #expect(entry.http == .failure(.unsupportedProtocol))
        let triple = read(Entry(meta: #"{"url":"tri://10.0.0.2:50051/com.acme.Echo"}"#))
        #expect(triple.dubbo == .failure(.unsupportedProtocol) && triple.http == .failure(.unsupportedProtocol))
        let off = read(Entry(meta: #"{"url":"\#(url)&enabled=false"}"#))
        #expect(off.dubbo == .failure(.disabled))
        #expect(read(Entry(meta: #"{"url":"dubbo://10.0.0.2/x"}"#)).dubbo == .failure(.unreadable))
    }

    @Test func dubboProvidersAreReadFromTheirTags() throws {
        let tags =
            #"["dubbo","interface=com.acme.Echo","version=2.0.0","group=blue","dubbo.tag=gray","weight=50","side=provider"]"#
        let host = try read(Entry(port: "20880", tags: tags)).dubbo.get()
        #expect(host.host == "10.0.0.1" && host.port == 20880 && host.instance.weight == 0.5)
        #expect(host.instance.interfaceVersion == "2.0.0" && host.instance.group == "blue")
        #expect(host.instance.metadata["dubbo.tag"] == "gray")
        #expect(host.instance.metadata["path"] == nil)
        for (path, own) in [("com.acme.Echo", nil), ("/ctx/echo", "ctx/echo")] {
            let named = tags.replacing("side=provider", with: "path=\(path)")
            #expect(try read(Entry(port: "1", tags: named)).dubbo.get().instance.metadata["path"] == own)
        }
        let tri = tags.replacing("side=provider", with: "protocol=tri")
        #expect(read(Entry(port: "50051", tags: tri)).dubbo == .failure(.unsupportedProtocol))
    }

    @Test func oneIdOnTwoNodesIsTwoHosts() throws {
        let fixture = try Fixture()
        let consul = try FakeConsul(loop: fixture.loop)
        consul.set(
            "order",
            [
                Entry(node: "n1", nodeAddress: "10.1.0.1", address: ""),
                Entry(node: "n2", nodeAddress: "10.1.0.2", address: ""),
                // The container of the first one before it was made anew.
                Entry(node: "n0", nodeAddress: "10.1.0.1", address: "", checks: [("serfHealth", "critical")]),
            ])
        let registry = try fixture.consul(consul)
        registry.subscribe(.http("order"))
        #expect(fixture.wait { fixture.addresses(.http("order")) == ["10.1.0.1:8080", "10.1.0.2:8080"] })
        #expect(registry.status.dropped == [.unhealthy: 1] && registry.status.instances == 2)
        registry.stop()
    }

    @Test func theAddressOfARegistryIsRead() throws {
        let url = try RegistryURL("consul://:s%2Fcret@a,b:8501/base?dc=dc2&passing=true&tag=x,y&version-tags=v1,v2")
        let settings = try ConsulSettings(url, poll: .seconds(2))
        #expect(settings.agents == ["http://a:8500/base", "http://b:8501/base"])
        #expect(settings.token == "s/cret" && settings.datacentre == "dc2" && settings.passingOnly)
        #expect(settings.tags == ["x", "y"] && settings.versionTags == ["v1", "v2"] && settings.round == .seconds(10))
        #expect(!url.description.contains("cret"))
        #expect(throws: InvalidValue.self) {
            try ConsulSettings(RegistryURL("consul://a?passing=yes"), poll: .seconds(2))
        }
    }
}
