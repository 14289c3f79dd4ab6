import Glibc

/// Files that are replaced as a whole: after a crash there is the old one or the new one, never a part.
public enum AtomicFile {
    /// Writes a file beside the old one and puts it in its place when it is complete on disk. Nobody else may read it.
    ///
    /// - Parameter fill: writes to the descriptor.
    /// - Returns: what `fill` returns, and the descriptor of the new file, to be closed by the caller.
    public static func replace<Result>(
        _ path: String, fill: (Int32) throws -> Result
    ) throws -> (result: Result, descriptor: Int32) {
        let temporary = "\(path).\(getpid())"
        let descriptor = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError("create \(temporary)") }
        do {
            let result = try fill(descriptor)
            guard fsync(descriptor) == 0 else { throw SystemError("write \(temporary)") }
            guard rename(temporary, path) == 0 else { throw SystemError("replace \(path)") }
            return (result, descriptor)
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
    }

    /// Replaces a file by these bytes.
    public static func replace(_ path: String, with bytes: [UInt8]) throws {
        let (_, descriptor) = try replace(path) { try write(bytes, to: $0) }
        close(descriptor)
    }

    /// Writes all bytes.
    public static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write a file") }
            written += count
        }
    }

    /// A whole file, or its first bytes where it is longer than `limit`; nil when there is none.
    public static func read(_ path: String, limit: Int) throws -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw SystemError("open \(path)")
        }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while content.count < limit {
            let count = Glibc.read(descriptor, &buffer, min(buffer.count, limit - content.count))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read \(path)") }
            if count == 0 { break }
            content += buffer[..<count]
        }
        return content
    }
}
