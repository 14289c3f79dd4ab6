import Configuration
import Model
import Testing

@Suite struct FaultSettingsTests {
    private func policy(_ text: String) throws -> ServicePolicy {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        return try #require(configuration.services["shop"]).policy
    }

    @Test func nothingIsDoneByDefault() throws {
        let policy = try policy("  shop:\n").traffic
        #expect(policy.fault.isOff && policy.streamIdle == nil)
    }

    @Test func everyKeyIsReadAndInheritedKeyByKey() throws {
        let policy = try policy(
            """
              "*": {fault: {delay: 100ms, abort: 503, share: 12.5}, stream_idle: 5m}
              shop:
                fault: {share: 0.1}
                versions:
                  "1": {fault: {abort: off}}
                  "2": {fault: off, stream_idle: off}
                  "3": {fault: {abort: 80}, stream_idle: 2s}
            """)
        #expect(policy.traffic.fault.delay == .milliseconds(100) && policy.traffic.fault.abort == 503)
        #expect(policy.traffic.fault.share == 100 && policy.traffic.streamIdle == .seconds(300))
        #expect(policy.versions["1"]?.fault.abort == nil && policy.versions["1"]?.fault.delay == .milliseconds(100))
        #expect(policy.versions["2"]?.fault == FaultPolicy() && policy.versions["2"]?.streamIdle == nil)
        #expect(policy.versions["3"]?.fault.abort == 80 && policy.versions["3"]?.streamIdle == .seconds(2))
    }

    @Test(arguments: [
        ("100", 100_000), ("0.001", 1), ("12.5", 12_500), ("7.25", 7_250), ("99.999", 99_999), ("1.0", 1000),
    ])
    func sharesMayHaveThreeDecimals(text: String, share: Int) throws {
        #expect(try policy("  shop: {fault: {delay: 1s, share: \(text)}}\n").traffic.fault.share == share)
        let written = SettingValue.text(share: share)
        #expect(try policy("  shop: {fault: {delay: 1s, share: \(written)}}\n").traffic.fault.share == share)
    }

    private static let place = "f:2: services.shop-a.fault"

    @Test(arguments: [
        ("on", "\(place): must be a mapping of names to values"),
        ("{share: 5}", "\(place): has no effect without \"delay\" and \"abort\"; \"off\" is for no fault"),
        ("{dellay: 1s}", "f:2: unknown key \"dellay\" in services.shop-a.fault; did you mean \"delay\"?"),
        ("{delay: 100}", "\(place).delay: \"100\" has no unit; did you mean \"100s\"?"),
        ("{delay: 2h}", "\(place).delay: \"2h\" is out of range; 1ms to 1h"),
        ("{abort: \"503\"}", "\(place).abort: \"503\" must stand without quotes"),
        ("{abort: 80}", "\(place).abort: 80 is no status of HTTP, and the service can only be HTTP; 200 to 599"),
        (
            "{abort: 199}",
            "\(place).abort: 199 is no status that requests can be aborted with; HTTP has 200 to 599, Dubbo 25, 30, 31, 35, 40, 50, 60, 70, 80, "
                + "90 and 100, Bolt 1 to 9 and 16 to 18"
        ),
        ("{delay: 1s, share: 0}", "\(place).share: 0 is out of range; 0.001 to 100"),
        ("{delay: 1s, share: 100.001}", "\(place).share: 100.001 is out of range; 0.001 to 100"),
        ("{delay: 1s, share: 10%}", "\(place).share: \"10%\" is in percent anyway; did you mean 10?"),
        (
            "{delay: 1s, share: 0.0001}",
            "\(place).share: \"0.0001\" is no share in percent; write a number with up to three decimals, for example 0.1"
        ),
        (
            "{delay: 1s, share: -1}",
            "\(place).share: \"-1\" is no share in percent; write a number with up to three decimals, for example 0.1"
        ),
        (
            "{delay: 1s, share: 99999999999999999999}",
            "\(place).share: 99999999999999999999 is out of range; 0.001 to 100"
        ),
    ])
    func mistakesAreNamedWithTheirPlace(text: String, message: String) {
        #expect(errors("services:\n  shop-a: {fault: \(text)}", file: "f") == [message])
    }

    @Test func streamIdleIsATime() {
        #expect(
            errors("services:\n  shop-a: {stream_idle: 10ms}", file: "f")
                == ["f:2: services.shop-a.stream_idle: \"10ms\" is out of range; 1s to 24h"])
    }
}
