import Configuration
import Model
import Testing

@Suite struct RetrySettingsTests {
    private func services(_ text: String) throws -> [String: RetryPolicy] {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        var policies = configuration.services.mapValues(\.policy.traffic.retries)
        policies["*"] = configuration.defaultPolicy.traffic.retries
        return policies
    }

    @Test func theDefaultIsTwoFurtherTriesOfWhatWasNotSent() throws {
        let policy = try #require(try services("  shop:\n")["shop"])
        #expect(policy == RetryPolicy())
        #expect(policy.attempts == 2 && policy.causes == ["connect"] && policy.methods == nil && policy.budget == 20)
        #expect(policy.perTryTimeout == nil && policy.backoff == .milliseconds(25))
    }

    @Test func everyKeyIsRead() throws {
        let policy = try services(
            """
              shop:
                retries:
                  attempts: 5
                  on: [503, reset, 502]
                  methods: [GET, P*]
                  per_try_timeout: 250ms
                  backoff: 2s
                  hedge: 200ms
                  budget: 0
            """)["shop"]
        var expected = RetryPolicy()
        expected.attempts = 5
        expected.onConnect = false
        expected.onReset = true
        expected.statuses = [502, 503]
        expected.methods = ["GET", "P*"]
        expected.perTryTimeout = .milliseconds(250)
        expected.backoff = .seconds(2)
        expected.hedge = .milliseconds(200)
        expected.budget = 0
        #expect(policy == expected)
        #expect(policy?.causes == ["reset", "502", "503"])
    }

    @Test func shortForms() throws {
        let policies = try services("  a: {retries: off}\n  b: {retries: 4}\n  c: {retries: 0}\n  d: {retries: }\n")
        #expect(policies.filter { $0.key != "*" }.sorted { $0.key < $1.key }.map(\.value.attempts) == [0, 4, 0, 2])
    }

    @Test func aServiceInheritsKeyByKey() throws {
        let policies = try services(
            """
              shop: {retries: {attempts: 1}}
              quiet: {retries: off}
              hasty: {retries: {backoff: off, hedge: off}}
              other: {retries: {on: [connect, reset], per_try_timeout: off}}
              "*": {retries: {attempts: 3, on: [connect, reset, 503, 100], methods: [GET, find*], per_try_timeout: 1s, backoff: 1s, hedge: 500ms}}
            """)
        let shop = try #require(policies["shop"])
        #expect(shop.attempts == 1 && shop.onReset && shop.statuses == [100, 503] && shop.methods == ["GET", "find*"])
        #expect(shop.perTryTimeout == .seconds(1))
        #expect(policies["quiet"]?.attempts == 0 && shop.backoff == .seconds(1) && policies["hasty"]?.backoff == .zero)
        #expect(shop.hedge == .milliseconds(500) && policies["hasty"]?.hedge == nil)
        #expect(policies["other"]?.statuses == [] && policies["other"]?.perTryTimeout == nil)
        #expect(policies["other"]?.attempts == 3 && policies["other"]?.methods == ["GET", "find*"])
    }

    @Test func aSettingOfAllServicesIsOfUseWhenOneOfThemUsesIt() throws {
        let policies = try services(
            """
              "*": {retries: {methods: [GET], budget: 10}}
              shop: {retries: {on: [connect, reset]}}
            """)
        #expect(policies["shop"]?.methods == ["GET"] && policies["shop"]?.budget == 10)
    }

    private static let place = "f:2: services.shop-a.retries"

