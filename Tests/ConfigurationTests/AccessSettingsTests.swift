import Configuration
import Model
import Runtime
import Testing

@Suite struct AccessSettingsTests {
    private func policy(_ text: String) throws -> ServicePolicy {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        return try #require(configuration.services["shop"]).policy
    }

    private func ranges(_ texts: String...) -> [AddressRange] { texts.compactMap { AddressRange($0) } }

    @Test func everybodyHasAccessByDefault() throws {
        #expect(try policy("  shop:\n").traffic.access.isOff)
        #expect(try Configuration.parse("workers: 1\n", file: "f").trustedProxies == [])
    }

    @Test func everyKeyIsReadAndInheritedKeyByKey() throws {
        let policy = try policy(
            """
              "*": {access: {allow: [10.0.0.0/8, "fd00::/8", 192.0.2.7]}}
              shop:
                access: {deny: [10.0.66.0/24]}
                versions:
                  "1": {access: {allow: off}}
                  "2": {access: off}
                  "3": {access: {allow: [127.0.0.1], deny: off}}
                  "4": {timeout: 1s}
            """)
        let own = policy.traffic.access
        #expect(own.allow == ranges("10.0.0.0/8", "fd00::/8", "192.0.2.7") && own.deny == ranges("10.0.66.0/24"))
        #expect(policy.versions["1"]?.access.allow == [] && policy.versions["1"]?.access.deny == own.deny)
        #expect(policy.versions["2"]?.access.isOff == true)
        #expect(policy.versions["3"]?.access.allow == ranges("127.0.0.1") && policy.versions["3"]?.access.deny == [])
        #expect(policy.versions["4"]?.access == own)
    }

    @Test func denyWinsAndWhoIsInNoAllowedRangeHasNone() throws {
        let access = try policy("  shop: {access: {allow: [10.0.0.0/8], deny: [10.0.66.0/24]}}\n").traffic.access
        func takes(_ ip: String) throws -> Bool { access.takes(try #require(SocketAddress(ip: ip, port: 0))) }
        #expect(try takes("10.1.1.1") && takes("::ffff:10.1.1.1"))
        #expect(try !takes("10.0.66.7") && !takes("11.0.0.1") && !takes("::1"))
    }

    @Test func trustedProxiesAreRead() throws {
        let text = "trusted_proxies: [10.0.0.0/8, \"::1\"]\n"
        #expect(try Configuration.parse(text, file: "f").trustedProxies == ranges("10.0.0.0/8", "::1"))
    }

    private static let place = "f:2: services.shop-a.access"
    private static let allow = "\(place).allow[0]"

    @Test(arguments: [
        ("on", "\(place): must be a mapping of names to values"), ("{}", "\(place): needs \"allow\", \"deny\" or both"),
        (
            "{alow: [10.0.0.0/8]}",
            "f:2: unknown key \"alow\" in services.shop-a.access; did you mean \"allow\"?"
        ),
        ("{allow: 10.0.0.0/8}", "\(place).allow: must be a list; did you mean [10.0.0.0/8]?"),
        ("{allow: []}", "\(place).allow: needs at least one address; \"off\" is for no list"),
        (
            "{allow: [10.0.0.1/8]}",
            "\(allow): \"10.0.0.1/8\" has bits behind the first 8; did you mean \"10.0.0.0/8\" or \"10.0.0.1\"?"
        ),
        (
            "{deny: [\"fd00::1/64\"]}",
            "\(place).deny[0]: \"fd00::1/64\" has bits behind the first 64; did you mean \"fd00::/64\" or \"fd00::1\"?"
        ),
        ("{allow: [10.0.0.0/33]}", "\(allow): \"10.0.0.0/33\": the length \"33\" must be a whole number, 0 to 32"),
        ("{allow: [\"::/x\"]}", "\(allow): \"::/x\": the length \"x\" must be a whole number, 0 to 128"),
        (
            "{allow: [\"::ffff:10.0.0.0/8\"]}",
            "\(allow): \"::ffff:10.0.0.0/8\": the length \"8\" must be a whole number, 96 to 128"
        ),
        (
            "{allow: [\"10.0.0.1:80\"]}",
            "\(allow): \"10.0.0.1:80\" must stand without a port; did you mean \"10.0.0.1\"?"
        ),
        ("{allow: [\"[::1]\"]}", "\(allow): \"[::1]\" must stand without brackets; did you mean \"::1\"?"),
        (
            "{allow: [localhost]}",
            "\(allow): \"localhost\" is neither an IP address nor a range of them; write it like 10.0.0.0/8, 10.1.2.3 or fd00::/8"
        ),
        ("{allow: [10.0.0.1, \"::ffff:10.0.0.1\"]}", "\(place).allow: \"10.0.0.1\" is given twice"),
        (
            "{allow: [10.0.66.0/24], deny: [10.0.0.0/8]}",
            "\(place): 10.0.66.0/24 is allowed and denied (10.0.0.0/8); \"deny\" wins"
        ),
    ])
    func mistakesAreNamedWithTheirPlace(text: String, message: String) {
        let error = #expect(throws: ConfigurationErrors.self) {
            try Configuration.parse("services:\n  shop-a: {access: \(text)}\n", file: "f")
        }
        #expect(error.map { "\($0)" } == message)
    }

    @Test func trustedProxiesAreCheckedAlike() {
        let error = #expect(throws: ConfigurationErrors.self) {
            try Configuration.parse("trusted_proxies: [10.1.0.0/8]\n", file: "f")
        }
        #expect(
            error.map { "\($0)" }
                == "f:1: trusted_proxies[0]: \"10.1.0.0/8\" has bits behind the first 8; did you mean \"10.0.0.0/8\" or \"10.1.0.0\"?"
        )
    }
}
