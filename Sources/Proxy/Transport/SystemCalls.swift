import Glibc
import Runtime

/// Everything that a worker asks of the system: sockets, readiness, time, chance, messages, log. The release uses `LinuxSystem`
/// alone and is specialised for it; a test can give a worker a system of its own making and drive it turn by turn.
///
/// Calls that can fail return the negative `errno` in place of a result, so that nothing is left behind in a global. A system is
/// a value that stands for something shared: copies mean the same system. The worker ends it.
public protocol SystemCalls {
    // MARK: Connections

    /// Reads; 0 is the end of the stream.
    func receive(_ descriptor: Int32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int
    /// Writes without a signal.
    func send(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int
    /// Writes two stretches of bytes in one call, without a signal.
    func sendTwo(
        _ descriptor: Int32, _ first: UnsafeMutablePointer<UInt8>, _ firstCount: Int,
        _ second: UnsafeMutablePointer<UInt8>, _ secondCount: Int
    ) -> Int
    /// Ends this side's way; the peer's way stays open.
    func endOutput(_ descriptor: Int32)
    /// Whether the peer has neither ended the connection nor sent anything.
    func isQuiet(_ descriptor: Int32) -> Bool
    /// Starts to connect; returns the descriptor. It becomes writable when that has ended; `connectError` tells how.
    func connect(to address: SocketAddress) -> Int32
    /// 0 when the connect that was started has succeeded, else its positive `errno`.
    func connectError(_ descriptor: Int32) -> Int32
    /// Takes one waiting connection.
    func accept(_ listener: Int32) -> (descriptor: Int32, peer: SocketAddress)
    /// Has the system find out about peers that have vanished.
    func keepAlive(_ descriptor: Int32)
    /// Closes a descriptor.
    func close(_ descriptor: Int32)
    /// Closes a descriptor so that the peer sees a reset and not an end.
    func reset(_ descriptor: Int32)

    // MARK: Readiness

    /// Watches a descriptor; `token` comes back with each event. Returns 0, or the `errno` of what there is no room for.
    @discardableResult
    func watch(_ descriptor: Int32, _ interest: Readiness, token: UInt64) -> Int32
    /// Changes what a descriptor is watched for.
    func rewatch(_ descriptor: Int32, _ interest: Readiness, token: UInt64)
    /// Stops watching a descriptor; closing it does the same.
    func unwatch(_ descriptor: Int32)
    /// Waits for events; returns how many there are.
    func wait(milliseconds: Int32) -> Int
    /// Whether a wait that has told so many events may have left others that were ready.
    func isFull(_ count: Int) -> Bool
    /// The event at `index` of the last wait.
    func event(_ index: Int) -> (token: UInt64, readiness: Readiness)

    // MARK: Time and chance

    /// Monotonic time.
    var nanoseconds: Int64 { get }
    /// Processor time of this thread.
    var threadNanoseconds: Int64 { get }
    /// Time since 1970.
    var wallNanoseconds: Int64 { get }
    /// What a worker's random numbers begin with.
    func randomSeed() -> UInt64

    // MARK: Other threads

    /// Takes all messages of a mailbox, oldest first.
    func take<Message>(_ mailbox: Mailbox<Message>) -> [Message]
    /// Hands whole lines to the access log.
    func write(_ lines: [UInt8], to log: AccessLog)

    /// Gives back what the system itself holds; nothing is asked of it after this.
    func end()
}

extension Int {
    /// The `errno` in a negative result of a system call.
    @inline(__always)
    var errorCode: Int32 { Int32(truncatingIfNeeded: -self) }

    /// Whether a system call has failed in a way that the next event makes good.
    @inline(__always)
    var isAgain: Bool { self == -Int(EAGAIN) || self == -Int(EINTR) }
}
