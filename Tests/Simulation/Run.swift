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
            // Told to end, it ends with what is in flight.
            if world.ending.isStopped {
                worker.tearDown()
                world.finish()
            }
            if let request = world.open.first { world.fail("drain", "a request is cut off", request) }
            if !world.ending.isStopped { worker.tearDown() }
            if world.kernel.openCount > 0 { world.fail("left over", "\(world.kernel.openCount) descriptors", nil) }
            world.checkLog()
        }
        return Result(
            failure: world.failure, performed: world.script.performed, requests: world.finished.count, turns: turns)
    }

    private static func makeWorker(_ world: World) -> Worker<SimulatedSystem> {
        var configuration = Configuration()
        configuration.listeners = []
        configuration.limits.dubboBody = Plan.bodyLimit
        configuration.limits.boltBody = Plan.bodyLimit
        var descriptors: [Int32] = []
        for (number, door) in world.plan.doors.enumerated() {
            let socket = VirtualListener()
            world.listeners[door] = socket
            descriptors.append(world.kernel.listen(socket))
            var (name, forward): (String, SocketAddress?) = (world.plan.kind(of: door).rawValue, nil)
            if case .inbound(let service) = door {
                name = world.plan.services[service].name
                forward = world.hosts[world.plan.services[service].hosts.lowerBound].address
            }
            var listener = ListenerConfiguration(
                name: name, protocol: world.plan.kind(of: door).listenerProtocol,
                address: SocketAddress(ipv4: 0x7f00_0001, port: 8080 + UInt16(number)), forward: forward)
            listener.boltGoaway = forward != nil
            configuration.listeners.append(listener)
        }
        let settings = WorkerSettings(configuration, accessLog: world.plan.hasLog ? log : nil)
        return Worker(
            index: 0, settings: settings, listeners: descriptors, inbox: world.inbox, outbox: world.outbox,
            system: SimulatedSystem(kernel: world.kernel))
    }
}
