import Configuration
import Runtime
import Testing

@testable import ControlPlane

@Suite("When an application is listed")
struct HealthGateTests {
    private static let second: Int64 = 1_000_000_000

    private func gate(failures: Int = 3, startsUp: Bool = false) -> HealthGate {
        var settings = HealthCheckConfiguration()
        settings.interval = .seconds(5)
        settings.failures = failures
        return HealthGate(settings, startsUp: startsUp)
    }

    @Test("The first good check lists it, however long it failed before")
    func first() {
        var gate = gate()
        #expect(!gate.isUp && !gate.isKnown)
        for time in 1...10 { gate.failed(at: Int64(time) * Self.second) }
        #expect(!gate.isUp && gate.isKnown && gate.falls == 0)
        gate.succeeded(at: 11 * Self.second)
        #expect(gate.isUp)
    }

    @Test("Only failures in a row take it out")
    func falling() {
        var gate = gate(startsUp: true)
        #expect(gate.isUp)
        for time in 0..<20 {
            if time % 3 == 2 { gate.succeeded(at: Int64(time) * Self.second) } else { gate.failed(at: 0) }
            #expect(gate.isUp)
        }
        gate.succeeded(at: 20 * Self.second)
        gate.failed(at: 0)
        gate.failed(at: 0)
        #expect(gate.isUp && gate.failures == 2)
        gate.failed(at: 0)
        #expect(!gate.isUp && gate.falls == 1)
    }

    @Test("One that comes and goes must stay well for longer each time, at most two minutes")
    func flapping() {
        var gate = gate(failures: 1, startsUp: true)
        var now: Int64 = 0
        for seconds in [5, 10, 20, 40, 80, 120, 120] {
            gate.failed(at: now)
            #expect(!gate.isUp && gate.trial == .seconds(seconds))
            let start = now + Self.second
            for second in 0..<seconds {
                now = start + Int64(second) * Self.second
                gate.succeeded(at: now)
                #expect(!gate.isUp)
            }
            now = start + Int64(seconds) * Self.second
            gate.succeeded(at: now)
            #expect(gate.isUp)
        }
    }

    @Test("A bad check on the way begins the trial anew; a long good time is an amnesty")
    func amnesty() {
        var gate = gate(failures: 1, startsUp: true)
        gate.failed(at: 0)
        gate.succeeded(at: 1 * Self.second)
        gate.failed(at: 5 * Self.second)
        gate.succeeded(at: 6 * Self.second)
        #expect(!gate.isUp && gate.falls == 1)
        gate.succeeded(at: 11 * Self.second)
        #expect(gate.isUp && gate.falls == 1)
        gate.succeeded(at: 310 * Self.second)
        #expect(gate.falls == 1)
        gate.succeeded(at: 311 * Self.second)
        #expect(gate.falls == 0)
    }

    @Test("The longest intervals do not overflow")
    func extremes() {
        var settings = HealthCheckConfiguration()
        settings.interval = .seconds(3600)
        settings.failures = 1
        var gate = HealthGate(settings, startsUp: true)
        for _ in 0..<100 {
            gate.failed(at: .max)
            #expect(gate.trial <= .seconds(3600))
            for time in [Int64.max - 3_600_000_000_000, .max] { gate.succeeded(at: time) }
            #expect(gate.isUp)
        }
    }
}
