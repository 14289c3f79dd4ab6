import Testing

@testable import simulate

@Suite struct SimulationTests {
    /// Some of the seeds that `scripts/simulate` runs, which also shrinks what fails, and some beyond them that have found faults.
    @Test(arguments: Array(1...60) + [22_021, 1781] as [UInt64])
    func nothingGoesWrong(_ seed: UInt64) throws {
        let failure = try Run.run(seed: seed).failure
        #expect(failure == nil, "\(failure?.text ?? ""): scripts/simulate --seed \(seed)")
    }

    /// What a seed does must not depend on anything else: a failure would not be seen again.
    @Test(arguments: [3, 14, 15] as [UInt64])
    func theSameSeedRunsTheSameWay(_ seed: UInt64) throws {
        let first = try Run.run(seed: seed)
        let second = try Run.run(seed: seed)
        #expect(first.turns == second.turns)
        #expect(first.performed == second.performed)
        #expect(first.requests == second.requests)
        #expect(first.failure?.text == second.failure?.text)
    }
}
