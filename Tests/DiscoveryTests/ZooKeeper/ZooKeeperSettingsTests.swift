import Configuration
import Testing

@testable import Discovery

@Suite struct ZooKeeperSettingsTests {
    static func settings(_ text: String) throws -> ZooKeeperSettings { try ZooKeeperSettings(RegistryURL(text)) }

    @Test func readsURLs() throws {
        let plain = try Self.settings("zookeeper://a,b:2182")
        #expect(plain.servers.map(\.description) == ["a:2181", "b:2182"])
        #expect(
            plain.root == "/dubbo" && plain.services == "/services" && plain.chroot == "" && plain.credentials == "")
        let full = try Self.settings(
            "zookeeper://u:p%40w@a/app/?group=x/y&services=/&session=5s&backup=c:1,a:2181")
        #expect(full.servers.map(\.description) == ["a:2181", "c:1"] && full.credentials == "u:p@w")
        #expect(full.root == "/x/y" && full.services == "" && full.chroot == "/app")
        #expect(full.sessionTimeout == .seconds(5))
    }

    @Test(arguments: [
        "group=a//b", "services=..", "session=5", "session=1ms", "backup=u:p@h", "backup=h:x", "backup=h/x",
    ])
    func refusesWrongParameters(query: String) {
        #expect(throws: InvalidValue.self) { try Self.settings("zookeeper://a?\(query)") }
    }

    @Test(arguments: [
        ("bolt://h:1?version=1.0&uniqueId=", nil), ("bolt://h:1?version=1.0&uniqueId=&version=v7", "v7"),
        ("bolt://h:1?version=v7&uniqueId=&version=1.0", "v7"), ("bolt://h:1?version=1.0&version=1.0&uniqueId=", "1.0"),
    ])
    func tellsSofasVersionsApart(url: String, version: String?) throws {
        let instance = try SofaProvider.read(PercentEncoding.encode(url)).get().instance
        // A user's version is a label: consumers call by an interface version that the URL does not tell.
        #expect(instance.metadata["version"] == version && instance.interfaceVersion == "")
    }

    @Test(arguments: [("2.0", "2.0"), ("1.0", "")])
    func readsAnInterfaceVersionWhereThereIsOne(written: String, version: String) throws {
        let url = "bolt://h:1?version=1.0&uniqueId=blue&interfaceVersion=\(written)&version=v7"
        let instance = try SofaProvider.read(PercentEncoding.encode(url)).get().instance
        #expect(instance.interfaceVersion == version && instance.group == "blue")
        #expect(instance.metadata == ["version": "v7"])
    }
}
