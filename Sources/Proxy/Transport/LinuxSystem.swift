import CLinux
import Glibc
import Runtime

/// The system as it is: plain calls, and one epoll set for the worker.
struct LinuxSystem: SystemCalls {
    private let poller: UnsafeMutablePointer<Poller>
    /// Events of one wait.
    private static let mostEvents = 512

    /// A system with an empty epoll set.
    ///
    /// - Throws: `SystemError` when there is no descriptor for the set.
    init() throws {
        let poller = try Poller(capacity: Self.mostEvents)
        self.poller = .allocate(capacity: 1)
        self.poller.initialize(to: poller)
    }

    func end() {
        poller.deinitialize(count: 1)
        poller.deallocate()
    }

    // MARK: Connections

    @inline(__always)
    func receive(_ descriptor: Int32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        Self.result(recv(descriptor, bytes, count, 0))
    }

    @inline(__always)
    func send(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        Self.result(clinux_send(descriptor, bytes, count))
    }

    @inline(__always)
    func sendTwo(
        _ descriptor: Int32, _ first: UnsafeMutablePointer<UInt8>, _ firstCount: Int,
        _ second: UnsafeMutablePointer<UInt8>, _ secondCount: Int
    ) -> Int {
        Self.result(clinux_send_two(descriptor, first, firstCount, second, secondCount))
    }

    /// Takes the error from `errno` while it is still that of this call.
    @inline(__always)
    private static func result(_ count: Int) -> Int { count < 0 ? -Int(errno) : count }

    func endOutput(_ descriptor: Int32) { clinux_end_output(descriptor) }

    func isQuiet(_ descriptor: Int32) -> Bool { clinux_is_quiet(descriptor) != 0 }

    func connect(to address: SocketAddress) -> Int32 {
        do {
            return try Socket.connect(to: address)
        } catch {
            return -error.code
        }
    }

    func connectError(_ descriptor: Int32) -> Int32 { Socket.connectError(descriptor) }

    func accept(_ listener: Int32) -> (descriptor: Int32, peer: SocketAddress) {
        if let accepted = Socket.accept(listener) { return accepted }
        return (-errno, SocketAddress(ipv4: 0, port: 0))
    }

    func keepAlive(_ descriptor: Int32) { Socket.keepAlive(descriptor) }

    @inline(__always)
    func close(_ descriptor: Int32) { Socket.close(descriptor) }

    func reset(_ descriptor: Int32) {
        Socket.resetOnClose(descriptor)
        Socket.close(descriptor)
    }

    // MARK: Readiness

    @inline(__always)
    func watch(_ descriptor: Int32, _ interest: Readiness, token: UInt64) -> Int32 {
        poller.pointee.add(descriptor, interest, token: token) ? 0 : errno
    }

    @inline(__always)
    func rewatch(_ descriptor: Int32, _ interest: Readiness, token: UInt64) {
        poller.pointee.modify(descriptor, interest, token: token)
    }

    func unwatch(_ descriptor: Int32) { poller.pointee.remove(descriptor) }

    @inline(__always)
    func wait(milliseconds: Int32) -> Int { poller.pointee.wait(milliseconds: milliseconds) }

    @inline(__always)
    func isFull(_ count: Int) -> Bool { count >= Self.mostEvents }

    @inline(__always)
    func event(_ index: Int) -> (token: UInt64, readiness: Readiness) { poller.pointee.event(index) }

    // MARK: Time and chance

    @inline(__always)
    var nanoseconds: Int64 { Clock.nanoseconds }

    var threadNanoseconds: Int64 { Clock.threadNanoseconds }

    var wallNanoseconds: Int64 { Clock.wallNanoseconds }

    func randomSeed() -> UInt64 {
        var seed: UInt64 = 0
        getentropy(&seed, MemoryLayout<UInt64>.size)
        return seed
    }

    // MARK: Other threads

    func take<Message>(_ mailbox: Mailbox<Message>) -> [Message] { mailbox.take() }

    func write(_ lines: [UInt8], to log: AccessLog) { log.write(lines) }
}
