import Testing

@testable import Discovery

@Suite struct DubboOverrideTests {
    static func host(_ text: String) throws -> ListedHost { try #require(DubboURL(text)).candidate.get() }

    static func override(_ text: String) -> DubboOverride? {
        if case .override(let override) = DubboOverride.read(text, interface: "a.Echo") { override } else { nil }
    }

    @Test func readsURLs() throws {
        let one = try #require(Self.override("override%3A%2F%2F10.0.0.1%3A20880%2Fa.Echo%3Fversion%3D1.0%26weight%3D5"))
        #expect(one.host == "10.0.0.1" && one.port == 20880 && one.version == "1.0" && one.group == "")
        #expect(one.parameters == ["weight": "5"] && !one.isDefault)
        let all = try #require(Self.override("absent://0.0.0.0/*?version=*&group=*&priority=3&weight=5&application=*"))
        #expect(all.host == nil && all.version == nil && all.group == nil && all.priority == 3 && all.isDefault)
        #expect(DubboOverride.read("override://0.0.0.0/a.Echo?category=configurators", interface: "a.Echo") == .clear)
        for text in [
            "override://0.0.0.0/a.Echo?weight=1&enabled=false", "override://0.0.0.0/b.Echo?weight=1",
            "override://1.1.1.1/a.Echo", "override://0.0.0.0/a.Echo?weight=1&~env=x",
        ] {
            #expect(DubboOverride.read(text, interface: "a.Echo") == .ignored)
        }
        for text in ["", "%zz", "dubbo://0.0.0.0/a.Echo?weight=1", "override"] {
            #expect(DubboOverride.read(text, interface: "a.Echo") == nil)
        }
    }

    @Test(arguments: [
        ("override://0.0.0.0/a.Echo?version=1.0&weight=5", 0.05), ("override://0.0.0.0/a.Echo?weight=5", 1),
        ("override://0.0.0.0/a.Echo?version=1.0&group=g&weight=5", 1),
        ("override://10.0.0.1/a.Echo?version=*&weight=5", 0.05),
        ("override://10.0.0.1:1/a.Echo?version=1.0&weight=5", 1),
        ("override://10.0.0.2/a.Echo?version=1.0&weight=5", 1),
        ("override://0.0.0.0/a.Echo?version=1.0&application=shop&weight=5", 0.05),
        ("override://0.0.0.0/a.Echo?version=1.0&application=other&weight=5", 1),
        ("override://0.0.0.0/a.Echo?version=1.0&weight=x", 1), ("override://0.0.0.0/a.Echo?version=1.0&weight=-5", 0),
        ("absent://0.0.0.0/a.Echo?version=1.0&weight=5", 0.05),
    ])
    func appliesToWhatItIsAbout(text: String, weight: Double) throws {
        let host = try Self.host("dubbo://10.0.0.1:20880/a.Echo?version=1.0&application=shop")
        let override = try #require(Self.override(text))
        #expect(try DubboOverride.apply([override], to: host).get().instance.weight == weight)
    }

    @Test func switchesHostsOffAndOn() throws {
        let host = try Self.host("dubbo://10.0.0.1:20880/a.Echo?enabled=false")
        #expect(DubboOverride.apply([], to: host) == .failure(.disabled))
        var override = DubboOverride(parameters: ["enabled": "true"])
        #expect(try DubboOverride.apply([override], to: host).get().port == 20880)
        override.parameters["disabled"] = "true"
        #expect(DubboOverride.apply([override], to: host) == .failure(.disabled))
    }

    @Test func ordersByHowMuchTheyAreAbout() {
        let all = DubboOverride(priority: 9, parameters: ["weight": "1"])
        let one = DubboOverride(host: "10.0.0.1", parameters: ["weight": "2"])
        let more = DubboOverride(host: "10.0.0.1", priority: 1, parameters: ["weight": "3"])
        #expect(DubboOverride.ordered([more, one, all]) == [all, one, more])
    }

    @Test func readsRules() throws {
        let text = """
            configVersion: v3.0
            enabled: true
            configs:
            - {side: provider, addresses: ["10.0.0.1:20880", 10.0.0.2], applications: [shop], parameters: {weight: 10}}
            - {side: consumer, providerAddresses: ["10.0.0.3:1"], parameters: {disabled: true, timeout: 5}}
            - {side: consumer, addresses: [192.0.2.1], parameters: {weight: 1}}
            - {side: consumer, applications: [caller], parameters: {weight: 1}}
            - {side: provider, enabled: false, parameters: {weight: 1}}
            - {side: provider, match: {address: {wildcard: "10.*"}}, parameters: {weight: 1}}
            - {side: provider}
            - 7
            """
        let reading = try #require(DubboOverrideRule.read(Array(text.utf8), key: "a.Echo:1.0:g.configurators"))
        #expect(reading.unused == 3)
        #expect(reading.overrides.map(\.host) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        #expect(reading.overrides.map(\.port) == [20880, 0, 1])
        #expect(reading.overrides.map(\.application) == ["shop", "shop", nil])
        #expect(reading.overrides.allSatisfy { $0.version == "1.0" && $0.group == "g" })
        #expect(reading.overrides.last?.parameters == ["disabled": "true", "timeout": "5"])
        let key = "a.Echo::.configurators"
        #expect(DubboOverrideRule.read(Array("enabled: false\nconfigs: [7]".utf8), key: key) == .init())
        #expect(DubboOverrideRule.read([0x20, 0x0a], key: key) == .init())
        for text in ["configs: [", "- 1", "just text"] {
            #expect(DubboOverrideRule.read(Array(text.utf8), key: key) == nil)
        }
        for key in ["shop.configurators", "a.Echo", "::.configurators", "a:b.configurators"] {
            #expect(DubboOverrideRule.service(of: key) == nil)
        }
    }
}
