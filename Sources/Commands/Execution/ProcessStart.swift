import CLinux
import ControlPlane
import Glibc
import Runtime

/// How this process was started, and who is told when it serves.
///
/// Variables by which one process of ours starts another are none of the user's, and not handed on.
public struct ProcessStart: Sendable {
    /// The variables without those.
    public let environment: [String: String]
    /// What starts the program again.
    let program: OwnProgram
    /// What leads to the process in whose place this one is to serve; nil: there is none.
    let predecessor: String?
    /// Whether this process only starts the one that serves, see `ContainerParent`.
    let isParent: Bool
    /// The number of a `ContainerParent`; nil: there is none.
    private let parent: pid_t?
    /// systemd's socket; nil: it does not wait for a word.
    private let notifySocket: String?

    /// `1`: the process stays the same for whoever has started it, as the first one of a container does.
    static let stayVariable = "GREYMESH_STAY"
    private static let parentVariable = "GREYMESH_PARENT_PID"

    /// Reads the variables.
    ///
    /// - Parameter arguments: the first one is the program's name.
    public init(arguments: [String], environment: [String: String]) {
        var own = environment
        predecessor = own.removeValue(forKey: Predecessor.variable)
        let isToStay = own.removeValue(forKey: Self.stayVariable) == "1"
        let parent = own.removeValue(forKey: Self.parentVariable).flatMap { pid_t($0) }
        self.environment = own
        self.parent = parent
        isParent = parent == nil && (getpid() == 1 || isToStay)
        if isParent { own[Self.parentVariable] = "\(getpid())" }
        if let parent { own[Self.parentVariable] = "\(parent)" }
        program = OwnProgram(arguments: arguments, environment: own)
        notifySocket = environment["NOTIFY_SOCKET"]
    }

    /// Says to systemd that this process serves, and is its main process from now on.
    func tellServing() {
        if let notifySocket { ServiceManager.tell("READY=1\nMAINPID=\(getpid())", notifySocket) }
    }

    /// Says to the parent of a container that another process serves from now on.
    func tellSuccessor(_ process: pid_t) {
        if let parent { clinux_tell_serving(parent, process) }
    }
}

/// systemd, or what speaks its way (`sd_notify(3)`).
enum ServiceManager {
    /// Sends a message; nobody learns whether it has arrived.
    static func tell(_ message: String, _ path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        // The name of a socket without a file begins with a zero byte.
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard !bytes.isEmpty, bytes.count < room else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { Socket.close(socket) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size - room + bytes.count)
        let text = Array(message.utf8)
        withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(socket, text, text.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
