import Glibc
import Runtime

/// What happens outside of the worker, as far as the kernel needs it.
protocol Surroundings: AnyObject {
    /// The worker looks for events: whatever happens before they are collected happens now.
    func beforeEvents()
    /// Nothing is ready and the worker waits until `limit`. Lets something happen or time pass; false when there is nothing more
    /// to happen until then.
    func whileIdle(until limit: Int64) -> Bool
    /// Somebody connects.
    func connect(_ socket: VirtualSocket, to address: SocketAddress)
}

/// Simulated descriptors, readiness and time of the workers of one process or several. All chance comes from one generator.
final class Kernel {
    private struct Entry {
        enum Kind {
            case socket(VirtualSocket)
            case listener(VirtualListener)
        }

        let kind: Kind
        /// The process that has it.
        let owner: Int
        var interest: Readiness?
        var token: UInt64 = 0
    }

    /// Far away from real descriptors: mailboxes have real ones.
    static let firstDescriptor: Int32 = 100_000

    var now: Int64 = 1_000_000_000_000
    /// The next wait ends at once and tells nothing: so it does on Linux when the process was stopped meanwhile.
    var isInterrupted = false
    /// Events of the last wait that were ready beside those that it tells: it holds only so many.
    private(set) var isFull = false
    /// Work takes no time at all.
    var isTimeStopped = false
    var random: FastRandom
    unowned var surroundings: Surroundings!
    /// Errors that the next connects and accepts meet.
    var connectFailures: [Int32] = []
    var acceptFailures: [Int32] = []
    /// When one of them was last met.
    private(set) var failedAt: Int64 = 0
    /// Of 256 reads and writes so many are cut short, and so many find nothing though something is there.
    var shortness: UInt64 = 0
    var emptiness: UInt64 = 0
    var bufferSize = 65_536
    /// Of 256 turns so many take up to `longestWork` of time.
    var slowness: UInt64 = 0
    /// Less than what a worker takes for a stop.
    private static let longestWork: UInt64 = 40_000_000
    /// Told what the worker asks for, line by line.
    var trace: ((String) -> Void)?
    /// Whole lines of the access log.
    private(set) var log: [UInt8] = []

    /// The process whose worker has its turn: what is asked, that one asks.
    var process = 0
    /// Several processes take turns: none of them waits within its turn.
    var isShared = false
    /// Until when a process that has nothing to do waits; those that do not wait are not there. Only while turns are taken.
    var waits: [Int: Int64] = [:]

    private var table: [Entry?] = []
    private var mailboxes: [(descriptor: Int32, token: UInt64, isReady: Bool, owner: Int)] = []
    private var events: [(token: UInt64, readiness: Readiness)] = []

    init(seed: UInt64) { random = FastRandom(seed: seed) }

    /// Descriptors in use.
    var openCount: Int { table.count { $0 != nil } }

    /// Something was put into a mailbox.
    func wake(_ descriptor: Int32) {
        for index in mailboxes.indices where mailboxes[index].descriptor == descriptor {
            mailboxes[index].isReady = true
        }
    }

    func listen(_ listener: VirtualListener) -> Int32 { insert(.listener(listener)) }

    // MARK: Calls

    func receive(_ descriptor: Int32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        let result = read(descriptor, bytes, count)
        trace?("receive(\(descriptor), \(count)) = \(result)")
        return result
    }

    private func read(_ descriptor: Int32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        guard let socket = socket(descriptor) else { return -Int(EBADF) }
        if random.below(256) < emptiness { return -Int(random.below(4) == 0 ? EINTR : EAGAIN) }
        switch socket.receive(atMost: shorten(count)) {
        case .success(let received):
            received.withUnsafeBufferPointer { source in
                if let base = source.baseAddress { memcpy(bytes, base, source.count) }
            }
            return received.count
        case .failure(let failure): return -Int(failure.code)
        }
    }

    func send(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        // Of a connection that another process has: that this fails is relied upon.
        if descriptor == -1 { return -Int(EBADF) }
        guard let socket = socket(descriptor) else { return -Int(EBADF) }
        // The peer's room decides, and sometimes chance.
        let result = socket.send(bytes, shorten(count))
        trace?("send(\(descriptor), \(count)) = \(result)")
        return result
    }

