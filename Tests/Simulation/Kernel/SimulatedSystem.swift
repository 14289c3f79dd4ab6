import Proxy
import Runtime

/// A simulated kernel as a worker's system.
struct SimulatedSystem: SystemCalls {
    let kernel: Kernel

    func receive(_ descriptor: Int32, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        kernel.receive(descriptor, bytes, count)
    }

    func send(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        kernel.send(descriptor, bytes, count)
    }

    func sendTwo(
        _ descriptor: Int32, _ first: UnsafeMutablePointer<UInt8>, _ firstCount: Int,
        _ second: UnsafeMutablePointer<UInt8>, _ secondCount: Int
    ) -> Int {
        let sent = kernel.send(descriptor, first, firstCount)
        if sent < firstCount { return sent }
        return sent + max(0, kernel.send(descriptor, second, secondCount))
    }

    func endOutput(_ descriptor: Int32) { kernel.endOutput(descriptor) }
    func isQuiet(_ descriptor: Int32) -> Bool { kernel.isQuiet(descriptor) }
    func connect(to address: SocketAddress) -> Int32 { kernel.connect(to: address) }
    func connectError(_ descriptor: Int32) -> Int32 { kernel.connectError(descriptor) }
    func accept(_ listener: Int32) -> (descriptor: Int32, peer: SocketAddress) { kernel.accept(listener) }
    func keepAlive(_ descriptor: Int32) {}
    func close(_ descriptor: Int32) { kernel.close(descriptor) }
    func reset(_ descriptor: Int32) { kernel.close(descriptor, asReset: true) }

    func watch(_ descriptor: Int32, _ interest: Readiness, token: UInt64) -> Int32 {
        kernel.watch(descriptor, interest, token)
        return 0
    }
    func rewatch(_ descriptor: Int32, _ interest: Readiness, token: UInt64) {
        kernel.watch(descriptor, interest, token)
    }
    func unwatch(_ descriptor: Int32) { kernel.unwatch(descriptor) }
    func wait(milliseconds: Int32) -> Int { kernel.wait(milliseconds: milliseconds) }
    func isFull(_ count: Int) -> Bool { kernel.isFull }
    func event(_ index: Int) -> (token: UInt64, readiness: Readiness) { kernel.event(index) }

    /// Time passes with every look at it, so that work that is done in steps is interrupted now and then.
    var nanoseconds: Int64 {
        kernel.passSomeTime()
        return kernel.now
    }
    var threadNanoseconds: Int64 { kernel.now }
    var wallNanoseconds: Int64 { kernel.now + 1_700_000_000_000_000_000 }
    func randomSeed() -> UInt64 { kernel.random.next() }

    func take<Message>(_ mailbox: Mailbox<Message>) -> [Message] { kernel.take(mailbox) }
    func write(_ lines: [UInt8], to log: AccessLog) { kernel.write(lines) }

    func end() {}
}
