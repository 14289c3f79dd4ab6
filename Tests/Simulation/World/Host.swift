import Runtime

/// A client's connection to a listener.
protocol Client: Peer {
    func send(_ request: Request)
    func halfClose()
    /// Closes without waiting for anything.
    func leaveNow(asReset: Bool)
    func sendGarbage()
    func sendPing()
    /// It has sent a part of a frame and not the rest, and nothing else is open.
    var isWithinFrame: Bool { get }
    /// Nothing that it sends is on its way.
    var owesNothing: Bool { get }
    /// Requests that an answer is awaited for now.
    var waiting: [Request] { get }
}

/// A connection that a host has taken.
protocol HostConnection: Peer {
    var host: Host { get }
    /// No request is in flight on it.
    var isIdle: Bool { get }
    func chatter(_ kind: Chatter)
}

/// A simulated host: it listens, or does not, and its connections treat requests as these are planned.
final class Host {
    enum Mode {
        case up
        case refusing
        case hanging
    }

    /// What a host has ever done wrong.
    struct Faults: OptionSet {
        let rawValue: Int
        static let refused = Faults(rawValue: 1)
        static let broken = Faults(rawValue: 2)
        /// It has sent what nobody asked for.
        static let lying = Faults(rawValue: 4)
        /// The control plane has ejected it for what it answered.
        static let ejected = Faults(rawValue: 8)
    }

    let number: Int
    let service: Int
    let address: SocketAddress
    var mode = Mode.up
    private(set) var faults: Faults = []
    var connections: [HostConnection] = []
    /// Requests that it has answered since the last question.
    var answered = 0

    init(number: Int, service: Int) {
        self.number = number
        self.service = service
        address = SocketAddress(ipv4: 0x0a00_0000 | UInt32(service) << 8 | UInt32(number + 1), port: 80)
    }

    func spoil(_ fault: Faults) { faults.insert(fault) }

    func forgive() { faults = [] }
}
