import Glibc
import Runtime

/// A directory that is removed, with all that is in it, when the object goes.
public final class TemporaryDirectory: Sendable {
    /// Its absolute path.
    public let path: String

    /// Creates an empty directory.
    public init() throws {
        var template = Array("/tmp/greymesh-test-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else {
            throw SystemError("create a temporary directory")
        }
        path = String(cString: made)
    }

    deinit { Self.remove(path) }

    /// The path of an entry.
    public func path(of name: String) -> String { path + "/" + name }

    /// Writes a file in place: truncated, then filled.
    @discardableResult
    public func write(_ name: String, _ text: String) throws -> String {
        let file = path(of: name)
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemError("create \(file)") }
        defer { close(descriptor) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw SystemError("write \(file)") }
            bytes = bytes.dropFirst(count)
        }
        return file
    }

    /// Puts a new file into the place of the old one, as editors and deployment tools do.
    public func replace(_ name: String, _ text: String) throws {
        let new = try write(name + ".new", text)
        guard rename(new, path(of: name)) == 0 else { throw SystemError("rename \(new)") }
    }

    /// The whole content of a file.
    public static func read(_ file: String) throws -> [UInt8] {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("open \(file)") }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw SystemError("read \(file)") }
            if count == 0 { return content }
            content += buffer[0..<count]
        }
    }

    private static func remove(_ path: String) {
        // Fails for a directory that is not empty; a link is removed, not followed.
        guard Glibc.remove(path) != 0, let directory = opendir(path) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { remove(path + "/" + name) }
        }
        closedir(directory)
        Glibc.remove(path)
    }
}