    private func shorten(_ count: Int) -> Int {
        if count > 1 && random.below(256) < shortness { return 1 + Int(random.below(UInt64(min(count, 4096)))) }
        return count
    }

    func isQuiet(_ descriptor: Int32) -> Bool { socket(descriptor).map { !$0.hasNews && !$0.isReset } ?? false }

    func endOutput(_ descriptor: Int32) {
        trace?("endOutput(\(descriptor))")
        socket(descriptor)?.endOutput()
    }

    func connect(to address: SocketAddress) -> Int32 {
        if !connectFailures.isEmpty {
            failedAt = now
            return -connectFailures.removeFirst()
        }
        let socket = VirtualSocket(capacity: bufferSize)
        socket.phase = .connecting
        surroundings.connect(socket, to: address)
        let descriptor = insert(.socket(socket))
        trace?("connect(\(address)) = \(descriptor)")
        return descriptor
    }

    func connectError(_ descriptor: Int32) -> Int32 { socket(descriptor)?.takeError().code ?? EBADF }

    func accept(_ descriptor: Int32) -> (descriptor: Int32, peer: SocketAddress) {
        let nobody = SocketAddress(ipv4: 0, port: 0)
        guard case .listener(let listener)? = entry(descriptor)?.kind else { return (-EBADF, nobody) }
        if listener.waiting.isEmpty { return (-EAGAIN, nobody) }
        if !acceptFailures.isEmpty {
            failedAt = now
            return (-acceptFailures.removeFirst(), nobody)
        }
        let (socket, peer) = listener.waiting.removeFirst()
        let accepted = insert(.socket(socket))
        trace?("accept() = \(accepted)")
        return (accepted, peer)
    }

    func close(_ descriptor: Int32, asReset: Bool = false) {
        guard let entry = entry(descriptor) else { return complain("descriptor \(descriptor) is closed twice") }
        trace?("close(\(descriptor)\(asReset ? ", as reset" : ""))")
        switch entry.kind {
        case .socket(let socket): asReset ? socket.reset() : socket.close()
        case .listener(let listener):
            if references(to: listener) == 1 { for (socket, _) in listener.waiting { socket.reset() } }
        }
        table[Int(descriptor - Self.firstDescriptor)] = nil
    }

    private func references(to listener: VirtualListener) -> Int {
        table.count { if case .listener(let other)? = $0?.kind { other === listener } else { false } }
    }

    /// What was done wrong with descriptors.
    private(set) var complaints: [String] = []

    private func complain(_ text: String) { complaints.append(text) }

    // MARK: Readiness

    func watch(_ descriptor: Int32, _ interest: Readiness, _ token: UInt64) {
        trace?("watch(\(descriptor), \(interest.rawValue))")
        if descriptor < Self.firstDescriptor {
            mailboxes.append((descriptor, token, true, process))
        } else if entry(descriptor) != nil {
            table[Int(descriptor - Self.firstDescriptor)]?.interest = interest
            table[Int(descriptor - Self.firstDescriptor)]?.token = token
        } else {
            complain("descriptor \(descriptor) is watched and not open")
        }
    }

    func unwatch(_ descriptor: Int32) {
        if entry(descriptor) != nil { table[Int(descriptor - Self.firstDescriptor)]?.interest = nil }
    }

    func wait(milliseconds: Int32) -> Int {
        surroundings.beforeEvents()
        collect()
        // When others had turns, it has waited for some time already.
        let begun = waits.removeValue(forKey: process)
        if milliseconds != 0 {
            let limit = min(now + Int64(milliseconds) * 1_000_000, begun ?? .max)
            // A second process may appear meanwhile.
            while events.isEmpty && !isShared && surroundings.whileIdle(until: limit) { collect() }
            // One whose time is over has its turn, and then waits anew.
            if isShared && events.isEmpty && limit > now { waits[process] = limit }
        }
        isFull = false
        if isInterrupted {
            isInterrupted = false
            events.removeAll(keepingCapacity: true)
        } else if events.count > 1 {
            choose()
        }
        trace?(
            "wait(\(milliseconds)) = \(events.map { String($0.readiness.rawValue, radix: 16) }) at \(now / 1_000_000) ms"
        )
        passSomeTime()
        passMoreTime()
        return events.count
    }

