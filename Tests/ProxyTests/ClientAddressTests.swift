import Runtime
import Testing

@testable import Proxy

@Suite("Whom a request comes from")
struct ClientAddressTests {
    private static let trusted = ["10.0.0.0/8", "fd00::/8"]

    /// - Parameter values: of several fields, in the order of the head.
    private func client(_ values: String...) throws -> String {
        let ranges = AddressRanges(Self.trusted.compactMap { AddressRange($0) })
        defer { ranges.free() }
        var client = ClientAddress(behind: try #require(SocketAddress("10.0.0.1:5000")))
        for value in values.reversed() {
            let bytes = ByteString(copying: value)
            defer { bytes.free() }
            if !client.isFound { client.read(bytes, trusting: ranges) }
        }
        return client.address.ip
    }

    @Test(
        "The last address that is no trusted proxy's",
        arguments: [
            ("192.0.2.7", "192.0.2.7"), ("198.51.100.1, 192.0.2.7", "192.0.2.7"), ("192.0.2.7, 10.0.0.9", "192.0.2.7"),
            ("1.1.1.1,192.0.2.7,10.0.0.9,fd00::9", "192.0.2.7"), ("  192.0.2.7\t", "192.0.2.7"),
            ("192.0.2.7:1234", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"), ("[2001:db8::7]", "2001:db8::7"), ("[2001:db8::7]:443", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"), ("[::ffff:10.0.0.3]:80", "10.0.0.3"),
            ("192.0.2.7, ::ffff:10.0.0.3", "192.0.2.7"),
            // All are trusted: the first.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"), ("", "10.0.0.1"), (" , ,", "10.0.0.1"), ("192.0.2.7,,", "192.0.2.7"),
        ])
    func last(value: String, ip: String) throws { #expect(try client(value) == ip) }

    @Test(
        "What is no address ends the search: the proxy that wrote it is the client",
        arguments: [
            ("unknown", "10.0.0.1"), ("192.0.2.7, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.7, 10.0.0.2, _hidden", "10.0.0.1"),
            ("192.0.2.7, \"10.0.0.2\"", "10.0.0.1"), ("192.0.2.7, 10.0.0.2:", "10.0.0.1"),
            ("192.0.2.7, 10.0.0.2:x", "10.0.0.1"),
            ("192.0.2.7, [10.0.0.2]", "10.0.0.1"), ("192.0.2.7, [fd00::1", "10.0.0.1"),
            ("192.0.2.7, fd00::1]", "10.0.0.1"),
            ("192.0.2.7, []", "10.0.0.1"), ("192.0.2.7, [", "10.0.0.1"), ("192.0.2.7, [fd00::1]80", "10.0.0.1"),
            ("192.0.2.7, [fd00::1]:", "10.0.0.1"), ("192.0.2.7, :", "10.0.0.1"),
            ("192.0.2.7, 10.0.0.2:123456", "10.0.0.1"),
            ("192.0.2.7, 10.0.0.2 10.0.0.3", "10.0.0.1"), ("192.0.2.7; 10.0.0.2", "10.0.0.1"),
            ("192.0.2.7, ::1%lo", "10.0.0.1"),
        ])
    func junk(value: String, ip: String) throws { #expect(try client(value) == ip) }

    @Test("What a client wrote itself stands in front of what the proxies wrote, and does not count")
    func spoofed() throws {
        #expect(try client("10.9.9.9, 127.0.0.1, junk, 192.0.2.7, 10.0.0.2") == "192.0.2.7")
        #expect(try client("10.9.9.9", "192.0.2.7") == "192.0.2.7")
        #expect(try client("198.51.100.1", "10.0.0.2, 10.0.0.3", "10.0.0.4") == "198.51.100.1")
        let long = Array(repeating: "10.0.0.2", count: 1000)
        #expect(try client((["198.51.100.1"] + long).joined(separator: ", ")) == "198.51.100.1")
        #expect(try client((long + ["192.0.2.7"]).joined(separator: ",")) == "192.0.2.7")
        #expect(try client(String(repeating: ",", count: 60_000)) == "10.0.0.1")
        #expect(try client(String(repeating: "[", count: 60_000)) == "10.0.0.1")
    }
}
