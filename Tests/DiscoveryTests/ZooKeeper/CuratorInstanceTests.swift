import Model
import Testing

@testable import Discovery

@Suite struct CuratorInstanceTests {
    private func instance(_ ports: String, metadata: String = "{}") -> CuratorInstance? {
        CuratorInstance(
            Array(
                #"{"name":"shop","id":"a","address":"10.0.0.1",\#(ports),"payload":{"metadata":\#(metadata)}}"#.utf8))
    }

    @Test func aNumberAmongTheLabelsIsItsText() throws {
        let labels = #"{"version":"2.0","number":1,"ready":true,"share":0.5,"note":null,"list":[1],"map":{"a":1}}"#
        let found = try #require(instance(#""port":80"#, metadata: labels))
        #expect(found.metadata == ["version": "2.0", "number": "1", "ready": "true", "share": "0.5"])
        #expect(try found.httpHost.get().instance.metadata["version"] == "2.0")
    }

    @Test(arguments: [
        (#""port":80,"sslPort":null"#, "{}", nil), (#""port":80,"sslPort":443"#, "{}", nil),
        (#""port":null,"sslPort":443"#, "{}", DropReason.unsupportedProtocol),
        (#""port":0,"sslPort":443"#, "{}", .unsupportedProtocol), (#""sslPort":443"#, "{}", .unsupportedProtocol),
        (#""port":443"#, #"{"secure":"true"}"#, .unsupportedProtocol), (#""port":80"#, #"{"secure":"false"}"#, nil),
    ])
    func whatSpeaksTLSOnlyIsLeftOut(ports: String, metadata: String, reason: DropReason?) throws {
        let found = try #require(instance(ports, metadata: metadata))
        if let reason {
            #expect(found.httpHost == .failure(reason))
        } else {
            #expect(throws: Never.self) { try found.httpHost.get() }
        }
    }
}

@Suite struct NacosHostTests {
    private func host(_ metadata: String) -> NacosHost? {
        let text = Array(#"{"ip":"10.0.0.1","port":443,"metadata":\#(metadata)}"#.utf8)
        return NacosHost(text, in: 0..<text.count)
    }

    @Test(arguments: [(#"{"secure":"true"}"#, true), (#"{"secure":true}"#, true), (#"{"secure":"false"}"#, false)])
    func whatSpeaksTLSOnlyIsLeftOut(metadata: String, isSecure: Bool) throws {
        let found = try #require(host(metadata)).httpHost
        #expect((found == .failure(.unsupportedProtocol)) == isSecure)
    }

    @Test func whatAnOldProviderSaysForAllItsServicesCounts() throws {
        let metadata = #"{"protocol":"dubbo","interface":"a.Echo","path":"own","default.weight":"40"}"#
        let name = NacosDubboName("providers:a.Echo:1.0:", separator: ":")
        let found = try #require(host(metadata)).dubboHost(name).get()
        #expect(found.instance.weight == 0.4 && found.instance.metadata["path"] == "own")
    }
}
