import Glibc
import Runtime

/// Debian's ZooKeeper server on a free loopback port, with data of its own.
///
/// Tests that need it are `.enabled(if: ZooKeeperServer.isAvailable)`.
public final class ZooKeeperServer {
    /// Whether server and Java are installed. The first look prints why tests are left out.
    public static let isAvailable: Bool = {
        let isThere = access(jar, R_OK) == 0 && access("/usr/bin/java", X_OK) == 0
        let line = "SKIPPED: tests with a real ZooKeeper: Debian's package zookeeper is not installed\n"
        if !isThere { line.withCString { _ = write(2, $0, strlen($0)) } }
        return isThere
    }()

    private static let jar = "/usr/share/java/zookeeper.jar"

    /// Where it listens.
    public let port: UInt16
    /// `127.0.0.1:PORT`
    public var address: SocketAddress { SocketAddress(ipv4: 0x7f00_0001, port: port) }
    private let directory: TemporaryDirectory
    private let tick: Int
    private let longestSession: Int
    private var process: ChildProcess?

    /// A server that is not started.
    ///
    /// - Parameters:
    ///   - tick: milliseconds; sessions time out after 2 of them or more.
    ///   - longestSession: milliseconds that it grants at most.
    public init(tick: Int = 500, longestSession: Int = 60_000) throws {
        port = try FreePort.next()
        directory = try TemporaryDirectory()
        self.tick = tick
        self.longestSession = longestSession
    }

    deinit { process?.signal(SIGKILL) }

    /// Starts it, with the data it has, and waits until it serves.
    public func start() throws {
        let configuration = try directory.write(
            "zoo.cfg",
            """
            tickTime=\(tick)
            dataDir=\(directory.path)/data
            clientPort=\(port)
            clientPortAddress=127.0.0.1
            maxClientCnxns=0
            maxSessionTimeout=\(longestSession)
            admin.enableServer=false
            4lw.commands.whitelist=*
            """ + "\n")
        let process = try ChildProcess(
            "java",
            [
                "-Dzookeeper.jmx.log4j.disable=true", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-XX:-UsePerfData", "-cp", "/etc/zookeeper/conf:\(Self.jar)",
                "org.apache.zookeeper.server.ZooKeeperServerMain", configuration,
            ])
        self.process = process
        let isUp = waitUntil(within: .seconds(30)) { isServing }
        guard isUp else { throw TestFailure("ZooKeeper does not serve\n\(process.output)\n\(process.errors)") }
    }

    /// Kills it.
    public func kill() throws {
        process?.signal(SIGKILL)
        try process?.waitForExit()
        process = nil
    }

    /// Stops it from doing anything until `resume`.
    public func freeze() { process?.signal(SIGSTOP) }

    /// Ends `freeze`.
    public func resume() { process?.signal(SIGCONT) }

    /// Forgets its data; it must not run.
    public func wipe() throws {
        _ = try ChildProcess("rm", ["-rf", "\(directory.path)/data"]).waitForExit()
    }

    private var isServing: Bool {
        guard let connection = try? Connection(to: address) else { return false }
        // One that is just starting takes the question and may never answer it.
        var limit = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(
            connection.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        connection.send("srvr")
        return String(decoding: connection.receiveAll(), as: UTF8.self).contains("Mode:")
    }
}
