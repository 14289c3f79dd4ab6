import Testing

@testable import Discovery

@Suite struct DubboApplicationTests {
    static let endpoints = #"[{"port":20765,"protocol":"dubbo"},{"port":15765,"protocol":"tri"}]"#

    static func application(_ metadata: [String: String]) -> DubboApplication? {
        DubboApplication(name: "shop", host: "10.0.0.1", port: 20765, metadata: metadata)
    }

    /// The application's node in a capture of a real server.
    static func stored(_ file: String) throws -> DubboMetadata {
        let line = try #require(
            try Fixture.resource(file).split(separator: "\n").first { $0.contains(#"{"app":"shop","revision""#) })
        return try #require(DubboMetadata(Array(line[line.firstIndex(of: "{")!...].utf8)))
    }

    @Test func joinsAnInstanceWithTheMetadataOfItsRevision() throws {
        let metadata = try Self.stored("zookeeper-dubbo33-remote.txt")
        #expect(metadata.application == "shop" && Array(metadata.interfaces) == ["demo.EchoService"])
        let application = try #require(
            Self.application([
                "dubbo.endpoints": Self.endpoints, "dubbo.metadata.revision": "d45c",
                "dubbo.metadata.storage-type": "remote", "meta-v": "1.0.0", "timestamp": "1795260651776", "zone": "a",
            ]))
        #expect(application.revision == "d45c" && application.isMetadataStored)
        let providers = application.providers(of: "demo.EchoService", metadata)
        #expect(providers.unused.isEmpty && providers.hosts.count == 1)
        let host = try #require(providers.hosts.first)
        // The metadata's port 20764 is another instance's.
        #expect(host.host == "10.0.0.1" && host.port == 20765)
        #expect(host.instance.interfaceVersion == "1.0.0" && host.instance.group == "g" && host.instance.weight == 1.5)
        let labels = host.instance.metadata
        #expect(labels["dubbo.tag"] == "gray" && labels["env"] == "blue" && labels["zone"] == "a")
        #expect(labels["application"] == "shop" && labels["timestamp"] == "1795260651776")
        #expect(labels["dubbo.endpoints"] == nil && labels["meta-v"] == nil)
        #expect(application.providers(of: "demo.Other", metadata) == .init())
    }

    @Test func usesEndpointsWhereTheMetadataIsUnknown() throws {
        let application = try #require(
            Self.application(["dubbo.endpoints": Self.endpoints, "dubbo.metadata.storage-type": "local"]))
        #expect(application.revision == nil && !application.isMetadataStored)
        let providers = application.providers(of: "demo.EchoService", nil)
        #expect(providers.hosts.map(\.port) == [20765] && providers.unused == [.unsupportedProtocol: 1])
        #expect(providers.hosts.first?.instance.interfaceVersion == "")
    }

    @Test func readsInstancesOfAllKinds() throws {
        #expect(Self.application(["version": "v1"]) == nil)
        #expect(Self.application(["dubbo.metadata.revision": "0"])?.revision == nil)
        let single = try #require(Self.application(["dubbo.metadata.revision": "ab"]))
        #expect(single.endpoints == [.init(scheme: "dubbo", port: 20765)])
        for endpoints in ["", "{}", "[", #"[{"port":0,"protocol":"dubbo"}]"#, #"[{"port":99999,"protocol":"dubbo"}]"#] {
            let broken = try #require(Self.application(["dubbo.endpoints": endpoints]))
            #expect(broken.providers(of: "a", nil) == .init(hosts: [], unused: [.unreadable: 1]))
        }
    }

