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

    /// Gives the memory of code that only loading and starting needed back to the system: three dozen libraries come along with
    /// libcurl, and serving hardly touches them.
    public static func releaseLibraryCode() { _ = clinux_release_library_pages() }

    /// Processors that the process may use: those of its affinity mask, at most what its control groups are given.
    public static var processors: Int {
        let allowed = Int(clinux_processor_count())
        return max(1, min(allowed, ControlGroup.processors() ?? allowed))
    }
}

/// The control groups of the process, of version 1 or 2: each of them and of those above it can limit its share of the processors.
enum ControlGroup {
    /// Whole processors, rounded up, that the tightest group has; nil where none has a limit.
    ///
    /// - Parameters:
    ///   - root: where the groups are mounted.
    ///   - membership: the file that tells in which groups the process is.
    static func processors(root: String = "/sys/fs/cgroup", membership: String = "/proc/self/cgroup") -> Int? {
        var limits: [Int?] = []
        // In a container its own group can be the root, or the path is one of the machine's that is not seen here.
        for line in ("0::/\n0:cpu:/\n" + (SmallFile.read(membership) ?? "")).split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let controllers = parts[1].split(separator: ",")
            for group in Self.groups(parts[2]) {
                if controllers.isEmpty { limits.append(quota(root + group + "/cpu.max")) }
                guard controllers.contains("cpu") else { continue }
                for mount in ["/cpu", "/cpu,cpuacct"] { limits.append(oldQuota(root + mount + group)) }
            }
        }
        return limits.compactMap(\.self).min()
    }

    /// `/a/b`, `/a` and the root, which is empty.
    private static func groups(_ path: Substring) -> [String] {
        var groups = [""]
        for part in path.split(separator: "/") { groups.append(groups[groups.count - 1] + "/" + part) }
        return groups
    }

    /// `cpu.max`: `150000 100000` are two processors.
    static func quota(_ path: String) -> Int? {
        let parts = SmallFile.read(path)?.split(whereSeparator: \.isWhitespace).map { Int($0) } ?? []
        return parts.count == 2 ? processors(parts[0], of: parts[1]) : nil
    }

    /// `cpu.cfs_quota_us`, -1 for no limit, and `cpu.cfs_period_us` of version 1.
    private static func oldQuota(_ folder: String) -> Int? {
        func number(_ name: String) -> Int? {
            SmallFile.read("\(folder)/\(name)").flatMap { Int($0.prefix { !$0.isWhitespace }) }
        }
        return processors(number("cpu.cfs_quota_us"), of: number("cpu.cfs_period_us"))
    }

    private static func processors(_ quota: Int?, of period: Int?) -> Int? {
        guard let quota, let period, quota > 0, period > 0 else { return nil }
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
