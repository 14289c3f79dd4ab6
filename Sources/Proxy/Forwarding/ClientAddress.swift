import Model
import Runtime

/// Whom a request comes from: the peer of its connection, or what trusted proxies say in `X-Forwarded-For`.
///
/// Each proxy writes behind what it got where it got that from. So the list is read from its end, and only as long as proxies are
/// trusted: whatever a client has put in front of it is never looked at.
struct ClientAddress {
    /// The last address that is not a trusted proxy's; where all are, the first one. What is no address ends the search: then the proxy that
    /// wrote it is the client.
    private(set) var address: SocketAddress
    /// What stands further in front does not count.
    private(set) var isFound = false

    /// - Parameter proxy: the peer, which is a trusted proxy.
    init(behind proxy: SocketAddress) { address = proxy }

    /// Reads a field's value. Of several fields the last comes first.
    mutating func read(_ value: ByteString, trusting proxies: AddressRanges) {
        var end = value.count
        while !isFound {
            var start = end
            while start > 0 && value.base[start - 1] != Self.comma { start -= 1 }
            take(Self.trimmed(ByteString(base: value.base + start, count: end - start)), proxies)
            if start == 0 { return }
            end = start - 1
        }
    }

    private mutating func take(_ entry: ByteString, _ proxies: AddressRanges) {
        // Lists may have empty places (RFC 9110, section 5.6.1).
        if entry.count == 0 { return }
        guard let next = Self.address(entry) else {
            isFound = true
            return
        }
        address = next
        isFound = !proxies.contains(next)
    }

    /// `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]` or `[fd00::1]:80`.
    static func address(_ entry: ByteString) -> SocketAddress? {
        var host = entry
        let colon = lastColon(entry)
        if entry.base[0] == bracket {
            let isClosed = { (end: Int) in end > 1 && entry.base[end - 1] == closingBracket }
            let end = isClosed(entry.count) ? entry.count : colon
            guard isClosed(end), end == entry.count || isPort(entry, behind: colon) else { return nil }
            host = ByteString(base: entry.base + 1, count: end - 2)
            guard let address = SocketAddress(ip: host), address.isIPv6 else { return nil }
            return address.unmapped
        }
        if colon > 0 && lastColon(entry.prefix(colon)) < 0 {
            guard isPort(entry, behind: colon) else { return nil }
            host = entry.prefix(colon)
        }
        return SocketAddress(ip: host)?.unmapped
    }

    private static func isPort(_ text: ByteString, behind colon: Int) -> Bool {
        let count = text.count - colon - 1
        return 1...5 ~= count && (colon + 1..<text.count).allSatisfy { 0x30...0x39 ~= text.base[$0] }
    }

    /// Where the last colon is; -1 where there is none.
    private static func lastColon(_ text: ByteString) -> Int {
        var place = text.count - 1
        while place >= 0 && text.base[place] != 0x3a { place -= 1 }
        return place
    }

    private static func trimmed(_ text: ByteString) -> ByteString {
        var (start, end) = (0, text.count)
        while start < end && isBlank(text.base[start]) { start += 1 }
        while end > start && isBlank(text.base[end - 1]) { end -= 1 }
        return ByteString(base: text.base + start, count: end - start)
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static let comma = UInt8(ascii: ",")
    private static let bracket = UInt8(ascii: "[")
    private static let closingBracket = UInt8(ascii: "]")
}

/// Whose requests are taken, as plain values for one worker.
struct AccessRules {
    private let allow: AddressRanges
    private let deny: AddressRanges

    init(_ policy: AccessPolicy) {
        allow = AddressRanges(policy.allow)
        deny = AddressRanges(policy.deny)
    }

    func free() {
        allow.free()
        deny.free()
    }

    func takes(_ client: SocketAddress) -> Bool {
        !deny.contains(client) && (allow.count == 0 || allow.contains(client))
    }
}
