import Discovery
import Proxy
import Testing

@Suite("Dubbo calls on their way")
struct DubboForwardingTests {
    @Test("A call is answered by the host, with the consumer's own id")
    func oneCall() throws {
        let mesh = try DubboMesh()
        let host = try DubboHost.echo("a")
        defer { mesh.stop(); host.stop() }
        try mesh.update([Instance(host)])
        let consumer = try mesh.connect()
        let answer = try #require(consumer.ask(DubboCall(argument: "one", id: -7)))
        #expect(answer.id == -7)
        #expect(answer.status == 20)
        #expect(answer.text == "a|one")
        #expect(host.calls.map(\.argument) == ["one"])
    }
}
