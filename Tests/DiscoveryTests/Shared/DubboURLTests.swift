import Testing

@testable import Discovery

@Suite struct DubboURLTests {
    @Test func readsARealName() throws {
        let name =
            "dubbo%3A%2F%2F127.0.0.1%3A20761%2Fdemo.EchoService%3Fanyhost%3Dtrue%26application%3Dshop%26dubbo.tag%3Dgray"
            + "%26group%3Dg%26interface%3Ddemo.EchoService%26methods%3Dfail%2Csay%26version%3D1.0.0%26weight%3D150%26x%3Da+b"
        let url = try #require(DubboURL(encoded: name))
        #expect(url.scheme == "dubbo" && url.host == "127.0.0.1" && url.port == 20761 && url.path == "demo.EchoService")
        #expect(url.interface == "demo.EchoService" && url.version == "1.0.0" && url.group == "g")
        #expect(url.parameters["methods"] == "fail,say" && url.parameters["x"] == "a b")
        let host = try url.provider.get()
        #expect(host.host == "127.0.0.1" && host.port == 20761 && host.instance.weight == 1.5)
        #expect(host.instance.interfaceVersion == "1.0.0" && host.instance.group == "g")
        #expect(host.instance.metadata["dubbo.tag"] == "gray")
    }

    @Test func readsAllKindsOfAuthority() throws {
        let url = try #require(DubboURL("dubbo://[::1]:20880/ctx/a.Echo?interface=a.Echo&version=0.0.0&v=%41%25"))
        #expect(url.host == "::1" && url.port == 20880 && url.path == "ctx/a.Echo" && url.interface == "a.Echo")
        #expect(url.version.isEmpty && url.group.isEmpty && url.parameters["v"] == "A%")
        #expect(DubboURL("dubbo://u:p@h:1")?.host == "h")
        #expect(DubboURL("bolt://127.0.0.1:1?uniqueId=")?.parameters == ["uniqueId": ""])
        #expect(DubboURL("override://0.0.0.0/a.Echo?weight=5")?.port == 0)
        #expect(DubboURL("dubbo://h:1/a?k&x=1&x=2")?.parameters == ["k": "", "x": "2"])
        #expect(DubboURL("dubbo://h:1/a?v=%zz")?.parameters["v"] == "%zz")
    }

    @Test func whatAnOldProviderSaysForAllItsServicesCountsWhereTheServiceSaysNothing() throws {
        let old = "dubbo://h:1/a.Echo?default.group=g&default.version=2.0&default.weight=40&default.tag=&weight="
        let host = try #require(DubboURL(old)).provider.get()
        #expect(host.instance.group == "g" && host.instance.interfaceVersion == "2.0" && host.instance.weight == 0.4)
        let own = try #require(DubboURL("dubbo://h:1/a.Echo?default.group=g&group=own")).provider.get()
        #expect(own.instance.group == "own" && own.instance.metadata.dictionary == ["group": "own"])
    }

    @Test(arguments: [
        ("dubbo://[2001:db8::1%25eth0]:1/a", "2001:db8::1"),
        ("dubbo://2001:db8:0:0:0:0:0:1%eth0:1/a", "2001:db8:0:0:0:0:0:1"),
        ("dubbo://[::1]:1/a", "::1"),
    ])
    func aZoneIsLeftOut(text: String, host: String) throws {
        #expect(try #require(DubboURL(text)).provider.get().host == host)
    }

    @Test func aPathOfItsOwnIsKept() throws {
        let own = try #require(DubboURL("dubbo://h:1/orders/v1?interface=a.Orders")).provider.get()
        #expect(own.instance.metadata["path"] == "orders/v1")
        // A context path stands in it already.
        let context = try #require(DubboURL("dubbo://h:1/ctx/a.Orders?interface=a.Orders&contextpath=ctx")).provider
            .get()
        #expect(context.instance.metadata["path"] == "ctx/a.Orders")
        let usual = try #require(DubboURL("dubbo://h:1/a.Orders?interface=a.Orders&path=a.Orders")).provider.get()
        #expect(usual.instance.metadata["path"] == nil)
    }

    @Test(arguments: ["", "x", "://h:1", "dubbo://h:99999/a", "dubbo://h:x/a", "dubbo://a b:1/x", "%zz", "dubbo%3A%2F"])
    func refusesWhatIsNoURL(name: String) { #expect(DubboURL(encoded: name) == nil) }

    @Test(arguments: [
        ("tri://h:1/a.Echo", DropReason.unsupportedProtocol), ("dubbo://h/a.Echo", .unreadable),
        ("dubbo://h:1", .unreadable), ("dubbo://:1/a.Echo", .unreadable), ("dubbo://h:1/a?enabled=false", .disabled),
        ("dubbo://h:1/a?disabled=true", .disabled), ("dubbo://h:1/a?category=consumers", .unsupportedProtocol),
    ])
    func saysWhyAProviderIsNotUsed(text: String, reason: DropReason) throws {
        #expect(try #require(DubboURL(text)).provider == .failure(reason))
    }
}
