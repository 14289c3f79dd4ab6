import CLinux
import Glibc

/// Time as the process needs it: monotonic for waiting, wall clock for telling people.
public enum Clock {
    /// Nanoseconds since some fixed point; never goes back.
    @inline(__always)
    public static var nanoseconds: Int64 { clinux_monotonic_nanoseconds() }

    /// Nanoseconds of processor time that this thread has had. What other processes take does not count.
    public static var threadNanoseconds: Int64 { clinux_thread_nanoseconds() }

    /// Nanoseconds since 1970-01-01 UTC.
    public static var wallNanoseconds: Int64 { clinux_wall_nanoseconds() }

    /// Whole seconds since 1970-01-01 UTC.
    public static var secondsSince1970: Int64 { wallNanoseconds / 1_000_000_000 }
}

extension Duration {
    /// The whole duration in nanoseconds; durations beyond 292 years saturate.
    public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carried) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carried ? (seconds < 0 ? .min : .max) : sum
    }
}
