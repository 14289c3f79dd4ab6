import Model
import Runtime

extension Instance {
    /// The instances in a fixed order, each host once. Of several entries for a host the preferred one stays, whatever
    /// their order was.
    ///
    /// - Parameter isPreferred: whether the first of two entries goes before the second, which came earlier.
    static func merged(
        _ instances: [Instance], isPreferred: (Instance, Instance) -> Bool = { $0.isPreferred(to: $1) }
    ) -> [Instance] {
        // The usual case of what was merged before, which shares its memory.
        if isOrdered(instances) { return instances }
        var merged: [Instance] = []
        merged.reserveCapacity(instances.count)
        for place in places(of: instances) {
            let instance = instances[place]
            guard let last = merged.last, !precedes(last, instance) else {
                merged.append(instance)
                continue
            }
            if isPreferred(instance, last) { merged[merged.count - 1] = instance }
        }
        return merged
    }

    /// Entries of which none precedes the other are the same host of a service: one Dubbo provider can serve several versions of
    /// an interface.
    static func precedes(_ left: Instance, _ right: Instance) -> Bool {
        if left.address != right.address { return left.address < right.address }
        return (left.interfaceVersion, left.group) < (right.interfaceVersion, right.group)
    }

    /// Whether each precedes the next, so that no host is there twice.
    private static func isOrdered(_ instances: [Instance]) -> Bool {
        instances.indices.dropFirst().allSatisfy { precedes(instances[$0 - 1], instances[$0]) }
    }

    /// Where the instances are, in their order; entries for one host as they came. Moving whole instances about would take
    /// many times longer.
    private static func places(of instances: [Instance]) -> [Int] {
        var places = instances.indices.map { (address: instances[$0].address, place: $0) }
        places.sort { left, right in
            if left.address != right.address { return left.address < right.address }
            let (one, other) = (instances[left.place], instances[right.place])
            return precedes(one, other) || !precedes(other, one) && left.place < right.place
        }
        return places.map(\.place)
    }

    /// Usable before unusable, then the newer registration (Dubbo's `timestamp`), then the one that says more; the rest
    /// only makes the choice independent of order.
    private func isPreferred(to other: Instance) -> Bool {
        if available != other.available { return available }
        let (mine, others) = (Int64(metadata["timestamp"] ?? "") ?? 0, Int64(other.metadata["timestamp"] ?? "") ?? 0)
        if mine != others { return mine > others }
        if metadata.count != other.metadata.count { return metadata.count > other.metadata.count }
        if weight != other.weight { return weight > other.weight }
        return texts.lexicographicallyPrecedes(other.texts)
    }

    private var texts: [String] { metadata.flatMap { [$0.name, $0.value] } }
}
