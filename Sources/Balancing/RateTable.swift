import Glibc
import Synchronization

/// The buckets of all keyed rate limits of the process, in a fixed amount of memory.
///
/// Only keys that are not full need a place: the others are as good as new. A key has one of the eight places of its set; when all
/// are taken by others that are not full, the one that would be full first makes room: it gets its tokens back too early. With a
/// million keys in use at a time that happens to one in a hundred.
///
/// Workers change places without waiting for each other. Two that meet the same new key at the same moment may give it two places; the
/// second one is never found again.
public final class RateTable: Sendable {
    /// The only one. Its memory is taken by the system when it is used: 128 bytes a set, 32 MiB at most.
    public static let process = RateTable()

    private struct Place: ~Copyable {
        /// Hash of the key; 0: nobody's.
        let key: Atomic<UInt64>
        /// See `RateBucket`.
        let full: Atomic<Int64>
    }

    private static let setSize = 8
    /// A power of two.
    private static let setCount = 1 << 18
    // Atomic numbers, which may be changed by all workers at any time.
    private nonisolated(unsafe) let places: UnsafeMutablePointer<Place>

    private init() {
        // Memory that was never written to costs nothing, and its zeros are the empty table.
        guard let memory = calloc(Self.setCount * Self.setSize, MemoryLayout<Place>.stride) else {
            fatalError("no memory for the rates of keys")
        }
        places = memory.bindMemory(to: Place.self, capacity: Self.setCount * Self.setSize)
    }

    /// As `RateBucket.take`.
    func take(_ hash: UInt64, interval: Int64, tolerance: Int64, now: Int64) -> Int64 {
        let key = hash == 0 ? 1 : hash
        let set = places + Int(truncatingIfNeeded: (hash &* 0x9e37_79b9_7f4a_7c15) >> 46) * Self.setSize
        while true {
            var oldest = 0
            var oldestFull = Int64.max
            for index in 0..<Self.setSize {
                if set[index].key.load(ordering: .acquiring) == key {
                    return RateBucket.take(set[index].full, interval: interval, tolerance: tolerance, now: now)
                }
                let full = set[index].full.load(ordering: .relaxed)
                if full < oldestFull { (oldest, oldestFull) = (index, full) }
            }
            // Whoever changes the time has the place.
            let (isDone, _) = set[oldest].full.compareExchange(
                expected: oldestFull, desired: now &+ interval, ordering: .relaxed)
            if isDone {
                set[oldest].key.store(key, ordering: .releasing)
                return 0
            }
        }
    }
}
