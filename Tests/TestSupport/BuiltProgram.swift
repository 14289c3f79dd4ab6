import Glibc

/// The programs that were built together with the tests: they stand in the same folder, debug or release.
public enum BuiltProgram {
    /// The path of a program.
    ///
    /// - Parameter name: the executable product, for example `greymesh`.
    /// - Throws: `TestFailure` when it was not built.
    public static func path(_ name: String) throws -> String {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard readlink("/proc/self/exe", &path, path.count - 1) > 0, let slash = path.lastIndex(of: 0x2f) else {
            throw TestFailure("/proc/self/exe cannot be read: \(String(cString: strerror(errno)))")
        }
        let folder = String(decoding: path[..<slash].map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard access("\(folder)/\(name)", X_OK) == 0 else {
            throw TestFailure("\(folder)/\(name) is not there: swift build --product \(name)")
        }
        return "\(folder)/\(name)"
    }
}
