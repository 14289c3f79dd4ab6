import Balancing
import Runtime
import Testing

@testable import Proxy

/// The policy with plain values: nothing is connected.
@Suite struct ForwardingTests {
    private static let deadline: Int64 = 1000

    /// The verdict on an event of a request that has been to so many hosts.
    private func verdict(
        _ event: RequestEvent, tried: Int, now: Int64 = 0, isHostLeft: Bool = true
    ) -> Verdict {
        var state = RequestState()
        state.deadline = Self.deadline
        let hosts = UnsafeMutablePointer<Endpoint>.allocate(capacity: 4)
        defer { hosts.deallocate() }
        for number in 0..<tried { state.tried.insert(hosts + number) }
        return Forwarding.verdict(on: event, of: state, now: now, isHostLeft: isHostLeft)
    }

    @Test func whatWasNotSentGoesElsewhereWhileThereAreAttemptsAndTime() {
        #expect(verdict(.ended(.nothingSent), tried: 1) == .attempt)
        #expect(verdict(.ended(.nothingSent), tried: 2) == .attempt)
        #expect(verdict(.ended(.nothingSent), tried: 3) == .answer(.unreachable))
        #expect(verdict(.ended(.nothingSent), tried: 1, now: Self.deadline) == .answer(.timeout))
    }

    @Test func whatMayHaveBeenReadIsSentAgainOnlyWhereItMayBeDoneTwice() {
        #expect(verdict(.ended(.sent(mayRepeat: false)), tried: 1) == .answer(.lost))
        #expect(verdict(.ended(.sent(mayRepeat: true)), tried: 1) == .attempt)
        #expect(verdict(.ended(.sent(mayRepeat: true)), tried: 3) == .answer(.lost))
        #expect(verdict(.ended(.sent(mayRepeat: true)), tried: 1, now: Self.deadline) == .answer(.lost))
        #expect(verdict(.ended(.answering), tried: 1) == .cut)
    }

    @Test func whatAHostHasNotExecutedGoesElsewhere() {
        #expect(verdict(.answered(.possible), tried: 0) == .pass)
        #expect(verdict(.answered(.refused), tried: 0) == .attempt)
        #expect(verdict(.answered(.refused), tried: 1) == .attempt)
        #expect(verdict(.answered(.refused), tried: 2) == .pass)
        #expect(verdict(.answered(.overloaded), tried: 0) == .attempt)
        #expect(verdict(.answered(.overloaded), tried: 1) == .pass)
        #expect(verdict(.answered(.refused), tried: 0, now: Self.deadline) == .pass)
    }

    @Test func aRequestGoesToAHostWhenItsServiceIsKnownInTime() {
        #expect(verdict(.ready, tried: 0, now: Self.deadline - 1) == .attempt)
        #expect(verdict(.ready, tried: 0, now: Self.deadline) == .answer(.timeout))
        #expect(verdict(.ready, tried: 0, isHostLeft: false) == .answer(.noHost))
        #expect(verdict(.undiscovered, tried: 0) == .answer(.undiscovered))
        #expect(verdict(.undiscovered, tried: 0, now: Self.deadline) == .answer(.timeout))
    }

    @Test func whatCannotBeOpenedHereIsTriedElsewhereAndIsNotTheHosts() {
        #expect(verdict(.exhausted, tried: 1) == .attempt)
        #expect(verdict(.exhausted, tried: 3) == .answer(.exhausted))
        #expect(verdict(.exhausted, tried: 1, isHostLeft: false) == .answer(.exhausted))
        #expect(verdict(.exhausted, tried: 1, now: Self.deadline) == .answer(.timeout))
    }

    @Test func withoutAnotherHostTheEndSaysWhatHasHappened() {
        #expect(verdict(.ended(.nothingSent), tried: 1, isHostLeft: false) == .answer(.unreachable))
        #expect(verdict(.ended(.sent(mayRepeat: true)), tried: 1, isHostLeft: false) == .answer(.lost))
        #expect(verdict(.answered(.refused), tried: 0, isHostLeft: false) == .pass)
        #expect(verdict(.answered(.overloaded), tried: 0, isHostLeft: false) == .pass)
    }

    @Test("A host that only closed a kept connection is not among those tried: it may get the request again")
    func stale() {
        #expect(verdict(.ended(.nothingSent), tried: 0) == .attempt)
        #expect(verdict(.ended(.sent(mayRepeat: true)), tried: 0) == .attempt)
        #expect(verdict(.ended(.sent(mayRepeat: false)), tried: 0) == .answer(.lost))
    }

    @Test func whatIsNoAnswerIsNotAskedForAgain() {
        #expect(verdict(.unreadable, tried: 1) == .answer(.badAnswer))
    }

    @Test func timeOverIsAnsweredAsSuch() {
        #expect(verdict(.timedOut, tried: 0) == .answer(.timeout))
    }
}
