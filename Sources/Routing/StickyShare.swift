/// Which part of a split a sticky key falls to: weighted rendezvous hashing. Each version draws a waiting time from its text and the
/// key, the shorter on average the larger its weight; the shortest wins.
///
/// The winner follows the weights exactly, and depends on their ratios only. When one version's weight changes, the times of all
/// others stay, so keys move only to it or only away from it: as many as its share grows or shrinks by.
///
/// - Parameter key: the key's hash.
/// - Returns: the number of a part with a weight above 0; there must be one.
@usableFromInline
func stickyShare(_ key: UInt64, _ shares: UnsafePointer<Share>, _ count: Int) -> Int {
    var best = 0
    var shortest = Double.infinity
    for index in 0..<count where shares[index].weight > 0 {
        let time = waitingTime(key &+ shares[index].hash) / Double(shares[index].weight)
        if time < shortest {
            shortest = time
            best = index
        }
    }
    return best
}

/// An exponentially distributed number, mean 1, made of 64 bits that need not be spread evenly.
@inline(__always)
private func waitingTime(_ bits: UInt64) -> Double {
    var mixed = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    mixed ^= mixed >> 31
    // In the middle of one of 2^52 steps: never 0, never 1, and exact.
    return -logarithm((Double(mixed >> 12) + 0.5) * 0x1p-52)
}

/// The natural logarithm of a normal number, by additions, multiplications and one division, which are the same on every machine;
/// a library's logarithm may change with its version, and with it every user's version.
@inline(__always)
func logarithm(_ number: Double) -> Double {
    // number = 2^exponent * significand, with the significand from 0.707 to 1.414.
    let isLarge = number.significand > 0x1.6a09e667f3bcdp0
    let significand = isLarge ? number.significand / 2 : number.significand
    let exponent = Double(number.exponent) + (isLarge ? 1 : 0)
    // ln x = 2 (s + s^3/3 + s^5/5 + ...) with s = (x - 1) / (x + 1), here at most 0.172.
    let ratio = (significand - 1) / (significand + 1)
    let square = ratio * ratio
    var sum = 1.0 / 21
    sum = sum * square + 1.0 / 19
    sum = sum * square + 1.0 / 17
    sum = sum * square + 1.0 / 15
    sum = sum * square + 1.0 / 13
    sum = sum * square + 1.0 / 11
    sum = sum * square + 1.0 / 9
    sum = sum * square + 1.0 / 7
    sum = sum * square + 1.0 / 5
    sum = sum * square + 1.0 / 3
    sum = sum * square + 1
    return exponent * 0x1.62e42fefa39efp-1 + 2 * ratio * sum
}