    /// Some turns take long in some runs: what was left out of their events waits for as long.
    private func passMoreTime() {
        if slowness == 0 || isTimeStopped || random.below(256) >= slowness { return }
        now += Int64(random.below(Self.longestWork))
    }

    /// Work takes time.
    func passSomeTime() {
        if !isTimeStopped { now += Int64(random.below(20_000)) }
    }

    func event(_ index: Int) -> (token: UInt64, readiness: Readiness) { events[index] }

    private func collect() {
        events.removeAll(keepingCapacity: true)
        for mailbox in mailboxes where mailbox.isReady && mailbox.owner == process {
            events.append((mailbox.token, .readable))
        }
        for case let entry? in table where entry.owner == process {
            guard let interest = entry.interest else { continue }
            let ready: Readiness
            switch entry.kind {
            case .socket(let socket): ready = socket.readiness.intersection(interest.union([.error, .hangUp]))
            case .listener(let listener): ready = listener.waiting.isEmpty ? [] : .readable
            }
            if !ready.isEmpty { events.append((entry.token, ready)) }
        }
    }

    /// A random order, and sometimes only some.
    private func choose() {
        events.shuffle(using: &random)
        if random.below(3) > 0 { return }
        let left = Int(random.below(UInt64(events.count)))
        events.removeLast(left)
        isFull = left > 0
    }

    func take<Message>(_ mailbox: Mailbox<Message>) -> [Message] {
        for index in mailboxes.indices where mailboxes[index].descriptor == mailbox.descriptor {
            mailboxes[index].isReady = false
        }
        return mailbox.take()
    }

    func write(_ lines: [UInt8]) { log += lines }

    // MARK: Descriptors

    private func entry(_ descriptor: Int32) -> Entry? {
        let index = Int(descriptor - Self.firstDescriptor)
        guard table.indices.contains(index), let entry = table[index], entry.owner == process else { return nil }
        return entry
    }

    private func socket(_ descriptor: Int32) -> VirtualSocket? {
        guard case .socket(let socket)? = entry(descriptor)?.kind else {
            complain("descriptor \(descriptor) is used and not an open connection")
            return nil
        }
        return socket
    }

    /// The lowest free number, as Linux does it: events and calls that are too late meet another connection.
    private func insert(_ kind: Entry.Kind) -> Int32 {
        let index = table.firstIndex { $0 == nil } ?? table.count
        if index == table.count { table.append(nil) }
        table[index] = Entry(kind: kind, owner: process)
        return Self.firstDescriptor + Int32(index)
    }

    // MARK: Processes

    /// Whether a process has something to do now.
    func isDue(_ number: Int) -> Bool {
        guard let end = waits[number], end > now else { return true }
        return within(number) {
            collect()
            return !events.isEmpty
        }
    }

    /// Takes a connection from the process that has it: it is on its way to another one.
    func take(_ descriptor: Int32, from number: Int) -> VirtualSocket? {
        within(number) {
            guard let entry = entry(descriptor), case .socket(let socket) = entry.kind else {
                complain("descriptor \(descriptor) is given and not an open connection")
                return nil
            }
            if entry.interest != nil { complain("descriptor \(descriptor) is given and still watched") }
            table[Int(descriptor - Self.firstDescriptor)] = nil
            return socket
        }
    }

    /// A connection arrives at a process.
    func give(_ socket: VirtualSocket, to number: Int) -> Int32 { within(number) { insert(.socket(socket)) } }

    /// A process has ended: its listening sockets are closed for it. Returns how many connections it has left open.
    func end(_ number: Int) -> Int {
        within(number) {
            waits[number] = nil
            mailboxes.removeAll { $0.owner == number }
            var left = 0
            for index in table.indices {
                guard let entry = table[index], entry.owner == number else { continue }
                if case .socket = entry.kind { left += 1 }
                close(Self.firstDescriptor + Int32(index))
            }
            return left
        }
    }

    private func within<Result>(_ number: Int, _ body: () -> Result) -> Result {
        let before = process
        defer { process = before }
        process = number
        return body()
    }
}
