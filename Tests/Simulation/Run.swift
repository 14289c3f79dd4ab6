import Configuration
import Proxy
import Runtime

/// One run of one worker from its start to its end.
enum Run {
    /// How a run went.
    struct Result {
        let failure: World.Failure?
        /// Steps that were carried out.
        let performed: [Int]
        let requests: Int
        let turns: Int
    }

    /// The log's lines go to the kernel; this only says that there is one.
    private static let log = try? AccessLog(path: "/dev/null")

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
        var worker = makeWorker(world)
        var turns = 0
        while worker.running && world.failure == nil {
            worker.turn()
            turns += 1
            if world.ending.pausesWorker && world.failure == nil { world.inspect(worker.inventory()) }
            if turns > mostTurns { world.fail("never ends", "after \(turns) turns", world.open.first) }
        }
        if world.failure == nil {
            world.finish()
            if let request = world.open.first { world.fail("drain", "a request is cut off", request) }
            worker.tearDown()
            if world.kernel.openCount > 0 { world.fail("left over", "\(world.kernel.openCount) descriptors", nil) }
            world.checkLog()
        }
        return Result(
            failure: world.failure, performed: world.script.performed, requests: world.finished.count, turns: turns)
    }

    private static func makeWorker(_ world: World) -> Worker<SimulatedSystem> {
        var configuration = Configuration()
        configuration.listeners = []
        var descriptors: [Int32] = []
        for kind in [ServicePlan.Kind.http, .dubbo] {
            let listener = VirtualListener()
            world.listeners[kind] = listener
            descriptors.append(world.kernel.listen(listener))
            configuration.listeners.append(
                ListenerConfiguration(
                    name: kind.rawValue, protocol: kind == .http ? .http : .dubbo,
                    address: SocketAddress(ipv4: 0x7f00_0001, port: kind == .http ? 8080 : 20880)))
        }
        let settings = WorkerSettings(configuration, accessLog: world.plan.hasLog ? log : nil)
        return Worker(
            index: 0, settings: settings, listeners: descriptors, inbox: world.inbox, outbox: world.outbox,
            system: SimulatedSystem(kernel: world.kernel))
    }
}
