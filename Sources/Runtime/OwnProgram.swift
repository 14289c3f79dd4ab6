import CLinux
import Glibc

/// How this process was started, so that it can be started again.
public struct OwnProgram: Sendable {
    /// The path of its file. What lies there may be another file by now.
    public let path: String
    /// Its arguments; the first one is its name.
    public let arguments: [String]
    /// Its variables, `NAME=VALUE`.
    public let environment: [String]

    /// The file that runs, whatever lies at its path now.
    public static let runningImage = "/proc/self/exe"

    /// Finds the program's file: by its name as it was called, and where that cannot be, by what the system tells.
    ///
    /// - Parameters:
    ///   - arguments: the first one is its name.
    ///   - environment: all variables.
    public init(arguments: [String], environment: [String: String]) {
        self.arguments = arguments
        self.environment = environment.map { "\($0.key)=\($0.value)" }.sorted()
        path = Self.path(name: arguments.first ?? "", search: environment["PATH"] ?? "")
    }

    /// The name is looked at first: behind a link there is another file after an installation. What is not the running file is
    /// none of ours.
    private static func path(name: String, search: String) -> String {
        let candidates =
            name.contains("/")
            ? [absolute(name)] : search.split(separator: ":").map { absolute("\($0)/\(name)") }
        return candidates.first(where: isRunning) ?? withoutMark(read(runningImage) ?? name)
    }

    private static func isRunning(_ path: String) -> Bool {
        var (own, other) = (stat(), stat())
        return stat(runningImage, &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev
            && own.st_ino == other.st_ino
    }

    private static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let directory = read("/proc/self/cwd") else { return path }
        return directory + "/" + path
    }

    private static func read(_ link: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { readlink(link, $0.baseAddress.unsafelyUnwrapped, $0.count) }
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// The system marks the path of a file that was deleted or replaced.
    static func withoutMark(_ path: String) -> String {
        let mark = " (deleted)"
        return path.hasSuffix(mark) ? String(path.dropLast(mark.count)) : path
    }
}
