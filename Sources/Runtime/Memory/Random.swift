import Glibc

/// A small fast random generator (wyrand). Not for secrets.
public struct FastRandom: RandomNumberGenerator {
    private var state: UInt64

    /// Seeds from the system.
    public init() {
        var seed: UInt64 = 0
        getentropy(&seed, MemoryLayout<UInt64>.size)
        state = seed
    }

    /// Always gives the same numbers for the same seed.
    public init(seed: UInt64) { state = seed }

    /// 64 random bits.
    @inline(__always)
    public mutating func next() -> UInt64 {
        state = state &+ 0xa076_1d64_78bd_642f
        let product = state.multipliedFullWidth(by: state ^ 0xe703_7ed1_a0b4_28db)
        return product.high ^ product.low
    }

    /// A number in 0..<bound; the bias is below 2^-32 for bounds that fit 32 bits.
    @inline(__always)
    public mutating func below(_ bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
}