    @Test(arguments: [
        ("6", "f:2: services.shop-a.retries: 6 is out of range; 0 to 5"),
        ("on", "f:2: services.shop-a.retries: \"on\" is neither off, a number of attempts, nor a mapping"),
        ("[connect]", "f:2: services.shop-a.retries: must be a mapping of names to values"),
        ("{attempts: -1}", "\(place).attempts: -1 is out of range; 0 to 5"),
        ("{attempts: \"2\"}", "\(place).attempts: \"2\" must stand without quotes"),
        (
            "{back_off: 1s}",
            "f:2: unknown key \"back_off\" in services.shop-a.retries; did you mean \"backoff\"?"
        ),
        ("{hedge: 0s}", "\(place).hedge: \"0s\" is out of range; 1ms to 24h"),
        (
            "{on: [reset], per_try_timeout: 1s, hedge: 1s}",
            "\(place).hedge: has no effect: \"per_try_timeout\" is over before"
        ),
        ("{attempts: 0, hedge: 1s}", "\(place).hedge: has no effect where no further try is made; \"attempts\" is 0"),
        ("{backoff: 61s}", "\(place).backoff: \"61s\" is out of range; 1ms to 1m"),
        (
            "{attempts: 1, backoff: 1s}",
            "\(place).backoff: has no effect before the first further try; \"attempts\" is 1"
        ),
        ("{on: []}", "\(place).on: needs at least one; \"retries: off\" is for no further tries"),
        ("{on: reset}", "\(place).on: must be a list; did you mean [reset]?"),
        (
            "{on: [conect]}",
            "\(place).on[0]: \"conect\" is neither connect, reset nor a status; did you mean \"connect\"?"
        ),
        (
            "{on: [404]}",
            "\(place).on[0]: 404 is no status after which another host can be asked; HTTP has 500 to 599, Dubbo 25, 30, 31, 35, "
                + "40, 50, 60, 70, 80, 90 and 100, Bolt 1 to 9 and 16 to 18"
        ),
        (
            "{on: [20]}",
            "\(place).on[0]: 20 is no status after which another host can be asked; HTTP has 500 to 599, Dubbo 25, 30, 31, 35, "
                + "40, 50, 60, 70, 80, 90 and 100, Bolt 1 to 9 and 16 to 18"
        ),
        ("{on: [503, 503]}", "\(place).on: \"503\" is given twice"),
        (
            "{on: [reset, 100], methods: [GET]}",
            "\(place).on: 100 is no status of HTTP to be repeated for; 500 to 599 are"
        ),
        (
            "{on: [reset], methods: [get]}",
            "\(place).methods: \"get\" is none of GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE; did you mean \"GET\"?"
        ),
        ("{on: [reset], methods: [G*T]}", "\(place).methods[0]: \"G*T\" may have \"*\" only at its ends"),
        ("{on: [reset], methods: [\"**\"]}", "\(place).methods[0]: \"**\" may have \"*\" only at its ends"),
        (
            "{on: [reset], methods: []}",
            "\(place).methods: needs at least one; without \"reset\", statuses in \"on\" and \"hedge\" nothing is repeated once it was sent"
        ),
        ("{methods: [GET]}", "\(place).methods: has no effect without \"reset\" or a status in \"on\", or \"hedge\""),
        ("{budget: 50}", "\(place).budget: has no effect without \"reset\" or a status in \"on\", or \"hedge\""),
        ("{on: [reset], budget: 101}", "\(place).budget: 101 is out of range; 0 to 100"),
        ("{on: [503], per_try_timeout: 1s}", "\(place).per_try_timeout: has no effect without \"reset\" in \"on\""),
        ("{on: [reset], per_try_timeout: 0s}", "\(place).per_try_timeout: \"0s\" is out of range; 1ms to 24h"),
        ("{attempts: 0, on: [reset]}", "\(place).on: has no effect where no further try is made; \"attempts\" is 0"),
    ])
    func refuses(retries: String, expected: String) {
        #expect(errors("services:\n  shop-a: {retries: \(retries)}", file: "f") == [expected])
    }

    @Test func statusesOfDubboAndBoltNeedMethods() {
        let text = "services:\n  com.acme.Orders:\n    retries:\n      on: [connect,\n           100]"
        let expected =
            "f:5: services.com.acme.Orders.retries.on: 100 has no effect without \"methods\": of Dubbo and Bolt nothing else may be "
            + "repeated"
        #expect(errors(text, file: "f") == [expected])
        #expect(errors(text + "\n      methods: [\"*\"]", file: "f") == [])
    }

    @Test func whatNoServiceUsesIsRefusedForAllToo() {
        #expect(
            errors("services:\n  \"*\": {retries: {methods: [GET]}}\n  a: {retries: 1}", file: "f") == [
                "f:2: services.*.retries.methods: has no effect without \"reset\" or a status in \"on\", or \"hedge\""
            ])
        #expect(
            errors("services:\n  \"*\": {retries: off}\n  a: {retries: {on: [reset]}}", file: "f") == [
                "f:3: services.a.retries.on: has no effect where no further try is made; \"attempts\" is 0"
            ])
    }
}
