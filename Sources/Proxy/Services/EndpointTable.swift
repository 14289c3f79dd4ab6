import Balancing
import Model
import Runtime

/// What tells endpoints apart.
struct EndpointKey: TableKey {
    let kind: ServiceKey.Kind
    let address: SocketAddress

    func tableHash() -> UInt64 {
        let place = UInt64(address.port) << 8 | (kind == .http ? 1 : 0)
        var value = address.low &* 0x9e37_79b9_7f4a_7c15 ^ address.high
        value = (value ^ value >> 32 ^ place) &* 0x9fb2_1c65_1e98_df25
        return value ^ value >> 29
    }

    func equals(_ other: EndpointKey) -> Bool { kind == other.kind && address == other.address }
}

/// A worker's endpoints. They stand in many small tables: to grow one that holds all of them would keep requests waiting.
struct EndpointTable: ~Copyable {
    private typealias Part = PointerTable<EndpointKey, Endpoint>

    /// A power of two.
    static let partCount = 64
    private let parts: UnsafeMutablePointer<Part>
    private(set) var count = 0

    init() {
        parts = .allocate(capacity: Self.partCount)
        for number in 0..<Self.partCount { (parts + number).initialize(to: Part(capacity: 4)) }
    }

    deinit {
        parts.deinitialize(count: Self.partCount)
        parts.deallocate()
    }

    func find(_ key: EndpointKey) -> UnsafeMutablePointer<Endpoint>? { parts[part(of: key)].find(key) }

    /// Adds a key that is not in the table.
    mutating func insert(_ key: EndpointKey, _ endpoint: UnsafeMutablePointer<Endpoint>) {
        parts[part(of: key)].insert(key, endpoint)
        count += 1
    }

    /// Removes a key that is in the table.
    mutating func remove(_ key: EndpointKey) {
        parts[part(of: key)].remove(key)
        count -= 1
    }

    /// What one part holds by now.
    func keys(inPart number: Int) -> [EndpointKey] {
        var keys: [EndpointKey] = []
        keys.reserveCapacity(parts[number].count)
        parts[number].forEach { key, _ in keys.append(key) }
        return keys
    }

    /// The tables themselves look at the lower bits.
    private func part(of key: EndpointKey) -> Int {
        Int(truncatingIfNeeded: key.tableHash() >> 32) & (Self.partCount - 1)
    }
}
