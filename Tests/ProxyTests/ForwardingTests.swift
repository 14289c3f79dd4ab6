import Balancing
import Model
import Runtime
import Testing

@testable import Proxy

/// The policy with plain values: nothing is connected.
@Suite struct ForwardingTests {
    private static let deadline: Int64 = 1000
    private static let listed = Repetition(isListed: true, isIdempotent: true)
    private static let idempotent = Repetition(isListed: false, isIdempotent: true)
    /// Everything may be repeated.
    private static let all = rules {
        $0.onReset = true
        $0.statuses = [503]
    }

    private static func rules(_ change: (inout RetryPolicy) -> Void) -> RetryRules {
        var policy = RetryPolicy()
        change(&policy)
        return RetryRules(policy, for: .http)
    }

    /// The verdict on an event of a request that has been to so many hosts.
    private func verdict(
        _ event: RequestEvent, tried: Int, _ rules: RetryRules = RetryRules(), hasRoom: Bool = true, now: Int64 = 0,
        isHostLeft: Bool = true
    ) -> Verdict {
        var state = RequestState()
        state.deadline = Self.deadline
        let hosts = UnsafeMutablePointer<Endpoint>.allocate(capacity: 8)
        defer { hosts.deallocate() }
        for number in 0..<tried { state.tried.insert(hosts + number) }
        return Forwarding.verdict(
            on: event, of: state, rules, hasRoom: hasRoom, now: now, isHostLeft: isHostLeft)
    }

    @Test func whatWasNotSentGoesElsewhereWhileThereAreAttemptsAndTime() {
        #expect(verdict(.ended(.nothingSent), tried: 1) == .attempt(.connect))
        #expect(verdict(.ended(.nothingSent), tried: 2) == .attempt(.connect))
        #expect(verdict(.ended(.nothingSent), tried: 3) == .answer(.unreachable))
        #expect(verdict(.ended(.nothingSent), tried: 1, now: Self.deadline) == .answer(.timeout))
        #expect(verdict(.ended(.nothingSent), tried: 1, hasRoom: false) == .attempt(.connect))
        let others = Self.rules {
            $0.onConnect = false
            $0.onReset = true
        }
        #expect(verdict(.ended(.nothingSent), tried: 1, others) == .answer(.unreachable))
        #expect(verdict(.exhausted, tried: 1, others) == .answer(.exhausted))
    }

    @Test func aSecondHostIsAskedForWhatMayBeRepeatedWhileThereAreAttempts() {
        #expect(verdict(.overdue(Self.listed), tried: 0) == .attempt(.hedge))
        #expect(verdict(.overdue(Self.listed), tried: 1) == .attempt(.hedge))
        #expect(verdict(.overdue(Self.listed), tried: 2) == .wait)
        #expect(verdict(.overdue(Self.listed), tried: 0, hasRoom: false) == .wait)
        #expect(verdict(.overdue(Self.listed), tried: 0, now: Self.deadline) == .wait)
        #expect(verdict(.overdue(Self.idempotent), tried: 0) == .wait)
    }

    @Test func afterAWaitThereMayBeNobodyLeft() {
        #expect(verdict(.rested(.status), tried: 2) == .attempt(.status))
        #expect(verdict(.rested(.connect), tried: 2, isHostLeft: false) == .answer(.unreachable))
        // Hosts have had the request: it may have been executed.
        #expect(verdict(.rested(.reset), tried: 2, isHostLeft: false) == .answer(.lost))
        #expect(verdict(.rested(.status), tried: 2, isHostLeft: false) == .answer(.lost))
        #expect(verdict(.rested(.reset), tried: 2, now: Self.deadline) == .answer(.timeout))
    }

