import Glibc

/// Real registries and applications, written in Java, that tests talk to when they are there.
///
/// They stand in a folder `shared/peers` beside the project or one of the folders above it; `GREYMESH_PEERS` names another.
/// Tests that need them are `.enabled(if: Peers.areAvailable)`.
public enum Peers {
    /// The folder with the programs; nil when it, or Java, is missing. The first look prints why tests are left out.
    public static let directory: String? = {
        var candidates: [String] = []
        if let given = getenv("GREYMESH_PEERS") { candidates.append(String(cString: given)) }
        var parts = #filePath.split(separator: "/").dropLast(3)
        while !parts.isEmpty {
            parts = parts.dropLast()
            candidates.append("/" + (parts + ["shared", "peers"]).joined(separator: "/"))
        }
        guard let found = candidates.first(where: { access($0 + "/run", X_OK) == 0 }) else {
            return skip("no shared/peers beside the project; GREYMESH_PEERS can name it")
        }
        guard hasJava else { return skip("no Java in PATH; JAVA can name it") }
        return found
    }()

    /// Whether tests with real programs can run.
    public static var areAvailable: Bool { directory != nil }

    /// Starts a program and waits until it serves.
    ///
    /// - Parameters:
    ///   - name: `nacos2`, `dubbo27-provider`, ...
    ///   - arguments: `key=value`.
    public static func start(_ name: String, _ arguments: [String], within limit: Duration = .seconds(60)) throws
        -> ChildProcess
    {
        let process = try launch(name, arguments)
        do {
            _ = try process.waitForLine("READY", within: limit)
        } catch {
            process.terminate()
            throw error
        }
        return process
    }

    /// Starts a program without waiting; it prints a line `READY…` when it serves.
    public static func launch(_ name: String, _ arguments: [String]) throws -> ChildProcess {
        guard let directory else { throw TestFailure("the peers are not there") }
        return try ChildProcess(directory + "/run", [name] + arguments)
    }

    private static var hasJava: Bool {
        let java = getenv("JAVA").map { String(cString: $0) } ?? "java"
        guard let process = try? ChildProcess(java, ["-version"]) else { return false }
        return (try? process.waitForExit()) == .status(0)
    }

    private static func skip(_ reason: String) -> String? {
        let line = "SKIPPED: tests with real registries and Java applications: \(reason)\n"
        line.withCString { _ = write(2, $0, strlen($0)) }
        return nil
    }
}
