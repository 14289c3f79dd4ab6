/// One run from the start of a worker to its end, or to that of the last one that has taken over.
enum Run {
    /// How a run went.
    struct Result {
        let failure: World.Failure?
        /// Steps that were carried out.
        let performed: [Int]
        let requests: Int
        let turns: Int
    }

    /// More turns than any run needs.
    static let mostTurns = 2_000_000

    /// - Parameters:
    ///   - salt: another order of events for the same steps.
    ///   - steps: indices of the steps to carry out; nil: all.
    ///   - ignored: kinds of failures that are known.
    ///   - trace: told what the worker asks of the system.
    static func run(
        seed: UInt64, salt: UInt64 = 0, steps: [Int]? = nil, ignoring ignored: Set<String> = [],
        trace: ((String) -> Void)? = nil
    ) throws -> Result {
        let plan = Generator.plan(seed: seed)
        let world = try World(plan, seed: seed &+ salt &* 0x1_0000_0001, steps: steps ?? Array(plan.steps.indices))
        world.kernel.trace = trace
        world.ignored = ignored
        let processes = Processes(world)
        var turns = 0
        while processes.isRunning && world.failure == nil {
            try processes.turn()
            turns += 1
            if world.ending.pausesWorker && world.failure == nil { world.inspect(processes.inventory()) }
            if turns > mostTurns { world.fail("never ends", "after \(turns) turns", world.open.first) }
        }
        if world.failure == nil {
            world.finish()
            // Told to end, it ends with what is in flight.
            if world.ending.isStopped {
                processes.tearDown()
                world.finish()
            }
            if let request = world.open.first { world.fail("drain", "a request is cut off", request) }
            if !world.ending.isStopped { processes.tearDown() }
            if world.kernel.openCount > 0 { world.fail("left over", "\(world.kernel.openCount) descriptors", nil) }
            world.checkLog()
        }
        return Result(
            failure: world.failure, performed: world.script.performed, requests: world.finished.count, turns: turns)
    }
}
