import Model
import Runtime

/// Draws indexes by weight in constant time from tables made once per cluster.
struct Picker {
    let balancer: BalancerKind
    /// Length of one round of `inTurn`.
    let turns: UInt32
    private let count: UInt64
    /// Round robin: the order of one round; nil when all weights are equal, then the order is 0, 1, 2….
    private let order: UnsafeMutablePointer<UInt32>?
    /// Alias method (Vose): keep column `i` when a 32-bit number is below `keep[i]`, else take `alias[i]`; nil when all
    /// weights are equal.
    private let keep: UnsafeMutablePointer<UInt64>?
    private let alias: UnsafeMutablePointer<UInt32>?

    /// - Parameters:
    ///   - order: one round of the indexes, where they do not come in turn.
    ///   - alias: the table, where one is not as likely as the other.
    init(count: Int, balancer: BalancerKind, order: [UInt32]?, alias: (keep: [UInt64], alias: [UInt32])?) {
        self.balancer = balancer
        self.count = UInt64(count)
        turns = UInt32(order?.count ?? max(1, count))
        self.order = order.map(Self.copy)
        keep = alias.map { Self.copy($0.keep) }
        self.alias = alias.map { Self.copy($0.alias) }
    }

    func free() {
        order?.deallocate()
        keep?.deallocate()
        alias?.deallocate()
    }

    /// - Parameter position: below `turns`.
    @inline(__always)
    func inTurn(_ position: UInt32) -> Int {
        guard let order else { return Int(position) }
        return Int(order[Int(position)])
    }

    @inline(__always)
    func byWeight(_ random: inout FastRandom) -> Int {
        if count == 1 { return 0 }
        let bits = random.next()
        let column = Int(truncatingIfNeeded: ((bits >> 32) &* count) >> 32)
        guard let keep, let alias else { return column }
        return bits & 0xffff_ffff < keep[column] ? column : Int(alias[column])
    }

    /// An index by weight whatever the balancer: round robin has a round in the place of the alias table.
    func drawn(_ random: inout FastRandom) -> Int {
        balancer == .roundRobin ? inTurn(UInt32(random.below(UInt64(turns)))) : byWeight(&random)
    }

    private static func copy<Element>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(1, values.count))
        memory.initialize(from: values, count: values.count)
        return memory
    }
}
