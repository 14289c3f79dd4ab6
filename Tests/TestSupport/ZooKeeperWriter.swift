import Glibc
import Runtime

/// A small blocking ZooKeeper client for tests that speaks the protocol itself, so that what is written does not come from the
/// client under test.
public final class ZooKeeperWriter {
    /// What a server refuses, by its code.
    public struct Refusal: Error, Equatable {
        /// -101 no node, -102 not allowed, -110 exists already, …
        public let code: Int32

        /// A refusal.
        public init(code: Int32) { self.code = code }
    }

    /// The session's number.
    public private(set) var session: Int64 = 0
    private let connection: Connection
    private var number: Int32 = 0
    private var isOwnerOnly = false

    /// Begins a session.
    ///
    /// - Parameter credentials: `USER:PASSWORD`; what is made then belongs to these alone.
    public init(_ address: SocketAddress, timeout: Int32 = 40_000, credentials: String = "") throws {
        connection = try Connection(to: address)
        sendAtOnce(connection.descriptor)
        var hello = Bytes()
        hello.put(Int32(0))
        hello.put(Int64(0))
        hello.put(timeout)
        hello.put(Int64(0))
        hello.put([UInt8](repeating: 0, count: 16))
        connection.send(hello.framed)
        var answer = try receive()
        _ = answer.int32()
        _ = answer.int32()
        session = answer.int64()
        guard !credentials.isEmpty else { return }
        isOwnerOnly = true
        var login = Bytes()
        login.put(Int32(-4))
        login.put(Int32(100))
        login.put(Int32(0))
        login.put("digest")
        login.put(Array(credentials.utf8))
        connection.send(login.framed)
        _ = try receive()
    }

    /// Makes a node. Those above it are made where they are missing, without an end.
    public func create(_ path: String, _ data: String = "", isEphemeral: Bool = false) throws {
        try create(path, Array(data.utf8), isEphemeral: isEphemeral)
    }

    /// Makes a node with any data.
    public func create(_ path: String, _ data: [UInt8], isEphemeral: Bool = false) throws {
        do {
            try ask(1, creation(path, data, isEphemeral: isEphemeral))
        } catch let refusal as Refusal where refusal.code == -101 {
            let parent = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
            guard !parent.isEmpty else { throw refusal }
            try create(parent, "")
            try ask(1, creation(path, data, isEphemeral: isEphemeral))
        }
    }

    /// Makes many nodes whose parents are there or come before them, without waiting for each answer.
    public func createAll(_ paths: some Sequence<String>, isEphemeral: Bool = false) throws {
        var waiting = 0
        for path in paths {
            send(1, creation(path, [], isEphemeral: isEphemeral))
            waiting += 1
            if waiting > 500 {
                try takeAnswer()
                waiting -= 1
            }
        }
        for _ in 0..<waiting { try takeAnswer() }
    }

    /// Replaces a node's data.
    public func set(_ path: String, _ data: String) throws {
        var body = Bytes()
        body.put(path)
        body.put(Array(data.utf8))
        body.put(Int32(-1))
        try ask(5, body)
    }

    /// Takes a node away that has no children.
    public func delete(_ path: String) throws {
        var body = Bytes()
        body.put(path)
        body.put(Int32(-1))
        try ask(2, body)
    }

    /// Takes a node and all below it away.
    public func deleteAll(_ path: String) throws {
        for child in try children(path) { try deleteAll(path + "/" + child) }
        try delete(path)
    }

    /// Names below a node.
    public func children(_ path: String) throws -> [String] {
        var body = Bytes()
        body.put(path)
        body.put(UInt8(0))
        var answer = try ask(8, body)
        return (0..<max(0, answer.int32())).map { _ in answer.text() }
    }

    /// A node's data and the session it ends with, 0 for none; nil when there is no such node.
    public func data(_ path: String) throws -> (text: String, owner: Int64)? {
        var body = Bytes()
        body.put(path)
        body.put(UInt8(0))
        do {
            var answer = try ask(4, body)
            let text = answer.text()
            // Four numbers of 8 bytes and three of 4 stand before the owner.
            for _ in 0..<4 { _ = answer.int64() }
            for _ in 0..<3 { _ = answer.int32() }
            return (text, answer.int64())
        } catch let refusal as Refusal where refusal.code == -101 {
            return nil
        }
    }

    /// Ends the session: nodes that live as long as it go at once.
    public func close() { send(-11, Bytes()) }

    private func creation(_ path: String, _ data: [UInt8], isEphemeral: Bool) -> Bytes {
        var body = Bytes()
        body.put(path)
        body.put(data)
        body.put(Int32(1))
        body.put(Int32(31))
        body.put(isOwnerOnly ? "auth" : "world")
        body.put(isOwnerOnly ? "" : "anyone")
        body.put(Int32(isEphemeral ? 1 : 0))
        return body
    }

    @discardableResult
    private func ask(_ type: Int32, _ body: Bytes) throws -> Bytes {
        send(type, body)
        return try takeAnswer()
    }

    private func send(_ type: Int32, _ body: Bytes) {
        number += 1
        var message = Bytes()
        message.put(number)
        message.put(type)
        message.bytes += body.bytes
        connection.send(message.framed)
    }

    @discardableResult
    private func takeAnswer() throws -> Bytes {
        var answer = try receive()
        _ = answer.int32()
        _ = answer.int64()
        let code = answer.int32()
        guard code == 0 else { throw Refusal(code: code) }
        return answer
    }

    private func receive() throws -> Bytes {
        var head = Bytes(bytes: connection.receive(exactly: 4))
        guard head.bytes.count == 4 else { throw TestFailure("ZooKeeper has closed the connection") }
        return Bytes(bytes: connection.receive(exactly: Int(head.int32())))
    }

    private struct Bytes {
        var bytes: [UInt8] = []
        private var position = 0

        init(bytes: [UInt8] = []) { self.bytes = bytes }

        var framed: [UInt8] {
            var frame = Bytes()
            frame.put(Int32(bytes.count))
            return frame.bytes + bytes
        }

        mutating func put(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { bytes += Array($0) }
        }

        mutating func put(_ value: [UInt8]) {
            put(Int32(value.count))
            bytes += value
        }

        mutating func put(_ value: String) { put(Array(value.utf8)) }

        mutating func int32() -> Int32 { take(4).reduce(0) { $0 << 8 | Int32($1) } }

        mutating func int64() -> Int64 { take(8).reduce(0) { $0 << 8 | Int64($1) } }

        mutating func text() -> String { String(decoding: take(max(0, Int(int32()))), as: UTF8.self) }

        private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
            let end = min(position + count, bytes.count)
            defer { position = end }
            return bytes[position..<end]
        }
    }
}

/// Answers would wait for more to send.
private func sendAtOnce(_ descriptor: Int32) {
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
}
