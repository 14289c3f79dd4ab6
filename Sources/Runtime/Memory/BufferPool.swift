import Glibc

/// Bytes that wait: a stretch of pooled memory, filled at the end and consumed at the front. Plain bits; whoever holds it
/// gives it back to the pool with `BufferPool.release`.
public struct Buffer {
    /// The memory; nil when the buffer is empty and owns nothing.
    public fileprivate(set) var memory: UnsafeMutablePointer<UInt8>?
    /// Size of the memory in bytes.
    public fileprivate(set) var capacity = 0
    /// Offset of the first byte that waits.
    public private(set) var start = 0
    /// Offset after the last byte that waits.
    public private(set) var end = 0

    /// A buffer that owns nothing.
    public init() {}

    /// Bytes that wait.
    @inline(__always)
    public var count: Int { end - start }

    /// Whether nothing waits.
    @inline(__always)
    public var isEmpty: Bool { end == start }

    /// The first byte that waits; only when the buffer owns memory.
    @inline(__always)
    public var bytes: UnsafeMutablePointer<UInt8> { memory.unsafelyUnwrapped + start }

    /// Where the next byte goes; only after `BufferPool.reserve`.
    @inline(__always)
    public var tail: UnsafeMutablePointer<UInt8> { memory.unsafelyUnwrapped + end }

    /// Free bytes behind the tail.
    @inline(__always)
    public var room: Int { capacity - end }

    /// Notes that `count` bytes were written at the tail.
    @inline(__always)
    public mutating func filled(_ count: Int) { end += count }

    /// Takes `count` bytes from the front.
    @inline(__always)
    public mutating func consume(_ count: Int) {
        start += count
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Takes what was passed back in. Only while nothing was consumed, and nothing added since it was passed.
    @inline(__always)
    public mutating func rewind() { start = 0 }

    /// Moves on without forgetting what was passed, so that `rewind` can bring it back.
    @inline(__always)
    public mutating func pass(_ count: Int) { start += count }

    /// Forgets the last `count` bytes.
    public mutating func shorten(by count: Int) { end -= count }

    /// Forgets what waits and keeps the memory.
    @inline(__always)
    public mutating func clear() {
        start = 0
        end = 0
    }

    fileprivate mutating func compact() {
        if start == 0 { return }
        memmove(memory.unsafelyUnwrapped, memory.unsafelyUnwrapped + start, count)
        end -= start
        start = 0
    }
}

/// Memory for buffers of one thread, in powers of two; what is given back is used again without asking the system.
public struct BufferPool: ~Copyable {
    /// Smallest size, as a power of two.
    private static let smallest = 9
    /// Number of sizes: 512 B to 16 MiB. Larger ones come from the system each time.
    private static let sizes = 16
    /// Up to this size a buffer that is too small gets four times what it has; beyond, only what it needs.
    private static let ample = 32 << 10
    /// Bytes of unused memory of each size that are kept.
    private static let kept = 4 << 20

    private struct Free {
        var next: UnsafeMutablePointer<Free>?
    }

    private let heads: UnsafeMutablePointer<UnsafeMutablePointer<Free>?>
    private let counts: UnsafeMutablePointer<Int>
    /// Times that memory was taken from the system, for the proof that steady state takes none.
    public private(set) var allocations: UInt64 = 0

    /// Pieces of memory that were given back to the system.
    private var frees: UInt64 = 0

    /// Buffers that somebody holds.
    public var outstanding: Int {
        Int(allocations - frees) - (0..<Self.sizes).reduce(0) { $0 + counts[$1] }
    }

    /// An empty pool.
    public init() {
        heads = .allocate(capacity: Self.sizes)
        heads.initialize(repeating: nil, count: Self.sizes)
        counts = .allocate(capacity: Self.sizes)
        counts.initialize(repeating: 0, count: Self.sizes)
    }

    deinit {
        for size in 0..<Self.sizes {
            while let first = heads[size] {
                heads[size] = first.pointee.next
                Glibc.free(first)
            }
        }
        heads.deallocate()
        counts.deallocate()
    }

    /// Makes sure that `count` more bytes fit behind the tail; what waits moves when it must.
    @inline(__always)
    public mutating func reserve(_ count: Int, in buffer: inout Buffer) {
        if buffer.room < count { enlarge(&buffer, by: count) }
    }

    /// Adds bytes at the tail.
    @inline(__always)
    public mutating func append(_ bytes: UnsafePointer<UInt8>, count: Int, to buffer: inout Buffer) {
        // A buffer without memory has no tail to speak of.
        if count == 0 { return }
        reserve(count, in: &buffer)
        memcpy(buffer.tail, bytes, count)
        buffer.filled(count)
    }

    /// Adds a text's UTF-8 bytes at the tail.
    public mutating func append(_ text: String, to buffer: inout Buffer) {
        var text = text
        text.withUTF8 { bytes in
            guard let base = bytes.baseAddress else { return }
            append(base, count: bytes.count, to: &buffer)
        }
    }

    /// Gives the memory back; the buffer owns nothing after it.
    @inline(__always)
    public mutating func release(_ buffer: inout Buffer) {
        if let memory = buffer.memory { put(memory, capacity: buffer.capacity) }
        buffer = Buffer()
    }

    private mutating func enlarge(_ buffer: inout Buffer, by count: Int) {
        if buffer.start > 0 && buffer.capacity - buffer.count >= count {
            buffer.compact()
            return
        }
        // What outgrows its memory mostly goes on growing, and is moved each time.
        let ample = min(4 * buffer.capacity, Self.ample)
        var larger = take(max(buffer.count + count, ample))
        if let memory = buffer.memory {
            memcpy(larger.memory.unsafelyUnwrapped, memory + buffer.start, buffer.count)
            larger.filled(buffer.count)
            put(memory, capacity: buffer.capacity)
        }
        buffer = larger
    }

    private static func size(for count: Int) -> Int {
        let bits = Int.bitWidth - max(1, count - 1).leadingZeroBitCount
        return max(0, bits - smallest)
    }

    private mutating func take(_ count: Int) -> Buffer {
        let size = Self.size(for: count)
        var buffer = Buffer()
        buffer.capacity = 1 << (size + Self.smallest)
        if size < Self.sizes, let first = heads[size] {
            heads[size] = first.pointee.next
            counts[size] -= 1
            buffer.memory = UnsafeMutableRawPointer(first).assumingMemoryBound(to: UInt8.self)
        } else {
            allocations &+= 1
            buffer.memory = malloc(buffer.capacity)!.assumingMemoryBound(to: UInt8.self)
        }
        return buffer
    }

    private mutating func put(_ memory: UnsafeMutablePointer<UInt8>, capacity: Int) {
        let size = Self.size(for: capacity)
        guard size < Self.sizes, counts[size] == 0 || (counts[size] + 1) * capacity <= Self.kept else {
            frees &+= 1
            Glibc.free(memory)
            return
        }
        let free = UnsafeMutableRawPointer(memory).bindMemory(to: Free.self, capacity: 1)
        free.initialize(to: Free(next: heads[size]))
        heads[size] = free
        counts[size] += 1
    }
}
