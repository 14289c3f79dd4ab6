import Glibc
import Runtime

/// A member of a real etcd cluster, with data of its own that is gone with the object.
public final class EtcdServer {
    /// Where clients reach it.
    public let port: UInt16
    /// Settings beyond the usual ones.
    public var arguments: [String]
    private let peerPort: UInt16
    private let name: String
    private let cluster: String
    private let directory: TemporaryDirectory
    private var generation = 0
    private var process: ChildProcess?

    /// Whether Debian's `etcd-server` is there; the first look prints why tests are left out.
    public static let isAvailable: Bool = {
        let process = try? ChildProcess("etcd", ["--version"])
        if (try? process?.waitForExit()) == .status(0) { return true }
        let line = "SKIPPED: tests with a real etcd: there is no program etcd in PATH (package etcd-server)\n"
        line.withCString { _ = write(2, $0, strlen($0)) }
        return false
    }()

    /// A cluster of one.
    public convenience init(_ arguments: [String] = []) throws {
        let (port, peerPort) = (try FreePort.next(), try FreePort.next())
        try self.init(
            name: "one", port: port, peerPort: peerPort, cluster: "one=http://127.0.0.1:\(peerPort)", arguments)
    }

    private init(name: String, port: UInt16, peerPort: UInt16, cluster: String, _ arguments: [String]) throws {
        (self.name, self.port, self.peerPort, self.cluster) = (name, port, peerPort, cluster)
        self.arguments = arguments
        directory = try TemporaryDirectory()
    }

    deinit { process?.terminate(grace: .zero) }

    /// The members of one cluster, none of them started.
    public static func cluster(of count: Int, _ arguments: [String] = []) throws -> [EtcdServer] {
        let peers = try (0..<count).map { _ in try FreePort.next() }
        let cluster = peers.enumerated().map { "m\($0.offset)=http://127.0.0.1:\($0.element)" }
        return try peers.enumerated().map { index, peer in
            try EtcdServer(
                name: "m\(index)", port: try FreePort.next(), peerPort: peer, cluster: cluster.joined(separator: ","),
                arguments)
        }
    }

    /// `http://127.0.0.1:PORT`, or `https://127.0.0.1:PORT` where it has a certificate.
    public var base: String { "\(arguments.contains("--cert-file") ? "https" : "http")://127.0.0.1:\(port)" }

    /// Starts it, with the data it had; it serves some time later.
    public func start() throws {
        let (client, peer) = (base, "http://127.0.0.1:\(peerPort)")
        process = try ChildProcess(
            "etcd",
            [
                "--name", name, "--data-dir", directory.path(of: "data\(generation)"),
                "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--logger", "zap", "--log-level",
                "error", "--heartbeat-interval", "50", "--election-timeout", "500",
            ] + arguments)
    }

    /// Ends it without a word.
    public func kill() throws {
        process?.signal(SIGKILL)
        try process?.waitForExit()
    }

    /// Ends it as an operator does.
    public func terminate() { process?.terminate() }

    /// Sends a signal: SIGSTOP, SIGCONT.
    public func signal(_ number: Int32) { process?.signal(number) }

    /// Forgets its data; to be called while it does not run.
    public func wipe() { generation += 1 }
}
