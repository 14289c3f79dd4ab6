import Model
import Proxy
import Runtime
import Testing

@testable import ControlPlane

@Suite("Messages of an upgrade")
struct UpgradeMessageTests {
    private static let connection: HandedConnection = {
        var connection = HandedConnection(
            descriptor: 7, listener: "web", peer: SocketAddress(ip: "10.1.2.3", port: 0)!)
        (connection.number, connection.lane, connection.skip) = (1 << 48 | 5, 2, 1 << 40)
        (connection.inbound, connection.outbound) = (Array("GET /".utf8), [0, 255])
        return connection
    }()

    private static let all: [UpgradeMessage] = [
        .hello(
            .init(services: [ServiceKey(kind: .dubbo, name: "com.acme.Orders"), ServiceKey(kind: .http, name: "ä")])),
        .socket(.init(name: "web", protocol: .bolt, address: SocketAddress("[::1]:80")!)),
        .socket(.init(name: "", protocol: nil, address: SocketAddress("127.0.0.1:15000")!)),
        .offered, .ready(listeners: ["web", ""]), .failed("no"),
        .go(
            .init(
                publications: [1, 2],
                subscriptions: [
                    Subscription(
                        service: ServiceKey(kind: .dubbo, name: "a.B"), interfaceVersion: "1", group: "blue")
                ])),
        .connection(connection), .owed(number: .max, [9]), .settled(number: 0), .finished, .leave,
    ]

    @Test("What is written is read", arguments: all)
    func roundTrip(message: UpgradeMessage) {
        #expect(UpgradeMessage(message.bytes, descriptor: message.hasDescriptor ? 7 : -1) == message)
    }

    @Test("What is cut, too long, or has a descriptor where none belongs is no message", arguments: all)
    func wrong(message: UpgradeMessage) {
        let (bytes, descriptor) = (message.bytes, Int32(message.hasDescriptor ? 7 : -1))
        for count in bytes.indices { #expect(UpgradeMessage(Array(bytes[..<count]), descriptor: descriptor) == nil) }
        #expect(UpgradeMessage(bytes + [0], descriptor: descriptor) == nil)
        #expect(UpgradeMessage(bytes, descriptor: message.hasDescriptor ? -1 : 7) == nil)
    }

    @Test("Bytes of any kind end nothing, and lengths that promise too much cost no memory")
    func hostile() {
        var random = FastRandom(seed: 7)
        for message in Self.all {
            for _ in 0..<2000 {
                var bytes = message.bytes
                for _ in 0..<3 { bytes[Int(random.below(UInt64(bytes.count)))] = UInt8(random.below(256)) }
                let read = UpgradeMessage(bytes, descriptor: message.hasDescriptor ? 7 : -1)
                if let read { #expect(UpgradeMessage(read.bytes, descriptor: read.hasDescriptor ? 7 : -1) == read) }
            }
        }
        #expect(UpgradeMessage([3, 255, 255, 255, 255], descriptor: -1) == nil)
    }

    @Test("A message of another format is known as such and not read on")
    func format() {
        #expect(
            UpgradeMessage([0, 0, 0, 0, 9, 1, 2, 3], descriptor: -1)
                == .hello(UpgradeMessage.Hello(format: 9, services: [])))
    }
}
