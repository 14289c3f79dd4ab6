import Runtime
import Testing

@Suite struct AddressRangeTests {
    private func range(_ text: String) throws -> AddressRange { try #require(AddressRange(text)) }

    private func address(_ ip: String) throws -> SocketAddress { try #require(SocketAddress(ip: ip, port: 1)) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "9.255.255.255", false),
        ("10.1.2.3", "10.1.2.3", true), ("10.1.2.3", "10.1.2.2", false), ("10.1.2.3/32", "10.1.2.3", true),
        ("10.1.2.128/25", "10.1.2.127", false), ("10.1.2.128/25", "10.1.2.200", true), ("0.0.0.0/0", "255.1.2.3", true),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("::ffff:10.0.0.0/104", "10.1.1.1", true),
        ("::ffff:10.1.1.1", "10.1.1.1", true), ("0.0.0.0/0", "::1", false), ("::/0", "::1", true),
        ("::/0", "10.0.0.1", false), ("::/0", "::ffff:10.0.0.1", false), ("::/64", "0.0.0.1", false),
        ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false), ("2001:db8::/63", "2001:db8:0:1::7", true),
        ("2001:db8::/63", "2001:db8:0:2::7", false), ("2001:db8::/64", "2001:db8:0:1::", false),
        ("2001:db8::/65", "2001:db8::7fff:1:1:1", true), ("2001:db8::/65", "2001:db8::8000:1:1:1", false),
        ("2001:db8::1", "2001:db8::1", true), ("2001:db8::1", "2001:db8::2", false), ("::/1", "8000::", false),
    ])
    func addressesThatBeginWithTheSameBitsAreInIt(text: String, ip: String, isIn: Bool) throws {
        #expect(try range(text).contains(address(ip)) == isIn)
        let ranges = AddressRanges([try range("192.0.2.1"), try range(text)])
        defer { ranges.free() }
        #expect(try ranges.contains(address(ip)) == isIn)
    }

    @Test(arguments: [
        "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0/8", "10.0.0.0/ 8",
        "::/129",
        "::1/999", "localhost", "[::1]", "10.0.0.1:80", "fe80::1%1", "::ffff:10.0.0.0/95", "10.0.0.0/8 ", "1.2.3.4\0",
    ])
    func nothingElseIsRead(text: String) { #expect(AddressRange(text) == nil) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3/8", "10.0.0.0/8"), ("10.1.2.3/32", "10.1.2.3"),
        ("FD00::/8", "fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::/0", "::/0"), ("2001:db8::1/128", "2001:db8::1"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ])
    func itIsWrittenInOneWay(text: String, written: String) throws { #expect(try range(text).description == written) }

    @Test func oneIsInAnotherWhenAllItsAddressesAre() throws {
        #expect(
            try range("10.0.0.0/8").contains(range("10.1.0.0/16")) && range("10.0.0.0/8").contains(range("10.0.0.0/8")))
        #expect(try !range("10.1.0.0/16").contains(range("10.0.0.0/8")) && !range("::/0").contains(range("10.0.0.0/8")))
    }

    @Test(arguments: ["10.0.0.1", "::1", "::ffff:10.0.0.1", "2001:db8:1111:2222:3333:4444:5555:6666"])
    func bytesAreReadAsTextsAre(ip: String) throws {
        let text = ByteString(copying: ip)
        defer { text.free() }
        #expect(SocketAddress(ip: text) == SocketAddress(ip: ip, port: 0))
    }

    @Test(arguments: [
        "", "1", "10.0.0", "10.0.0.1 ", "10.0.0.1\0", "::g", "1.2.3.4:5", String(repeating: "1", count: 46),
    ])
    func bytesThatAreNoAddressAreNot(ip: String) {
        let text = ByteString(copying: ip)
        defer { text.free() }
        #expect(SocketAddress(ip: text) == nil)
    }
}
