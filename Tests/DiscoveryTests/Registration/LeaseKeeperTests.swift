import Runtime
import Testing

@testable import Discovery

/// What is done when, whatever the registry says and whenever it says it.
@Suite struct LeaseKeeperTests {
    /// A registry whose answers the test gives.
    final class Script {
        private(set) var calls: [String] = []
        var publish: ((String?) -> Void)?
        var renew: ((LeaseKeeper.Renewal) -> Void)?
        var withdraw: ((String?) -> Void)?
        var told: [String?] = []

        func keeper(_ loop: EventLoop, lifetime: Duration = .milliseconds(60)) -> LeaseKeeper {
            LeaseKeeper(
                loop: loop, period: .milliseconds(20), lifetime: lifetime, backoff: Backoff(first: .milliseconds(5)),
                calls: .init(
                    publish: { registration, completion in
                        self.calls.append("publish \(registration.weight)")
                        self.publish = completion
                    },
                    renew: { _, completion in
                        self.calls.append("renew")
                        self.renew = completion
                    },
                    withdraw: { _, completion in
                        self.calls.append("withdraw")
                        self.withdraw = completion
                    }),
                report: { self.told.append($1) })
        }
    }

    let loop: EventLoop
    let script = Script()

    init() throws { loop = try EventLoop() }

    private func registration(_ weight: Double = 1) -> Registration {
        var registration = Registration(service: .http("order"), host: "10.0.0.1", port: 80)
        registration.weight = weight
        return registration
    }

    private func wait(_ calls: String...) -> Bool { loop.run(for: .seconds(10)) { script.calls == calls } }

    @Test func whatChangesMeanwhileIsPublishedAfterwards() {
        let keeper = script.keeper(loop)
        keeper.register(registration(1))
        keeper.register(registration(2))
        keeper.register(registration(3))
        #expect(script.calls == ["publish 1.0"])
        script.publish?(nil)
        #expect(script.calls == ["publish 1.0", "publish 3.0"])
        script.publish?(nil)
        #expect(wait("publish 1.0", "publish 3.0", "renew"))
        script.renew?(.alive)
        keeper.register(registration(3))
        #expect(script.calls.count == 3 && script.told == [nil])
        keeper.stop()
    }

    @Test func whatIsForgottenIsPublishedAtOnce() {
        let keeper = script.keeper(loop)
        keeper.register(registration())
        script.publish?(nil)
        #expect(wait("publish 1.0", "renew"))
        script.renew?(.forgotten)
        #expect(script.calls == ["publish 1.0", "renew", "publish 1.0"])
        script.publish?("no")
        #expect(loop.run(for: .seconds(10)) { script.calls.count == 4 })
        #expect(script.told == [nil, "no"])
        script.publish?(nil)
        #expect(script.told == [nil, "no", nil])
        keeper.stop()
    }

    @Test func whatWasNotRenewedInTimeIsPublishedAgain() {
        let keeper = script.keeper(loop)
        keeper.register(registration())
        script.publish?(nil)
        var status = RegistryStatus()
        keeper.describe(&status)
        #expect(status.registrations == 1 && status.registered == 1)
        let published = loop.run(for: .seconds(10)) {
            script.renew?(.failed("away"))
            script.renew = nil
            return script.calls.last == "publish 1.0" && script.calls.count > 1
        }
        #expect(published && script.told == [nil, "away"])
        keeper.describe(&status)
        #expect(status.registrations == 1 && status.registered == 0)
        keeper.stop()
    }

    @Test func whatIsUnderWayEndsBeforeItIsTakenOut() {
        let keeper = script.keeper(loop)
        var outcomes: [String?] = []
        keeper.register(registration())
        keeper.deregister(registration().identity) { outcomes.append($0) }
        keeper.deregister(registration().identity) { outcomes.append($0) }
        #expect(script.calls == ["publish 1.0"])
        script.publish?("refused")
        #expect(script.calls == ["publish 1.0", "withdraw"])
        // It is wanted again before it is out.
        keeper.register(registration(5))
        script.withdraw?("still there")
        #expect(outcomes == ["still there", "still there"] && script.told.isEmpty)
        #expect(script.calls == ["publish 1.0", "withdraw", "publish 5.0"])
        keeper.stop()
    }

    @Test func whatCannotBeTakenOutIsTriedAgain() {
        let keeper = script.keeper(loop)
        var outcomes: [String?] = []
        keeper.register(registration())
        script.publish?("answered too late")
        keeper.deregister(registration().identity) { outcomes.append($0) }
        // It was sent, so it may be there.
        #expect(script.calls == ["publish 1.0", "withdraw"])
        for count in 3...4 {
            script.withdraw?("busy")
            #expect(outcomes.isEmpty && loop.run(for: .seconds(10)) { script.calls.count == count })
            #expect(script.calls.last == "withdraw")
        }
        script.withdraw?(nil)
        #expect(outcomes == [nil])
        #expect(!loop.run(for: .milliseconds(100)) { script.calls.count > 4 })
        keeper.stop()
    }

    @Test func whoWaitsForWhatCannotBeTakenOutIsToldInTime() {
        let keeper = script.keeper(loop, lifetime: .seconds(60))
        var outcomes: [String?] = []
        keeper.register(registration())
        script.publish?(nil)
        let begin = Clock.nanoseconds
        keeper.deregister(registration().identity) { outcomes.append($0) }
        let isTold = loop.run(for: .seconds(20)) {
            script.withdraw?("busy")
            script.withdraw = nil
            return !outcomes.isEmpty
        }
        #expect(isTold && outcomes == ["busy"] && Clock.nanoseconds - begin < 6_000_000_000)
        // It is tried on beyond that, until it is wanted again.
        let count = script.calls.count
        #expect(loop.run(for: .seconds(10)) { script.calls.count > count })
        script.withdraw?("busy")
        keeper.register(registration(5))
        #expect(script.calls.last == "publish 5.0")
        keeper.stop()
    }

    @Test func whatHangsDoesNotKeepItFromBeingTakenOut() {
        let keeper = script.keeper(loop)
        var outcomes: [String?] = []
        keeper.register(registration())
        keeper.deregister(registration().identity) { outcomes.append($0) }
        #expect(script.calls == ["publish 1.0"])
        #expect(wait("publish 1.0", "withdraw"))
        script.withdraw?(nil)
        // What was sent before may arrive after that.
        #expect(outcomes.isEmpty)
        script.publish?("no answer")
        #expect(script.calls == ["publish 1.0", "withdraw", "withdraw"])
        script.withdraw?(nil)
        #expect(outcomes == [nil])
        keeper.stop()
    }

    @Test func stoppingTellsWhoWaits() {
        let keeper = script.keeper(loop)
        var outcome: String??
        keeper.register(registration())
        keeper.deregister(registration().identity) { outcome = .some($0) }
        keeper.stop()
        #expect(outcome??.contains("stopped") == true)
        script.publish?(nil)
        #expect(script.calls == ["publish 1.0"] && script.told.isEmpty)
    }
}
