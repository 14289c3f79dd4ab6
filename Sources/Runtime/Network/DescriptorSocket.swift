import CLinux
import Glibc

/// A local socket between two processes that carries bytes and descriptors. Does not block.
public enum DescriptorSocket {
    /// Most descriptors that go with one piece of bytes.
    public static let mostDescriptors = Int(CLINUX_MOST_DESCRIPTORS)

    /// What `receive` has come to.
    public enum Received {
        /// Bytes and descriptors, at least one byte. The descriptors are the receiver's to close.
        case bytes(Int, descriptors: [Int32])
        /// Nothing is there now.
        case nothing
        /// The peer has ended, or the socket is broken.
        case end
    }

    /// Two sockets that are connected with each other; child processes do not inherit them.
    ///
    /// - Throws: `SystemError` when there are no descriptors left.
    public static func pair() throws(SystemError) -> (own: Int32, other: Int32) {
        var ends: [Int32] = [-1, -1]
        guard clinux_socket_pair(&ends) == 0 else { throw SystemError("create a pair of sockets") }
        return (ends[0], ends[1])
    }

    /// Sends bytes, and copies of descriptors, at most `mostDescriptors`, with the first of them.
    ///
    /// - Returns: how many bytes were taken; all descriptors go with the first byte. Negative: the `errno`.
    public static func send(_ socket: Int32, _ bytes: ArraySlice<UInt8>, descriptors: [Int32]) -> Int {
        let count = bytes.withUnsafeBytes { bytes in
            clinux_send_descriptors(socket, bytes.baseAddress, bytes.count, descriptors, Int32(descriptors.count))
        }
        return count < 0 ? -Int(errno) : count
    }

    /// Receives what is there, up to the room of `buffer`.
    public static func receive(_ socket: Int32, into buffer: inout [UInt8]) -> Received {
        var descriptors = [Int32](repeating: -1, count: mostDescriptors)
        var found: Int32 = 0
        let count = buffer.withUnsafeMutableBytes {
            clinux_receive_descriptors(socket, $0.baseAddress, $0.count, &descriptors, &found)
        }
        if count > 0 { return .bytes(count, descriptors: Array(descriptors.prefix(Int(found)))) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? .nothing : .end
    }

    /// Makes a descriptor that another process has left non-blocking, and closed on exec.
    ///
    /// - Returns: false where it is no descriptor of a socket.
    public static func adopt(_ descriptor: Int32) -> Bool {
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK else { return false }
        let flags = fcntl(descriptor, F_GETFL)
        return fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
    }

    /// Another descriptor of the same socket, closed on exec.
    ///
    /// - Throws: `SystemError` when there are none left.
    public static func copy(_ descriptor: Int32) throws(SystemError) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemError("copy a descriptor") }
        return copy
    }

    /// The same for several: all of them, or none.
    public static func copies(of descriptors: [Int32]) throws(SystemError) -> [Int32] {
        var copies: [Int32] = []
        for descriptor in descriptors {
            do {
                copies.append(try copy(descriptor))
            } catch {
                for copy in copies { Socket.close(copy) }
                throw error
            }
        }
        return copies
    }
}
