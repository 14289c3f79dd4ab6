import Configuration
import Model
import Testing

@Suite struct OutlierSettingsTests {
    private func policies(_ text: String) throws -> [String: OutlierDetectionPolicy] {
        let configuration = try Configuration.parse("services:\n" + text, file: "f")
        var policies = configuration.services.mapValues(\.policy.traffic.outlierDetection)
        policies["*"] = configuration.defaultPolicy.traffic.outlierDetection
        return policies
    }

    private func errors(_ text: String) -> [String] {
        do {
            _ = try Configuration.parse("services:\n" + text, file: "f")
            return []
        } catch {
            return error.errors.map { "\($0)" }
        }
    }

    @Test func itIsOffUnlessAskedFor() throws {
        let policies = try policies("  a:\n  b: {outlier_detection: on}\n  c: {outlier_detection: {}}\n")
        #expect(policies["a"]?.isOn == false)
        var expected = OutlierDetectionPolicy()
        expected.isOn = true
        #expect(policies["b"] == expected && policies["c"] == expected)
        #expect(expected.consecutive == 5 && expected.errorRate == 50 && expected.requests == 20)
        #expect(expected.interval == .seconds(10) && expected.ejection == .seconds(30) && expected.maxEjected == 50)
        #expect(expected.latency == nil)
    }

    @Test func everyKeyIsRead() throws {
        let policy = try policies(
            """
              shop:
                outlier_detection:
                  consecutive: off
                  error_rate: 100
                  requests: 1
                  interval: 1m
                  ejection: 1s
                  max_ejected: 0
                  latency: 3
            """)["shop"]
        var expected = OutlierDetectionPolicy()
        expected.isOn = true
        (expected.consecutive, expected.errorRate, expected.requests) = (nil, 100, 1)
        (expected.interval, expected.ejection) = (.seconds(60), .seconds(1))
        (expected.maxEjected, expected.latency) = (0, 3)
        #expect(policy == expected)
    }

    @Test func aServiceInheritsKeyByKey() throws {
        let policies = try policies(
            """
              shop: {outlier_detection: {error_rate: off}}
              quiet: {outlier_detection: off}
              again: {outlier_detection: {latency: off}}
              "*": {outlier_detection: {consecutive: 3, latency: 4}}
            """)
        #expect(
            policies["shop"]?.consecutive == 3 && policies["shop"]?.errorRate == nil && policies["shop"]?.latency == 4)
        #expect(
            policies["quiet"]?.isOn == false && policies["again"]?.latency == nil && policies["again"]?.isOn == true)
    }

    @Test func aVersionInheritsFromItsServiceKeyByKey() throws {
        let configuration = try Configuration.parse(
            """
            services:
              shop:
                outlier_detection: {consecutive: 3, latency: 4}
                versions:
                  "2.0": {outlier_detection: {consecutive: 2}}
                  "3.0": {outlier_detection: off}
            """, file: "f")
        let policy = try #require(configuration.services["shop"]?.policy)
        let two = policy.traffic(of: "2.0").outlierDetection
        #expect(two.isOn && two.consecutive == 2 && two.latency == 4)
        #expect(
            !policy.traffic(of: "3.0").outlierDetection.isOn
                && policy.traffic(of: "1.0").outlierDetection.consecutive == 3)
        #expect(policy.detectsOutliers)
    }

    @Test(arguments: [
        ("{outlier_detection: maybe}", "is neither on, off, nor a mapping"),
        ("{outlier_detection: {consecutive: 0}}", "0 is out of range; 1 to 1000"),
        ("{outlier_detection: {error_rate: 101}}", "101 is out of range; 1 to 100"),
        ("{outlier_detection: {error_rate: 50%}}", "is not a whole number"),
        ("{outlier_detection: {max_ejected: 101}}", "101 is out of range; 0 to 100"),
        ("{outlier_detection: {latency: 1}}", "1 is out of range; 2 to 100"),
        ("{outlier_detection: {interval: 500ms}}", "out of range"),
        ("{outlier_detection: {ejection: 30}}", "unit"),
        ("{outlier_detection: {consecutve: 5}}", "did you mean \"consecutive\"?"),
        ("{outlier_detection: {consecutive: off, error_rate: off}}", "did you mean \"off\"?"),
    ])
    func mistakesAreToldWithTheirLine(text: String, message: String) {
        let found = errors("  fine:\n  shop: \(text)\n")
        #expect(found.count == 1 && found[0].hasPrefix("f:3: ") && found[0].contains(message), "\(found)")
    }
}
