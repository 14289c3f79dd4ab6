import Configuration
import Model
import Testing

@Suite struct MirrorSettingsTests {
    private func policy(_ text: String) throws -> ServicePolicy {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        return try #require(configuration.services["shop"]).policy
    }

    private func mirror(_ version: String, _ share: Int = FaultPolicy.all) -> MirrorPolicy {
        var policy = MirrorPolicy()
        (policy.version, policy.share) = (version, share)
        return policy
    }

    @Test func nothingIsCopiedByDefault() throws {
        let policy = try policy("  shop:\n")
        #expect(policy.traffic.mirror.isOff && policy.mirroredVersions.isEmpty)
    }

    @Test func whatAVersionSaysTakesThePlaceOfWhatItsServiceSays() throws {
        let policy = try policy(
            """
              "*": {mirror: {version: 9, share: 3}}
              shop:
                mirror: {version: "2.0", share: 12.5}
                versions:
                  "1": {mirror: {version: 3.0}}
                  "2.0": {timeout: 1s}
                  "4": {mirror: off}
              other:
            """)
        #expect(policy.traffic.mirror == mirror("2.0", 12_500))
        #expect(
            policy.versions["1"]?.mirror == mirror("3.0") && policy.versions["2.0"]?.mirror == mirror("2.0", 12_500))
        #expect(policy.versions["4"]?.mirror == MirrorPolicy())
        #expect(policy.mirroredVersions.sorted() == ["2.0", "2.0", "3.0"])
    }

    @Test func theDefaultsAreInherited() throws {
        #expect(try policy("  \"*\": {mirror: {version: 9, share: 3}}\n  shop:\n").traffic.mirror == mirror("9", 3000))
        #expect(
            try policy("  \"*\": {mirror: {version: 9, share: 3}}\n  shop: {mirror: {version: 8}}\n").traffic.mirror
                == mirror("8"))
    }

    private static let place = "f:2: services.shop-a.mirror"

    @Test(arguments: [
        ("on", "\(place): must be a mapping of names to values"),
        ("{share: 5}", "\(place): has no \"version\" that requests are copied to; \"off\" is for no copies"),
        ("{verson: 2.0}", "f:2: unknown key \"verson\" in services.shop-a.mirror; did you mean \"version\"?"),
        ("{version: \"2 0\"}", "\(place).version: \"2 0\" is not a version; 1 to 128 characters without blanks"),
        ("{version: 2.0, share: 0}", "\(place).share: 0 is out of range; 0.001 to 100"),
        ("{version: 2.0, share: 10%}", "\(place).share: \"10%\" is in percent anyway; did you mean 10?"),
        ("{version: 2.0, share: \"10\"}", "\(place).share: \"10\" must stand without quotes"),
    ])
    func mistakesAreNamedWithTheirPlace(text: String, message: String) {
        #expect(errors("services:\n  shop-a: {mirror: \(text)}", file: "f") == [message])
    }

    @Test func aVersionCannotBeCopiedToItself() {
        let text = "services:\n  shop:\n    versions:\n      \"2.0\":\n        mirror: {version: 2.0}\n"
        #expect(
            errors(text, file: "f") == [
                "f:5: services.shop.versions.2.0.mirror.version: is the version itself; requests are copied to another one"
            ])
    }
}
