// What all fuzz targets share. A target is a function named `LLVMFuzzerTestOneInput` in a file of Tests/Fuzz/Targets; it
// checks with `require` what must hold for every input. The input lies in memory of exactly its size, so that
// AddressSanitizer sees any read beyond it.

/// Ends the process, which the fuzzer notices and keeps the input, if a condition does not hold.
@inline(__always)
func require(_ condition: Bool, _ message: StaticString, line: UInt = #line) {
    if !condition { fatalError("line \(line): \(message)") }
}

/// A number that depends on all bytes, to derive choices (where to split an input) from the input itself.
func digest(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in 0..<count { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3 }
    return hash ^ (hash >> 32)
}

/// Memory for one execution, of exactly the size that was asked for.
struct Room: ~Copyable {
    let base: UnsafeMutablePointer<UInt8>
    let count: Int

    init(_ count: Int) {
        base = .allocate(capacity: count)
        self.count = count
    }

    deinit { base.deallocate() }
}

/// Whether two runs of bytes are the same.
func same(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    for index in 0..<count where left[index] != right[index] { return false }
    return true
}
