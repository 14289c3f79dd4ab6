import Glibc

/// Speaks TLS to clients and passes what they say on, in plain, to a port of this machine: the program `socat`.
public final class TLSRelay {
    /// Where clients reach it.
    public let port: UInt16
    private let process: ChildProcess

    /// Whether `socat` is there; the first look prints why tests are left out.
    public static let isAvailable: Bool = {
        let process = try? ChildProcess("socat", ["-V"])
        if (try? process?.waitForExit()) == .status(0) { return true }
        let line = "SKIPPED: tests over TLS: there is no program socat in PATH (package socat)\n"
        line.withCString { _ = write(2, $0, strlen($0)) }
        return false
    }()

    /// Listens.
    ///
    /// - Parameters:
    ///   - certificate: a file with certificate and key.
    ///   - clients: an authority; only clients with a certificate of it are taken. Nil takes all.
    ///   - options: further ones of `OPENSSL-LISTEN`, each with a comma in front.
    public init(to target: UInt16, certificate: String, clients: String? = nil, options: String = "") throws {
        port = try FreePort.next()
        let verify = clients.map { "verify=1,cafile=\($0)" } ?? "verify=0"
        process = try ChildProcess(
            "socat",
            [
                "-d", "-d",
                "OPENSSL-LISTEN:\(port),bind=127.0.0.1,reuseaddr,fork,cert=\(certificate),\(verify)\(options)",
                "TCP:127.0.0.1:\(target)",
            ])
        guard waitUntil(within: .seconds(20), { process.errors.contains("listening on") }) else {
            throw TestFailure("socat does not listen\n\(process.errors)")
        }
    }

    deinit { process.terminate(grace: .zero) }

    /// `https://127.0.0.1:PORT`
    public var base: String { "https://127.0.0.1:\(port)" }
}
