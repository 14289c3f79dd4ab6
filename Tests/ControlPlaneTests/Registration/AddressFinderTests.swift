import Configuration
import Discovery
import Runtime
import TestSupport
import Testing

@testable import ControlPlane

@Suite("The address by which others reach this machine")
struct AddressFinderTests {
    private final class World {
        let loop: EventLoop
        let resolver: NameResolver
        let finder: AddressFinder

        init() throws {
            loop = try EventLoop()
            resolver = NameResolver(loop: loop) { name in
                name == "here" ? .addresses([SocketAddress("127.0.0.1:0")!]) : .failed("unknown name")
            }
            finder = AddressFinder(resolver: resolver)
        }

        deinit { resolver.stop() }

        func find(_ address: PublishedAddress, _ urls: String...) throws -> AddressFinder.Answer {
            let servers = try urls.flatMap { try RegistryURL($0).servers }
            var answer = AddressFinder.Answer.pending
            _ = loop.run(for: .seconds(10)) {
                answer = finder.find(address, towards: servers)
                if case .pending = answer { return false }
                return true
            }
            return answer
        }
    }

    @Test("What is written is taken as it is; a name must mean something")
    func explicit() throws {
        let world = try World()
        #expect(try world.find(.named("192.0.2.1")) == .found("192.0.2.1"))
        #expect(try world.find(.named("2001:db8::1")) == .found("2001:db8::1"))
        #expect(try world.find(.named("lo")) == .found("127.0.0.1"))
        #expect(try world.find(.named("here")) == .found("here"))
        #expect(
            try world.find(.named("eth99"))
                == .failed("eth99 is no network interface of this machine, and its name has no address: unknown name"))
    }

    @Test("It is the one from which the registry is reached; loopback only for a registry on loopback")
    func detected() throws {
        let world = try World()
        #expect(try world.find(.detected, "nacos://127.0.0.1:8848") == .found("127.0.0.1"))
        #expect(try world.find(.detected, "nacos://here:8848") == .found("127.0.0.1"))
        #expect(try world.find(.detected, "nacos://nowhere,here") == .found("127.0.0.1"))
        let lost = AddressFinder.Answer.failed("no address: the name nowhere has none (unknown name)")
        #expect(try world.find(.detected, "nacos://nowhere") == lost)
        switch try world.find(.detected, "nacos://192.0.2.1") {
        case .found(let host):
            let address = try #require(SocketAddress(ip: host, port: 0))
            #expect(!address.isLoopback && !address.isUnspecified)
        case .failed(let reason): #expect(reason.contains("set \"address\""))
        case .pending: Issue.record("still pending")
        }
        #expect(try world.find(.detected) == .failed("there is no registry to find an address by; set \"address\""))
    }

    @Test("Of an interface the first IPv4 address counts, then IPv6 that is more than link-local")
    func usable() {
        func addresses(_ texts: String...) -> [SocketAddress] { texts.map { SocketAddress(ip: $0, port: 0)! } }
        #expect(AddressFinder.usable(addresses("fe80::1", "2001:db8::1", "10.0.0.1", "10.0.0.2"))?.ip == "10.0.0.1")
        #expect(AddressFinder.usable(addresses("fe80::1", "febf::1", "2001:db8::1"))?.ip == "2001:db8::1")
        #expect(AddressFinder.usable(addresses("fe80::1")) == nil)
        #expect(AddressFinder.usable([]) == nil)
    }
}