    @Test("Attempts are further tries: none to five", arguments: 0...5)
    func attempts(count: Int) {
        let rules = Self.rules {
            $0.attempts = count
            $0.onReset = true
            $0.statuses = [503]
        }
        for tried in 1...7 {
            let isMore = tried <= count
            #expect(
                verdict(.ended(.nothingSent), tried: tried, rules)
                    == (isMore ? .attempt(.connect) : .answer(.unreachable)))
            #expect(
                verdict(.ended(.sent(Self.listed)), tried: tried, rules) == (isMore ? .attempt(.reset) : .answer(.lost))
            )
            // The host that has answered, or is slow, is not among those tried.
            let answered = RequestEvent.answered(.possible, mayRepeat: true)
            #expect(verdict(answered, tried: tried - 1, rules) == (isMore ? .attempt(.status) : .pass))
            #expect(
                verdict(.slow(.sent(Self.listed)), tried: tried - 1, rules) == (isMore ? .attempt(.timeout) : .wait))
        }
    }

    @Test func whatMayHaveBeenReadIsSentAgainOnlyWhereThePolicySaysSo() {
        #expect(verdict(.ended(.sent(Self.listed)), tried: 1) == .answer(.lost))
        #expect(verdict(.ended(.sent(Self.listed)), tried: 1, Self.all) == .attempt(.reset))
        #expect(verdict(.ended(.sent(Self.idempotent)), tried: 1, Self.all) == .answer(.lost))
        #expect(verdict(.ended(.sent(Repetition())), tried: 1, Self.all) == .answer(.lost))
        #expect(verdict(.ended(.sent(Self.listed)), tried: 1, Self.all, now: Self.deadline) == .answer(.lost))
        #expect(verdict(.ended(.sent(Self.listed)), tried: 1, Self.all, isHostLeft: false) == .answer(.lost))
        #expect(verdict(.ended(.sent(Self.listed)), tried: 1, Self.all, hasRoom: false) == .answer(.lost))
        #expect(verdict(.ended(.answering), tried: 1, Self.all) == .cut)
    }

    @Test func anAnswerIsDroppedOnlyWhereAnotherHostCanBeAsked() {
        let answered = RequestEvent.answered(.possible, mayRepeat: true)
        #expect(verdict(answered, tried: 0, Self.all) == .attempt(.status))
        #expect(verdict(answered, tried: 0, Self.all, hasRoom: false) == .pass)
        #expect(verdict(answered, tried: 0, Self.all, now: Self.deadline) == .pass)
        #expect(verdict(answered, tried: 0, Self.all, isHostLeft: false) == .pass)
        #expect(verdict(.answered(.possible), tried: 0, Self.all) == .pass)
    }

    @Test func aSlowHostIsLeftOnlyWhereAnotherOneCanBeAsked() {
        #expect(verdict(.slow(.sent(Self.listed)), tried: 0, Self.all) == .attempt(.timeout))
        #expect(verdict(.slow(.sent(Self.listed)), tried: 0) == .wait)
        #expect(verdict(.slow(.sent(Self.idempotent)), tried: 0, Self.all) == .wait)
        #expect(verdict(.slow(.sent(Self.listed)), tried: 0, Self.all, hasRoom: false) == .wait)
        #expect(verdict(.slow(.sent(Self.listed)), tried: 0, Self.all, isHostLeft: false) == .wait)
        #expect(verdict(.slow(.nothingSent), tried: 0, Self.all, hasRoom: false) == .attempt(.connect))
        #expect(verdict(.slow(.answering), tried: 0, Self.all) == .wait)
    }

    @Test func whatAHostHasNotExecutedGoesElsewhere() {
        #expect(verdict(.answered(.refused), tried: 0, hasRoom: false) == .attempt(.refused))
        #expect(verdict(.answered(.refused), tried: 1) == .attempt(.refused))
        #expect(verdict(.answered(.refused), tried: 2) == .pass)
        #expect(verdict(.answered(.overloaded), tried: 0, hasRoom: false) == .attempt(.refused))
        #expect(verdict(.answered(.overloaded), tried: 1) == .pass)
        #expect(verdict(.answered(.refused), tried: 0, now: Self.deadline) == .pass)
        // Its status may be named as well.
        #expect(verdict(.answered(.overloaded, mayRepeat: true), tried: 1, Self.all) == .attempt(.status))
        #expect(verdict(.answered(.overloaded, mayRepeat: true), tried: 1, Self.all, hasRoom: false) == .pass)
        let none = Self.rules { $0.attempts = 0 }
        #expect(verdict(.answered(.refused), tried: 0, none) == .pass)
        #expect(verdict(.answered(.overloaded), tried: 0, none) == .pass)
        let many = Self.rules { $0.attempts = 5 }
        #expect(verdict(.answered(.refused), tried: 2, many) == .pass)
    }

    @Test func aRequestGoesToAHostWhenItsServiceIsKnownInTime() {
        #expect(verdict(.ready, tried: 0, now: Self.deadline - 1) == .attempt(nil))
        #expect(verdict(.ready, tried: 0, Self.rules { $0.attempts = 0 }) == .attempt(nil))
        #expect(verdict(.ready, tried: 0, now: Self.deadline) == .answer(.timeout))
        #expect(verdict(.ready, tried: 0, isHostLeft: false) == .answer(.noHost))
        #expect(verdict(.undiscovered, tried: 0) == .answer(.undiscovered))
        #expect(verdict(.undiscovered, tried: 0, now: Self.deadline) == .answer(.timeout))
    }

    @Test func whatCannotBeOpenedHereIsTriedElsewhereAndIsNotTheHosts() {
        #expect(verdict(.exhausted, tried: 1) == .attempt(.connect))
        #expect(verdict(.exhausted, tried: 3) == .answer(.exhausted))
        #expect(verdict(.exhausted, tried: 1, isHostLeft: false) == .answer(.exhausted))
        #expect(verdict(.exhausted, tried: 1, now: Self.deadline) == .answer(.timeout))
    }

    @Test func withoutAnotherHostTheEndSaysWhatHasHappened() {
        #expect(verdict(.ended(.nothingSent), tried: 1, isHostLeft: false) == .answer(.unreachable))
        #expect(verdict(.answered(.refused), tried: 0, isHostLeft: false) == .pass)
        #expect(verdict(.answered(.overloaded), tried: 0, isHostLeft: false) == .pass)
    }

    @Test("A host that only closed a kept connection is not among those tried: it may get the request again")
    func stale() {
        let none = Self.rules { $0.attempts = 0 }
        #expect(verdict(.stale(.nothingSent), tried: 0, none) == .attempt(.connect))
        #expect(verdict(.stale(.nothingSent), tried: 0, none, now: Self.deadline) == .answer(.timeout))
        #expect(verdict(.stale(.sent(Self.idempotent)), tried: 0, hasRoom: false) == .attempt(.connect))
        #expect(verdict(.stale(.sent(Self.idempotent)), tried: 1) == .attempt(.connect))
        #expect(verdict(.stale(.sent(Self.idempotent)), tried: 2) == .attempt(.connect))
        #expect(verdict(.stale(.sent(Self.idempotent)), tried: 3) == .answer(.lost))
        #expect(verdict(.stale(.sent(Self.idempotent)), tried: 0, none) == .answer(.lost))
        #expect(verdict(.stale(.sent(Repetition())), tried: 0, Self.all) == .answer(.lost))
        // A method that the policy lists although it is not idempotent.
        let post = Repetition(isListed: true, isIdempotent: false)
        #expect(verdict(.stale(.sent(post)), tried: 0) == .answer(.lost))
        #expect(verdict(.stale(.sent(post)), tried: 0, Self.all) == .attempt(.reset))
        #expect(verdict(.stale(.sent(post)), tried: 0, Self.all, hasRoom: false) == .answer(.lost))
    }

    @Test func whatIsNoAnswerIsNotAskedForAgain() {
        #expect(verdict(.unreadable, tried: 1, Self.all) == .answer(.badAnswer))
    }

    @Test func timeOverIsAnsweredAsSuch() {
        #expect(verdict(.timedOut, tried: 0, Self.all) == .answer(.timeout))
    }

    // MARK: The policy as values

    @Test func aServiceLooksAtTheStatusesOfItsOwnProtocol() {
        var policy = RetryPolicy()
        policy.statuses = [4, 100, 500, 503, 599]
        let (http, dubbo, bolt) = (
            RetryRules(policy, for: .http), RetryRules(policy, for: .dubbo), RetryRules(policy, for: .bolt)
        )
        #expect((0...1000).filter { http.names(Int32($0)) } == [500, 503, 599])
        #expect((0..<500).filter { dubbo.names(Int32($0)) } == [100])
        #expect((0..<500).filter { bolt.names(Int32($0)) } == [4])
        #expect(!RetryRules(RetryPolicy(), for: .http).names(503) && !dubbo.names(1000))
    }

    @Test func methodsOfHTTPAreNamesOrPatterns() {
        let standard = RetryRules(RetryPolicy(), for: .http)
        #expect(standard.mayRepeat(.get) && standard.mayRepeat(.trace) && !standard.mayRepeat(.post))
        #expect(!standard.mayRepeat(.other) && !standard.mayRepeat(.patch))
        let some = Self.rules { $0.methods = ["P*", "GET"] }
        #expect(some.mayRepeat(.post) && some.mayRepeat(.put) && some.mayRepeat(.patch) && some.mayRepeat(.get))
        #expect(!some.mayRepeat(.delete) && !some.mayRepeat(.head))
    }

    @Test(arguments: [
        ("find", ["find"]), ("find*", ["find", "findAll"]), ("*All", ["findAll"]), ("*ind*", ["find", "findAll"]),
        ("*", ["find", "findAll", "a", ""]),
    ])
    func methodsOfFrames(pattern: String, expected: [String]) {
        let methods = RepeatableMethods([pattern])
        let found = ["find", "findAll", "a", ""].filter { name in
            let bytes = ByteString(copying: name)
            defer { bytes.free() }
            return methods.contains(bytes)
        }
        #expect(found == expected)
        #expect(RepeatableMethods().count == 0)
    }

    @Test func theBudgetIsAShareOfWhatIsInFlightAndNeverLessThanThree() {
        var tries = FurtherTries()
        var states = (0..<20).map { _ in RequestState() }
        for index in 0..<3 {
            #expect(tries.hasRoom(active: 1, percent: 20, isOne: false))
            tries.begin(.reset, of: &states[index])
        }
        #expect(!tries.hasRoom(active: 19, percent: 20, isOne: false))
        #expect(tries.hasRoom(active: 20, percent: 20, isOne: false))
        // The next try of the same request takes the place of the last.
        #expect(tries.hasRoom(active: 19, percent: 20, isOne: true))
        tries.begin(.status, of: &states[0])
        #expect(tries.inFlight == 3)
        // What was not sent needs no room.
        tries.begin(.connect, of: &states[3])
        tries.begin(.refused, of: &states[4])
        tries.begin(.hedge, of: &states[0])
        #expect(tries.inFlight == 3)
        for index in 0..<5 { tries.end(&states[index]) }
        #expect(tries.inFlight == 0)
        #expect(tries.byCause == [1, 3, 1, 0, 1, 1])
    }
}
