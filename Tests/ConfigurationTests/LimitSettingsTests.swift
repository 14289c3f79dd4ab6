import Configuration
import Model
import Testing

@Suite struct LimitSettingsTests {
    private func policy(_ text: String) throws -> ServicePolicy {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        return try #require(configuration.services["shop"]).policy
    }

    @Test func nothingIsLimitedByDefault() throws {
        let policy = try policy("  shop:\n").traffic
        #expect(policy.circuitBreaker.isOff && policy.rateLimit == RateLimitPolicy())
    }

    @Test func everyKeyIsRead() throws {
        let policy = try policy(
            """
              shop:
                circuit_breaker: {requests: 1024, pending: 256, connections: 128}
                concurrency: adaptive
                rate_limit: {rate: 100/s, burst: 200, key: "header:X-User-Id"}
            """
        ).traffic
        var breaker = CircuitBreakerPolicy()
        (breaker.requests, breaker.pending, breaker.connections) = (1024, 256, 128)
        #expect(policy.circuitBreaker == breaker && !breaker.isOff)
        #expect(policy.rateLimit.rate == RateLimitPolicy.Rate(requests: 100, per: .second))
        #expect(policy.rateLimit.burst == 200 && policy.rateLimit.effectiveBurst == 200)
        #expect(policy.rateLimit.key == .header("x-user-id"))
        #expect(!policy.hasOwnBreaker && !policy.hasOwnRate)
        #expect(policy.adaptsConcurrency && policy.limitsWhatIsInFlight)
    }

    @Test(arguments: [("100/s", 100), ("1/s", 1), ("90/m", 1), ("600/m", 10), ("5/h", 1), ("1000000/h", 277)])
    func aBurstIsWhatOneSecondBringsWhereNothingIsSaid(rate: String, burst: Int) throws {
        let limit = try policy("  shop: {rate_limit: \(rate)}\n").traffic.rateLimit
        #expect(limit.burst == nil && limit.effectiveBurst == burst && limit.rate?.description == rate)
    }

    @Test func aVersionCountsForItselfWhereItSaysSomethingOfItsOwn() throws {
        let policy = try policy(
            """
              shop:
                versions:
                  "1": {timeout: 1s}
                  "2": {circuit_breaker: {pending: 3}}
                  "3": {rate_limit: 10/s}
                  "4": {rate_limit: {key: off}, circuit_breaker: {requests: off}}
                  "5": {rate_limit: off, circuit_breaker: off}
                  "6": {concurrency: adaptive}
                circuit_breaker: {requests: 7}
              "*": {rate_limit: {rate: 100/s, burst: 50, key: client-address}}
            """)
        func version(_ name: String) throws -> TrafficPolicy { try #require(policy.versions[name]) }
        #expect(try version("1").circuitBreaker.requests == 7 && version("1").rateLimit == policy.traffic.rateLimit)
        #expect(try !version("1").hasOwnBreaker && !version("1").hasOwnRate)
        let second = try version("2")
        #expect(second.hasOwnBreaker && !second.hasOwnRate)
        #expect(second.circuitBreaker.requests == 7 && second.circuitBreaker.pending == 3)
        let third = try version("3").rateLimit
        #expect(try version("3").hasOwnRate && !version("3").hasOwnBreaker)
        #expect(third.rate?.requests == 10 && third.effectiveBurst == 10 && third.key == .clientAddress)
        let fourth = try version("4")
        #expect(fourth.rateLimit.key == nil && fourth.rateLimit.burst == 50 && fourth.circuitBreaker.isOff)
        let fifth = try version("5")
        #expect(fifth.circuitBreaker.isOff && fifth.rateLimit == RateLimitPolicy() && !fifth.limitsWhatIsInFlight)
        #expect(try version("6").hasOwnBreaker && version("6").adaptsConcurrency && !policy.traffic.adaptsConcurrency)
    }

    @Test func aBurstOfAnotherRateIsNotTakenOver() throws {
        let text = "  \"*\": {rate_limit: {rate: 100/s, burst: 500}}\n  shop: {rate_limit: {rate: 10/s}}\n"
        #expect(try policy(text).traffic.rateLimit.effectiveBurst == 10)
    }

    private static let place = "f:2: services.shop-a"

    @Test(arguments: [
        ("circuit_breaker: on", "\(place).circuit_breaker: must be a mapping of names to values"),
        ("circuit_breaker: {requests: 0}", "\(place).circuit_breaker.requests: 0 is out of range; 1 to 1000000"),
        (
            "circuit_breaker: {requests: \"5\"}",
            "\(place).circuit_breaker.requests: \"5\" must stand without quotes"
        ),
        (
            "circuit_breaker: {request: 5}",
            "f:2: unknown key \"request\" in services.shop-a.circuit_breaker; did you mean \"requests\"?"
        ),
        ("concurrency: on", "\(place).concurrency: \"on\" is neither adaptive nor off"),
        (
            "concurrency: 50",
            "\(place).concurrency: \"50\" is neither adaptive nor off; a number is circuit_breaker: {requests: 50}"
        ),
        ("rate_limit: 100", "\(place).rate_limit: \"100\" has no unit; did you mean \"100/s\"?"),
        (
            "rate_limit: {rate: fast}",
            "\(place).rate_limit.rate: \"fast\" is not a rate; write a whole number and /s, /m or /h, for example 100/s"
        ),
        (
            "rate_limit: 10/d",
            "\(place).rate_limit: \"10/d\" is not a rate; write a whole number and /s, /m or /h, for example 100/s"
        ),
        ("rate_limit: 0/s", "\(place).rate_limit: 0 is out of range; 1 to 1000000"),
        ("rate_limit: {rate: 1/s, burst: 0}", "\(place).rate_limit.burst: 0 is out of range; 1 to 1000000"),
        ("rate_limit: {burst: 5}", "\(place).rate_limit.burst: has no effect without \"rate\""),
        ("rate_limit: {key: client-address}", "\(place).rate_limit.key: has no effect without \"rate\""),
        (
            "rate_limit: {rate: 1/s, key: user}",
            "\(place).rate_limit.key: \"user\" is neither header:NAME nor client-address"
        ),
        (
            "rate_limit: {rate: 1/s, key: client-address}, versions: {\"2\": {rate_limit: {key: \"header:a\"}}}",
            "\(place).versions.2.rate_limit.key: must be the same in a service and all its versions, client-address"
        ),
    ])
    func refuses(settings: String, expected: String) {
        #expect(errors("services:\n  shop-a: {\(settings)}", file: "f") == [expected])
    }
}
