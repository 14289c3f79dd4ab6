import Glibc
import Runtime
import Testing

@Suite struct SocketAddressTests {
    @Test(arguments: [
        "127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:8080", "[::]:1", "[fe80::1:2]:65535",
        "[2001:db8::1]:443", "[::ffff:10.0.0.1]:9",
    ])
    func readsAndWritesTheSame(text: String) throws {
        #expect(try #require(SocketAddress(text)).description == text)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1",
        "127.0.0.1:0x10", "127.0.0.1:٣", "127.0.0.256:1", "127.1:1", "localhost:1", "::1:80", "[::1]", "[::1]:",
        "[127.0.0.1]:80", "[::1:80", "::1]:80", "[]:80", "[:80", "[::g]:1", "[fe80::1%lo]:1", "127.0.0.1\0:80",
        "127.0.0.1\0x:80", "[::1\0]:80", " 127.0.0.1:80", "127.0.0.1:80 ", "127.0.0.1:80:80",
        "127.0.0.1:99999999999999999999",
    ])
    func refuses(text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test func readsBareAddresses() {
        #expect(SocketAddress(ip: "10.0.0.1", port: 7)?.description == "10.0.0.1:7")
        #expect(SocketAddress(ip: "fe80::1", port: 7)?.description == "[fe80::1]:7")
        #expect(SocketAddress(ip: "10.0.0.1\0", port: 7) == nil)
        #expect(SocketAddress(ip: "", port: 7) == nil)
        #expect(SocketAddress(ip: "[::1]", port: 7) == nil)
    }

    @Test func hasThePartsThatTheKernelWants() throws {
        let four = try #require(SocketAddress("10.1.2.3:258"))
        #expect(four == SocketAddress(ipv4: 0x0a01_0203, port: 258))
        #expect(four.family == AF_INET)
        #expect(four.ip == "10.1.2.3")
        #expect(four.with(port: 9).description == "10.1.2.3:9")
        four.withPointer { pointer, length in
            #expect(length == socklen_t(MemoryLayout<sockaddr_in>.size))
            pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                #expect($0.pointee.sin_port == UInt16(258).bigEndian)
                #expect($0.pointee.sin_addr.s_addr == UInt32(0x0a01_0203).bigEndian)
            }
        }
        let six = try #require(SocketAddress("[2001:db8::5]:258"))
        #expect(six.family == AF_INET6)
        #expect(six.high == 0x2001_0db8_0000_0000)
        #expect(six.low == 5)
        #expect(six.with(port: 9).description == "[2001:db8::5]:9")
    }

    @Test func aMappedAddressIsNotTheIPv4Address() {
        #expect(SocketAddress("[::ffff:10.0.0.1]:9") != SocketAddress("10.0.0.1:9"))
    }

    @Test func refusesOtherFamilies() {
        var storage = sockaddr_storage()
        storage.ss_family = sa_family_t(AF_UNIX)
        #expect(SocketAddress(storage) == nil)
    }
}

@Suite("Whether an address leads to a listener")
struct OwnAddressTests {
    @Test(
        arguments: [
            ("127.0.0.1:80", "127.0.0.1:80", true), ("127.0.0.1:81", "127.0.0.1:80", false),
            ("127.0.0.2:80", "127.0.0.1:80", false), ("127.0.0.2:80", "0.0.0.0:80", true),
            ("10.0.0.5:80", "0.0.0.0:80", true), ("10.0.0.6:80", "0.0.0.0:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true), ("0.0.0.0:80", "10.0.0.5:80", false),
            ("[::ffff:10.0.0.5]:80", "10.0.0.5:80", true), ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false), ("127.0.0.1:80", "[::]:80", false), ("[::]:80", "[::1]:80", true),
        ] as [(String, String, Bool)])
    func leads(address: String, listener: String, expected: Bool) throws {
        let interfaces: Set<SocketAddress> = [SocketAddress("10.0.0.5:0")!]
        let (address, listener) = (try #require(SocketAddress(address)), try #require(SocketAddress(listener)))
        #expect(address.leads(to: listener) { interfaces } == expected)
    }

    @Test func interfacesOfThisMachine() {
        #expect(NetworkInterface.all.contains(SocketAddress("127.0.0.1:0")!))
        let own = OwnAddresses([SocketAddress("0.0.0.0:80")!])
        #expect(own.contains(SocketAddress("127.0.0.9:80")!) && !own.contains(SocketAddress("127.0.0.9:81")!))
        own.add(SocketAddress("127.0.0.1:81")!)
        #expect(own.contains(SocketAddress("127.0.0.1:81")!))
    }
}

@Suite struct SocketTests {
    @Test(arguments: ["127.0.0.1:0", "[::1]:0"]) func connectsAndAccepts(text: String) throws {
        let loop = try EventLoop()
        let wanted = try #require(SocketAddress(text))
        let listener = try Socket.listen(on: wanted, shared: false)
        defer { Socket.close(listener) }
        let address = try #require(Socket.localAddress(listener))
        #expect(address.port != 0)
        #expect(address.ip == wanted.ip)
        #expect(Socket.accept(listener) == nil)
        #expect(errno == EAGAIN)
        let client = try Socket.connect(to: address)
        defer { Socket.close(client) }
        var isConnected = false
        var peer: SocketAddress?
        loop.watch(client, .writable) { _ in
            isConnected = true
            loop.unwatch(client)
        }
        loop.watch(listener, .readable) { _ in
            guard let (descriptor, address) = Socket.accept(listener) else { return }
            peer = address
            Socket.close(descriptor)
        }
        #expect(loop.run(for: .seconds(10)) { isConnected && peer != nil })
        #expect(Socket.connectError(client) == 0)
        #expect(peer == Socket.localAddress(client))
    }

    @Test func tellsThatNobodyListens() throws {
        let loop = try EventLoop()
        // Bound and not listening: refused, and nobody else can take the port meanwhile.
        let bound = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(bound) }
        #expect(SocketAddress("127.0.0.1:0")!.withPointer { bind(bound, $0, $1) } == 0)
        let client = try Socket.connect(to: try #require(Socket.localAddress(bound)))
        defer { Socket.close(client) }
        var seen: Readiness = []
        loop.watch(client, .writable) { readiness in
            seen = readiness
            loop.unwatch(client)
        }
        #expect(loop.run(for: .seconds(10)) { !seen.isEmpty })
        #expect(seen.contains(.error))
        #expect(Socket.connectError(client) == ECONNREFUSED)
    }

    @Test func anErrorNamesTheAddress() throws {
        let first = try Socket.listen(on: SocketAddress("127.0.0.1:0")!, shared: false)
        defer { Socket.close(first) }
        let address = try #require(Socket.localAddress(first))
        let expected = SystemError("listen on \(address)", code: EADDRINUSE)
        #expect(throws: expected) { try Socket.listen(on: address, shared: false) }
        #expect(expected.description == "listen on \(address): Address already in use")
    }

    @Test func sharedListenersOpenOneAddressTwice() throws {
        let first = try Socket.listen(on: SocketAddress("127.0.0.1:0")!, shared: true)
        defer { Socket.close(first) }
        let second = try Socket.listen(on: try #require(Socket.localAddress(first)), shared: true)
        Socket.close(second)
    }
}
