import CLinux
import Glibc
import Runtime

/// A blocking TCP connection for tests; every call gives up after a few seconds. Closes itself.
public final class Connection: Sendable {
    /// The socket.
    public let descriptor: Int32

    /// Takes over a connected socket.
    public init(descriptor: Int32) {
        self.descriptor = descriptor
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK)
        setTimeout(seconds: 10)
    }

    /// Connects.
    ///
    /// - Parameter receiveBuffer: size of the kernel's buffer in bytes, to make a slow reader felt; nil is the default.
    public convenience init(to address: SocketAddress, receiveBuffer: Int32? = nil) throws {
        let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
        if let receiveBuffer { clinux_set_int_option(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
        guard address.withPointer({ Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let error = SystemError("connect to \(address)")
            Glibc.close(descriptor)
            throw error
        }
        self.init(descriptor: descriptor)
    }

    deinit { Glibc.close(descriptor) }

    private func setTimeout(seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }

    /// Sends all bytes; false when the peer is gone or does not read.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let sent = bytes.withUnsafeBytes {
                clinux_send(descriptor, $0.baseAddress! + offset, bytes.count - offset)
            }
            if sent <= 0 { return false }
            offset += sent
        }
        return true
    }

    /// Sends a text.
    @discardableResult
    public func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// Receives what is there, at least one byte; empty: the peer has ended or nothing came in time.
    public func receive(atMost limit: Int = 65_536) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &bytes, limit, 0)
        return Array(bytes.prefix(max(0, count)))
    }

    /// Receives until the peer ends.
    public func receiveAll() -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let part = receive()
            if part.isEmpty { return all }
            all += part
        }
    }

    /// Receives until the text ends with `suffix`, or the peer ends.
    public func receive(until suffix: String) -> String {
        var all: [UInt8] = []
        let end = Array(suffix.utf8)
        while !all.hasSuffix(end) {
            let part = receive(atMost: 1)
            if part.isEmpty { break }
            all += part
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// Receives exactly so many bytes, or fewer when the peer ends.
    public func receive(exactly count: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count {
            let part = receive(atMost: count - all.count)
            if part.isEmpty { break }
            all += part
        }
        return all
    }

    /// Whether there is something to be received.
    public var hasInput: Bool { clinux_is_quiet(descriptor) == 0 }

    /// Ends this side's way.
    public func endOutput() { clinux_end_output(descriptor) }

    /// Whether the peer's kernel has this side's end, and with it everything before: a busy machine may take its time even on the
    /// loopback interface. The first byte of `tcp_info` is the state (`tcp(7)`).
    public var isEndArrived: Bool {
        var (state, size) = (UInt8(0), socklen_t(1))
        getsockopt(descriptor, SOL_TCP, TCP_INFO, &state, &size)
        let finWait2: UInt8 = 5
        return state == finWait2
    }

    /// Makes closing reset the connection.
    public func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}

extension Array where Element == UInt8 {
    func hasSuffix(_ suffix: [UInt8]) -> Bool {
        count >= suffix.count && self[(count - suffix.count)...] == suffix[...]
    }
}