    @Test(arguments: [
        (#"{"port":"20880","protocol":"dubbo","version":"1.0.0"}"#, "1.0.0", DubboMetadataPlace.Way.dubbo),
        (#"{"port":20880}"#, nil, .dubbo), (#"{"port":"20880","protocol":"tri","version":"2.0.0"}"#, "2.0.0", .triple),
        (#"{"port":"20880","protocol":"tri","version":"1.0.0"}"#, "2.0.0", .triple),
        (#"{"port":"20880","protocol":"tri","version":"2.0.0"}"#, nil, .triple),
        (#"{"port":"20880","protocol":"tri","version":"1.0.0"}"#, "1.0.0", .tripleHessian),
        (#"{"port":"20880","protocol":"tri"}"#, nil, .tripleHessian),
        (#"{"port":"20880","protocol":"tri","version":"2.0.0"}"#, "1.0.0", nil),
        (#"{"port":"20880","protocol":"tri","version":"3.0.0"}"#, "3.0.0", nil),
        (#"{"port":"20880","protocol":"dubbo","version":"2.0.0"}"#, "2.0.0", nil),
        (#"{"port":"20880","protocol":"rest","version":"1.0.0"}"#, "1.0.0", nil), (#"{"protocol":"tri"}"#, nil, nil),
    ])
    func tellsWhereItCanBeAsked(parameters: String, version: String?, way: DubboMetadataPlace.Way?) {
        var metadata = ["dubbo.metadata-service.url-params": parameters]
        metadata["meta-v"] = version
        let place = DubboMetadataPlace(host: "::1", metadata: metadata)
        #expect(place == way.map { .init(way: $0, host: .init(host: "::1", port: 20_880)) })
    }

    @Test func readsMetadataOfManyServices() throws {
        let text = """
            {"revision":"1","services":{"a.Echo:dubbo":{"name":"a.Echo","protocol":"dubbo","port":1,"params":{"x":null}},
            "a.Echo:2.0.0:dubbo":{"version":"2.0.0","protocol":"dubbo","params":{"enabled":"false"}},
            "g/h/a.Echo:0.0.0:tri":{"group":"g/h","version":"0.0.0","protocol":"tri","port":70000},
            "a.Broken:dubbo":{"port":1},"a.Wrong:dubbo":[]},"app":"s"}
            """
        let metadata = try #require(DubboMetadata(Array(text.utf8)))
        let services = metadata.services(of: "a.Echo")
        #expect(services.map(\.version) == ["", "2.0.0", ""] && services.map(\.group) == ["", "", "g/h"])
        #expect(services.map(\.port) == [1, 0, 0] && services.map(\.parameters) == [[:], ["enabled": "false"], [:]])
        #expect(metadata.services(of: "a.Broken").isEmpty && metadata.services(of: "a.Wrong").isEmpty)
        let application = try #require(Self.application(["dubbo.endpoints": Self.endpoints]))
        let providers = application.providers(of: "a.Echo", metadata)
        #expect(providers.hosts.map(\.port) == [20765])
        #expect(providers.unused == [.disabled: 1, .unsupportedProtocol: 1])
    }

    /// A path belongs to an interface; its application, and so the release of its Dubbo, does not say so.
    @Test func aPathOfItsOwnIsKept() throws {
        let text = """
            {"services":{"a.Own:dubbo":{"protocol":"dubbo","path":"/ctx/own","params":{}},
            "a.Usual:dubbo":{"protocol":"dubbo","path":"a.Usual"},"a.Silent:dubbo":{"protocol":"dubbo"}}}
            """
        let metadata = try #require(DubboMetadata(Array(text.utf8)))
        let application = try #require(
            Self.application(["dubbo.endpoints": Self.endpoints, "path": "/actuator", "zone": "a"]))
        func labels(_ interface: String, _ metadata: DubboMetadata?) throws -> [String: String] {
            try #require(application.providers(of: interface, metadata).hosts.first).instance.metadata.dictionary
        }
        let usual = ["application": "shop", "zone": "a"]
        #expect(
            try labels("a.Own", metadata) == usual.merging(["path": "ctx/own", "release": "3"]) { $1 })
        #expect(try labels("a.Usual", metadata) == usual)
        #expect(try labels("a.Silent", metadata) == usual)
        #expect(try labels("a.Any", nil) == usual)
    }

    @Test(arguments: ["", "{}", "[]", #"{"services":[]}"#, #"{"services":{"a"}}"#, #"{"services":{"a":1}"#])
    func refusesWhatIsNoMetadata(text: String) { #expect(DubboMetadata(Array(text.utf8)) == nil) }
}
