import Model

/// Makes the tables of a picker, a part at a time.
final class PickerBuilder {
    private let count: Int
    private let balancer: BalancerKind
    private var order: RoundOrder?
    private var alias: AliasTable?

    /// - Parameter weights: none is 0.
    init(weights: [UInt32], balancer: BalancerKind) {
        count = weights.count
        self.balancer = balancer
        if weights.allSatisfy({ $0 == weights.first }) { return }
        if balancer == .roundRobin { order = RoundOrder(weights) } else { alias = AliasTable(weights) }
    }

    /// Does the next part; returns whether there is more to do.
    func advance() -> Bool { order?.advance() ?? alias?.advance() ?? false }

    /// The picker, once there is nothing more to do.
    func finish() -> Picker {
        Picker(
            count: count, balancer: balancer, order: order?.indexes, alias: alias.map { ($0.keep, $0.alias) })
    }
}
