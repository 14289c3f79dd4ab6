import CLinux
import Glibc

/// What a descriptor is ready for.
public struct Readiness: OptionSet, Sendable {
    /// The epoll mask.
    public let rawValue: UInt32
    /// Wraps an epoll mask.
    @inline(__always)
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Data, end of stream or a new connection waits.
    public static let readable = Readiness(rawValue: 0x001)
    /// Writing will not block.
    public static let writable = Readiness(rawValue: 0x004)
    /// An error waits; reported without being asked for.
    public static let error = Readiness(rawValue: 0x008)
    /// Both directions are closed; reported without being asked for.
    public static let hangUp = Readiness(rawValue: 0x010)
    /// The peer will send nothing more.
    public static let peerClosed = Readiness(rawValue: 0x2000)
}

/// A level-triggered epoll set. Tokens are the caller's and come back with each event.
public struct Poller: ~Copyable {
    private let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private let capacity: Int32

    /// Creates an empty set that reports up to `capacity` events a wait.
    public init(capacity: Int = 256) throws {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError("create an epoll set") }
        events = .allocate(capacity: capacity)
        self.capacity = Int32(capacity)
    }

    deinit {
        events.deallocate()
        close(descriptor)
    }

    /// Adds a descriptor. Errors: the set is full or the descriptor cannot be polled.
    @discardableResult
    public func add(_ descriptor: Int32, _ interest: Readiness, token: UInt64) -> Bool {
        clinux_epoll_control(self.descriptor, EPOLL_CTL_ADD, descriptor, interest.rawValue, token) == 0
    }

    /// Changes what a descriptor is watched for. Fails when it is not in the set (any more).
    @discardableResult
    public func modify(_ descriptor: Int32, _ interest: Readiness, token: UInt64) -> Bool {
        clinux_epoll_control(self.descriptor, EPOLL_CTL_MOD, descriptor, interest.rawValue, token) == 0
    }

    /// Stops watching a descriptor; closing it does the same.
    public func remove(_ descriptor: Int32) {
        _ = clinux_epoll_control(self.descriptor, EPOLL_CTL_DEL, descriptor, 0, 0)
    }

    /// Waits for events; returns how many there are, 0 when time ran out or a signal came.
    ///
    /// - Parameter milliseconds: -1 waits for ever, 0 not at all.
    @inline(__always)
    public func wait(milliseconds: Int32) -> Int {
        Int(max(0, epoll_wait(descriptor, events, capacity, milliseconds)))
    }

    /// The event at `index` of the last wait.
    @inline(__always)
    public func event(_ index: Int) -> (token: UInt64, readiness: Readiness) {
        (
            clinux_event_token(events, Int32(truncatingIfNeeded: index)),
            Readiness(rawValue: clinux_event_mask(events, Int32(truncatingIfNeeded: index)))
        )
    }
}
