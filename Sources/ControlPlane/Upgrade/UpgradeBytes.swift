import Model
import Proxy
import Runtime

/// Puts the parts of a message together: numbers from the highest byte on, texts and lists with their length before them.
struct UpgradeWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ value: UInt8) { bytes.append(value) }

    mutating func put(_ value: UInt32) {
        for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func put(_ value: UInt64) {
        put(UInt32(truncatingIfNeeded: value >> 32))
        put(UInt32(truncatingIfNeeded: value))
    }

    mutating func put(_ data: [UInt8]) {
        put(UInt32(clamping: data.count))
        bytes += data
    }

    mutating func put(_ text: String) { put(Array(text.utf8)) }

    mutating func put(_ service: ServiceKey) {
        put(service.kind.rawValue)
        put(service.name)
    }

    mutating func put<Element>(_ list: [Element], _ write: (inout UpgradeWriter, Element) -> Void) {
        put(UInt32(clamping: list.count))
        for element in list { write(&self, element) }
    }
}

/// Takes them apart. Nothing that another program sends ends the process: what is missing or wrong is nil.
struct UpgradeReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func skipAll() { position = bytes.count }

    mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func number32() -> UInt32? {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = byte() else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    mutating func number64() -> UInt64? {
        guard let high = number32(), let low = number32() else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    mutating func data() -> [UInt8]? {
        guard let count = number32(), Int(count) <= bytes.count - position else { return nil }
        defer { position += Int(count) }
        return Array(bytes[position..<position + Int(count)])
    }

    mutating func text() -> String? { data().flatMap { String(validating: $0, as: UTF8.self) } }

    mutating func address() -> SocketAddress? { text().flatMap { SocketAddress($0) } }

    mutating func service() -> ServiceKey? {
        guard let kind = text().flatMap(ServiceKey.Kind.init(rawValue:)), let name = text() else { return nil }
        return ServiceKey(kind: kind, name: name)
    }

    mutating func subscription() -> Subscription? {
        guard let service = service(), let version = text(), let group = text() else { return nil }
        return Subscription(service: service, interfaceVersion: version, group: group)
    }

    mutating func connection(_ descriptor: Int32) -> HandedConnection? {
        guard let listener = text(), let peer = address() else { return nil }
        var connection = HandedConnection(descriptor: descriptor, listener: listener, peer: peer)
        guard let number = number64(), let lane = byte(), let skip = number64().flatMap({ Int(exactly: $0) }),
            let inbound = data(), let outbound = data()
        else { return nil }
        (connection.number, connection.lane, connection.skip) = (number, lane, skip)
        (connection.inbound, connection.outbound) = (inbound, outbound)
        return connection
    }

    /// Memory grows with what is there, not with what the count promises.
    mutating func list<Element>(_ read: (inout UpgradeReader) -> Element?) -> [Element]? {
        guard let count = number32(), Int(count) <= bytes.count - position else { return nil }
        var elements: [Element] = []
        for _ in 0..<count {
            guard let element = read(&self) else { return nil }
            elements.append(element)
        }
        return elements
    }
}
