import Glibc

/// Folders on disk.
public enum Folder {
    /// Makes a folder, and those above it that are missing; nobody else may look into those it makes.
    ///
    /// - Throws: `SystemError` when it is not there afterwards.
    public static func make(_ path: String) throws {
        if mkdir(path, 0o700) == 0 { return }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
            try make(String(path[..<slash]))
            if mkdir(path, 0o700) == 0 { return }
        }
        guard errno == EEXIST else { throw SystemError("make the folder \(path)") }
    }
}
