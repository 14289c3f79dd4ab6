import Configuration
import Model
import Testing

/// `versions` of a service: what a version says, what it inherits, and what it must not say.
@Suite struct VersionSettingsTests {
    private func policy(_ text: String) throws -> ServicePolicy {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        return try #require(configuration.services["shop"]).policy
    }

    @Test func aVersionInheritsFromItsServiceAndThatFromAll() throws {
        let policy = try policy(
            """
              shop:
                versions:
                  "2.0": {timeout: 1s}
                  3.10: {retries: {on: [connect, reset]}}
                  "4": {retries: off, timeout: 2s}
                timeout: 3s
                retries: {attempts: 1, on: [503]}
              "*": {timeout: 9s, retries: {methods: [GET], budget: 7, attempts: 4}}
            """)
        #expect(policy.versions.count == 3)
        let second = try #require(policy.versions["2.0"])
        #expect(second.timeout == .seconds(1) && second.retries == policy.traffic.retries)
        #expect(second.retries.attempts == 1 && second.retries.statuses == [503] && second.retries.budget == 7)
        let third = try #require(policy.versions["3.10"])
        #expect(third.timeout == .seconds(3) && third.retries.attempts == 1 && third.retries.methods == ["GET"])
        #expect(third.retries.causes == ["connect", "reset"])
        #expect(policy.versions["4"]?.retries.attempts == 0 && policy.versions["4"]?.timeout == .seconds(2))
    }

    @Test func aServiceWithoutVersionsHasNone() throws {
        #expect(try policy("  shop: {versions: }\n").versions.isEmpty)
        #expect(try policy("  shop: {versions: {}}\n").versions.isEmpty)
    }

    @Test func aSettingOfTheServiceIsOfUseWhenAVersionUsesIt() throws {
        let policy = try policy("  shop: {retries: {budget: 5}, versions: {\"2\": {retries: {on: [reset]}}}}\n")
        #expect(policy.versions["2"]?.retries.budget == 5)
    }

    private static let place = "f:2: services.shop-a.versions"

    @Test(arguments: [
        ("[a]", "\(place): must be a mapping of names to values"),
        ("{\"2.0\": 3s}", "\(place).2.0: must be a mapping of names to values"),
        ("{\"2.0\": {}}", "\(place).2.0: has no settings: the version has those of its service anyway"),
        ("{\"2 0\": {timeout: 1s}}", "\(place).2 0: \"2 0\" is not a version; 1 to 128 characters without blanks"),
        ("{\"2.0\": {timeout: 1s}, 2.0: {timeout: 2s}}", "f:2: \"2.0\" is given twice; first on line 2"),
        ("{\"2.0\": {timeout: 5}}", "\(place).2.0.timeout: \"5\" has no unit; did you mean \"5s\"?"),
        (
            "{\"2.0\": {timeot: 5s}}",
            "f:2: unknown key \"timeot\" in services.shop-a.versions.2.0; did you mean \"timeout\"?"
        ),
        (
            "{\"2.0\": {balancer: random}}",
            "\(place).2.0.balancer: belongs to the service, not to one of its versions"
        ),
        ("{\"2.0\": {hosts: [a]}}", "\(place).2.0.hosts: belongs to the service, not to one of its versions"),
        ("{\"2.0\": {versions: }}", "\(place).2.0.versions: belongs to the service, not to one of its versions"),
        (
            "{\"2.0\": {retries: {budget: 5}}}",
            "\(place).2.0.retries.budget: has no effect without \"reset\" or a status in \"on\", or \"hedge\""
        ),
        (
            "{\"2.0\": {retries: {on: [100], methods: [GET]}}}",
            "\(place).2.0.retries.on: 100 is no status of HTTP to be repeated for; 500 to 599 are"
        ),
    ])
    func refuses(versions: String, expected: String) {
        #expect(errors("services:\n  shop-a: {versions: \(versions)}", file: "f") == [expected])
    }

    @Test func theVersionsOfAllServicesAreNobodys() {
        #expect(
            errors("services:\n  \"*\": {versions: {a: {timeout: 1s}}}", file: "f") == [
                "f:2: services.*.versions: belongs to a named service, not to \"*\""
            ])
    }

    @Test func thereMayNotBeTooMany() {
        let versions = (0..<65).map { "v\($0): {timeout: 1s}" }.joined(separator: ", ")
        #expect(
            errors("services:\n  shop-a: {versions: {\(versions)}}", file: "f") == [
                "f:2: services.shop-a.versions: has more than 64 versions"
            ])
    }
}
