import CLinux
import Glibc

/// What the system lets the process have.
public enum ProcessLimits {
    /// Lets the process open as many descriptors as it may; many systems begin with 1024.
    ///
    /// - Returns: the limit that holds now.
    @discardableResult
    public static func raiseDescriptorLimit() -> UInt64 {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return UInt64(limit.rlim_cur)
    }

    /// Gives the memory of library code that only loading needed back to the system: three dozen libraries come along with
    /// libcurl, and serving hardly touches them.
    public static func releaseLibraryCode() { _ = clinux_release_library_pages() }

    /// Processors that the process may use: those of its affinity mask, at most what its control group is given.
    public static var processors: Int {
        let allowed = Int(clinux_processor_count())
        return max(1, min(allowed, quota("/sys/fs/cgroup/cpu.max") ?? allowed))
    }

    /// Whole processors, rounded up, of a control group's `cpu.max`: `150000 100000` are two. Nil where it sets no limit.
    static func quota(_ path: String) -> Int? {
        guard let text = SmallFile.read(path) else { return nil }
        let parts = text.split(whereSeparator: \.isWhitespace).map { Int($0) }
        guard parts.count == 2, let quota = parts[0], let period = parts[1], quota > 0, period > 0 else { return nil }
        return (quota - 1) / period + 1
    }
}

/// Files of the kernel that tell a few numbers.
enum SmallFile {
    /// The first 4 KiB; nil when it cannot be read.
    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { return nil }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
