import Configuration
import Proxy
import Runtime

/// The processes of a run: one, and two while one takes over from the other. They take turns.
final class Processes {
    /// A process with one worker.
    private final class Process {
        let line: Line
        var worker: Worker<SimulatedSystem>

        init(_ line: Line, _ worker: consuming Worker<SimulatedSystem>) {
            self.line = line
            self.worker = worker
        }

        var number: Int { line.process }
    }

    /// The log's lines go to the kernel; this only says that there is one.
    private static let log = try? AccessLog(path: "/dev/null")

    private let world: World
    /// The oldest first.
    private var all: [Process] = []

    init(_ world: World) {
        self.world = world
        for door in world.plan.doors { world.listeners[door] = VirtualListener() }
        start(world.lines[0], accepts: true)
    }

    /// Whether another turn is to follow.
    var isRunning: Bool { current.worker.running }

    private var current: Process { all[all.count - 1] }

    func inventory() -> Inventory { current.worker.inventory() }

    /// Ends the process that serves.
    func tearDown() { current.worker.tearDown() }

    /// One turn of a worker that has something to do.
    func turn() throws {
        if all.count == 1 { turn(current) } else { takeTurns() }
        if all.count > 1 && !all[0].worker.running { endFirst() }
        if all.count == 1 && world.startsUpgrade {
            let line = try Line(process: current.number + 1)
            start(line, accepts: false)
            world.introduce(line)
        }
    }

    private func turn(_ process: Process) {
        world.kernel.process = process.number
        process.worker.turn()
    }

    private func takeTurns() {
        let kernel = world.kernel
        let due = all.filter { kernel.isDue($0.number) }
        if let next = due.randomElement(using: &kernel.random) { return turn(next) }
        world.upgrade.isReady = true
        let limit = kernel.waits.values.min() ?? kernel.now
        if !world.whileIdle(until: limit) { kernel.waits = [:] }
    }

    private func start(_ line: Line, accepts: Bool) {
        world.kernel.process = line.process
        all.append(Process(line, makeWorker(line, accepts: accepts)))
        world.kernel.isShared = all.count > 1
    }

    // MARK: The end of the one that was replaced

    /// Turns in which a worker must have told what it has counted.
    private static let mostTurns = 10_000

    private func endFirst() {
        let old = all[0]
        world.takeEvents()
        world.post(.report(id: World.reportOfReplaced), to: old.line)
        // The other one does not wait for it.
        let wasTimeStopped = world.kernel.isTimeStopped
        world.kernel.isTimeStopped = true
        defer { world.kernel.isTimeStopped = wasTimeStopped }
        var turns = 0
        while !world.upgrade.hasReport && turns < Self.mostTurns && world.failure == nil {
            turn(old)
            world.takeEvents()
            turns += 1
        }
        world.inspectReplaced(old.worker.inventory(), isTornDown: false)
        world.kernel.process = old.number
        old.worker.tearDown()
        world.takeEvents()
        world.inspectReplaced(old.worker.inventory(), isTornDown: true)
        let left = world.kernel.end(old.number)
        if left > 0 { world.fail("left over", "\(left) descriptors of the process that was replaced", nil) }
        all.removeFirst()
        world.kernel.isShared = false
        world.dismiss()
    }

    // MARK: Making one

    private func makeWorker(_ line: Line, accepts: Bool) -> Worker<SimulatedSystem> {
        var configuration = Configuration()
        configuration.listeners = []
        configuration.limits.dubboBody = Plan.bodyLimit
        configuration.limits.boltBody = Plan.bodyLimit
        var descriptors: [Int32] = []
        for (number, door) in world.plan.doors.enumerated() {
            if let listener = world.listeners[door] { descriptors.append(world.kernel.listen(listener)) }
            var forward: SocketAddress?
            if case .inbound(let service) = door {
                forward = world.hosts[world.plan.services[service].hosts.lowerBound].address
            }
            var listener = ListenerConfiguration(
                name: world.listenerName(door), protocol: world.plan.kind(of: door).listenerProtocol,
                address: SocketAddress(ipv4: 0x7f00_0001, port: 8080 + UInt16(number)), forward: forward)
            listener.boltGoaway = forward != nil
            configuration.listeners.append(listener)
        }
        var settings = WorkerSettings(configuration, accessLog: world.plan.hasLog ? Self.log : nil)
        settings.accepts = accepts
        return Worker(
            index: 0, settings: settings, listeners: descriptors, inbox: line.inbox, outbox: line.outbox,
            system: SimulatedSystem(kernel: world.kernel))
    }
}

extension World {
    func listenerName(_ door: Door) -> String {
        if case .inbound(let service) = door { return plan.services[service].name }
        return plan.kind(of: door).rawValue
    }
}
