import CLinux
import Glibc

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, as an operator would say it: `listen on 127.0.0.1:8080`.
    public let call: String
    /// The `errno` value.
    public let code: Int32

    /// Creates an error; without a code it takes the thread's `errno`.
    public init(_ call: String, code: Int32 = errno) {
        self.call = call
        self.code = code
    }

    /// `listen on 127.0.0.1:8080: Address already in use`
    public var description: String { "\(call): \(Self.text(of: code))" }

    /// Whether this process or machine is short of something, descriptors, ports, memory or rights: then connecting to a host says
    /// nothing of the host.
    public static func isOurs(_ code: Int32) -> Bool {
        switch code {
        case EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM, EAGAIN, EPERM, EACCES, EADDRINUSE: true
        default: false
        }
    }

    /// The system's words for an `errno` value.
    public static func text(of code: Int32) -> String { String(cString: strerror(code)) }
}
