import Model
import Runtime
import Testing

@testable import Discovery

@Suite struct AnswerGuardTests {
    private func seconds(_ number: Int64) -> Int64 { number * 1_000_000_000 }

    private func hosts(_ numbers: some Sequence<Int>, weight: Double = 1) -> [Instance] {
        numbers.map { Instance(address: SocketAddress(ip: "10.0.0.\($0)", port: 80)!, weight: weight) }
    }

    private func judge(
        _ answers: inout AnswerGuard, _ numbers: some Sequence<Int>, at time: Int64, unsteadyAt: Int64? = nil,
        limits: AnswerLimits = AnswerLimits()
    ) -> [Instance] {
        answers.judge(hosts(numbers), now: seconds(time), unsteadyAt: unsteadyAt.map(seconds), limits: limits)
    }

    @Test func emptyAnswersNeedNumberAndTime() {
        var answers = AnswerGuard()
        // The first one is believed.
        #expect(judge(&answers, [], at: 0) == [] && !answers.isHolding)
        #expect(judge(&answers, [1], at: 1) == hosts([1]))
        // Enough answers, not enough time; then time, and not enough answers in a row.
        for time in 2...11 { #expect(judge(&answers, [], at: Int64(time)) == hosts([1]) && answers.isHolding) }
        #expect(judge(&answers, [1], at: 12) == hosts([1]) && !answers.isHolding)
        #expect(judge(&answers, [], at: 13) == hosts([1]))
        #expect(judge(&answers, [], at: 40) == hosts([1]))
        #expect(judge(&answers, [], at: 41) == [] && !answers.isHolding)
        #expect(judge(&answers, [], at: 42) == [])
    }

    @Test func aBreakBeginsTheWaitAgain() {
        var answers = AnswerGuard()
        var limits = AnswerLimits()
        limits.settleTime = .seconds(1)
        _ = judge(&answers, [1], at: 0)
        for time in [1, 5, 9] { _ = judge(&answers, [], at: Int64(time), limits: limits) }
        #expect(judge(&answers, [], at: 21, unsteadyAt: 19, limits: limits) == hosts([1]))
        #expect(judge(&answers, [], at: 25, unsteadyAt: 19, limits: limits) == hosts([1]))
        #expect(judge(&answers, [], at: 31, unsteadyAt: 19, limits: limits) == [])
    }

    @Test func fewOfManyAreDoubtedAndNewOnesCount() {
        var answers = AnswerGuard()
        _ = judge(&answers, 1...20, at: 0)
        // A fifth is enough to be believed.
        #expect(judge(&answers, 1...4, at: 1) == hosts(1...4))
        _ = judge(&answers, 1...20, at: 2)
        #expect(judge(&answers, [1, 30], at: 3) == hosts(Array(1...20) + [30]) && answers.isHolding)
        for time in [8, 12] { #expect(judge(&answers, [1, 30], at: Int64(time)).count == 21) }
        #expect(judge(&answers, [1, 30], at: 13) == hosts([1, 30]))
        // Of few hosts nearly all may go.
        _ = judge(&answers, 1...4, at: 20)
        #expect(judge(&answers, [1], at: 21) == hosts([1]))
        // A smaller list in which nobody is missing is no loss.
        #expect(judge(&answers, [1], at: 22) == hosts([1]) && !answers.isHolding)
    }

    @Test func afterABreakHostsAreOnlyAdded() {
        var answers = AnswerGuard()
        func judge(_ answer: [Instance], at time: Int64) -> [Instance] {
            answers.judge(answer, now: seconds(time), unsteadyAt: seconds(100), limits: AnswerLimits())
        }
        #expect(judge(hosts([1, 2]), at: 50) == hosts([1, 2]))
        for time in 101...110 { #expect(judge([], at: Int64(time)) == hosts([1, 2])) }
        let new = hosts([2], weight: 5) + hosts([3])
        #expect(judge(new, at: 111) == hosts([1]) + new && answers.isHolding)
        #expect(judge(new, at: 129) == hosts([1]) + new)
        #expect(judge(new, at: 130) == new && !answers.isHolding)
    }

    @Test func whatIsRememberedIsKnown() {
        var answers = AnswerGuard(remembered: hosts([1, 2]))
        #expect(judge(&answers, [], at: 1) == hosts([1, 2]))
        #expect(judge(&answers, [2], at: 2) == hosts([2]))
    }

    @Test func nothingIsDoubtedWhereNoTimeIsGiven() {
        var answers = AnswerGuard()
        var limits = AnswerLimits()
        limits.confirmTime = .zero
        limits.settleTime = .zero
        _ = judge(&answers, 1...9, at: 0, limits: limits)
        #expect(judge(&answers, [], at: 1, unsteadyAt: 1, limits: limits) == [])
    }
}
