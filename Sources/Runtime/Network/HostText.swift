import Glibc

/// Hosts as registries list them: each has its own way to write an IPv6 address, and takes whatever it is given.
public enum HostText {
    /// The same without brackets and without a zone, which means something to its own machine only: `[2001:db8::1%eth0]` is
    /// `2001:db8::1`.
    public static func bare(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: ":")) else { return text }
        var host = text[...]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if let zone = host.firstIndex(of: "%") { host = host[..<zone] }
        return String(host)
    }

    /// Whether a text is a number without being an address: `010.0.0.1`, `0x7f.1`, `2130706433`. The C library takes it for an
    /// address all the same, and often not for the one that its writer means.
    public static func isNumber(_ text: String) -> Bool {
        var address = in_addr()
        return inet_aton(text, &address) != 0 && SocketAddress(ip: text, port: 0) == nil
    }
}
