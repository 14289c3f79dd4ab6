import Foundation
import Glibc
import Runtime
import Synchronization

/// Port numbers of the loopback address that nothing listens on.
///
/// For programs that cannot be told to take port 0. They are below those that the system gives to outgoing connections, of which
/// the other tests open thousands a second, and two tests of this process never get the same one.
public enum FreePort {
    private static let given = Mutex<Set<UInt16>>([])

    /// One free port.
    public static func next() throws -> UInt16 { try next(offsets: [0]) }

    /// A port P for which every P + offset is free as well: Nacos also takes P + 1000, P + 1001 and P - 1000.
    public static func next(offsets: [Int]) throws -> UInt16 {
        for _ in 0..<200 {
            let base = UInt16.random(in: 10_000..<firstOutgoing)
            let wanted = offsets.map { Int(base) + $0 }
            guard wanted.allSatisfy({ (1024..<Int(firstOutgoing)).contains($0) }) else { continue }
            let ports = wanted.map { UInt16($0) }
            guard ports.allSatisfy({ (try? probe($0)) == $0 }) else { continue }
            let isNew = given.withLock { given in
                guard given.isDisjoint(with: ports) else { return false }
                given.formUnion(ports)
                return true
            }
            if isNew { return base }
        }
        throw TestFailure("no free ports with offsets \(offsets)")
    }

    /// The first port that the system gives to outgoing connections; Linux' own setting where that leaves too few below it.
    private static let firstOutgoing: UInt16 = {
        let range = (try? String(contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)) ?? ""
        let first = range.split(whereSeparator: \.isWhitespace).first.flatMap { UInt16($0) } ?? 0
        return first > 12_000 ? first : 32_768
    }()

    private static func probe(_ port: UInt16) throws -> UInt16 {
        let listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port), shared: false)
        defer { Socket.close(listener) }
        return Socket.localAddress(listener)?.port ?? 0
    }
}
