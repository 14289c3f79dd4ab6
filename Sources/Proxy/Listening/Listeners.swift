import Configuration
import Glibc
import Model
import Runtime

/// An address that applications connect to, in one worker.
struct Listener {
    let configuration: ListenerConfiguration
    /// -1 when it is closed.
    var descriptor: Int32
    /// Connections accepted since the start.
    var accepted: UInt64 = 0
    /// Connections open now.
    var open = 0
    /// Inbound: the application that all requests go to. Nil: they name their service.
    var application: UnsafeMutablePointer<Service>?
    /// Not watched because the process has no descriptors left.
    var isPaused = false
    /// Its connections go to another process.
    var isGiven = false
}

extension ListenerConfiguration {
    /// What an inbound listener's application is known as. It is found by the listener alone: no request can name it.
    public var serviceKey: ServiceKey {
        ServiceKey(kind: ServiceKey.Kind(`protocol`), name: "listener:\(name)")
    }
}

extension Worker {
    /// Takes the connections that wait, but not so many that others starve.
    mutating func acceptConnections(_ number: Int) {
        if listeners[number].descriptor < 0 { return }
        for _ in 0..<64 {
            let (descriptor, peer) = accept(number)
            if descriptor < 0 {
                let error = -descriptor
                if error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM {
                    pauseListener(number, error: error)
                }
                return
            }
            listeners[number].accepted += 1
            listeners[number].open += 1
            switch listeners[number].configuration.protocol {
            case .http: openDownstream(descriptor, peer: peer, listener: number)
            case .dubbo: openDownstream(dubbo, descriptor, peer: peer, listener: number)
            case .bolt: openDownstream(bolt, descriptor, peer: peer, listener: number)
            }
        }
    }

    /// A full descriptor table would make the loop spin; the next second tries again.
    private mutating func pauseListener(_ number: Int, error: Int32) {
        unwatchListener(number)
        listeners[number].isPaused = true
        note(
            .badInput(
                listener: listeners[number].configuration.name, peer: "-",
                reason: "accept: " + SystemError.text(of: error)))
    }

    mutating func resumeListeners() {
        for number in listeners.indices where listeners[number].isPaused && listeners[number].descriptor >= 0 {
            listeners[number].isPaused = false
            watchListener(number)
        }
    }

    /// Watches the listening sockets.
    func beginAccepting() {
        for number in listeners.indices where listeners[number].descriptor >= 0 { watchListener(number) }
    }

    /// Another process accepts from now on: its copies of the sockets keep what waits in them. The other listeners close.
    mutating func leaveListeners() {
        for number in listeners.indices where listeners[number].descriptor >= 0 && listeners[number].isGiven {
            unwatchListener(number)
        }
        closeListeners()
    }

    /// Takes the connections that wait, which closing would reset, and closes. What waits in a socket that another process has as
    /// well is that process's.
    mutating func closeListeners() {
        for number in listeners.indices where listeners[number].descriptor >= 0 {
            if listeners[number].isGiven {
                // Open until the process ends: where the other process ends first, a third one needs it.
                listeners[number].descriptor = -1
                continue
            }
            var before: UInt64
            repeat {
                before = listeners[number].accepted
                acceptConnections(number)
            } while listeners[number].accepted > before
            closeListener(number)
        }
    }
}
