import Runtime
import Synchronization
import TestSupport

@testable import Discovery

/// A ZooKeeper with a fixed tree on a thread of its own, for what a real one cannot be made to say.
final class FakeZooKeeper: Sendable {
    /// What a client has sent.
    struct Question: Sendable {
        /// The connection's number, from 0.
        let connection: Int
        let number: Int32
        let operation: Int32
        let path: String

        var isPing: Bool { operation == 11 }
        var isLogin: Bool { operation == 100 }
        /// The list of providers.
        var isList: Bool { operation == 8 && path.hasSuffix("/providers") }
    }

    /// What is said instead of the right answer.
    enum Answer: Sendable {
        case bytes([UInt8])
        /// These, and then the right answer.
        case before([UInt8])
        case silence
        /// The connection is closed after these.
        case close([UInt8])
    }

    let server: ScriptedServer
    private let log: Log

    private final class Log: Sendable {
        let greetings = Mutex<[[UInt8]]>([])
        let questions = Mutex<[Question]>([])
    }

    /// - Parameters:
    ///   - children: names below paths; all other nodes are missing.
    ///   - session: what it grants, in milliseconds.
    ///   - isDribbling: bytes are sent one by one.
    ///   - fault: what is answered instead, while it returns something.
    init(
        _ children: [String: [String]] = [:], session: Int32 = 30_000, isDribbling: Bool = false,
        fault: @escaping @Sendable (Question) -> Answer? = { _ in nil }
    ) throws {
        let log = Log()
        self.log = log
        server = try ScriptedServer { connection, number in
            let send: ([UInt8]) -> Void = { bytes in
                if isDribbling { for byte in bytes { connection.send([byte]) } } else { connection.send(bytes) }
            }
            guard let greeting = Self.receive(connection) else { return }
            log.greetings.withLock { $0.append(greeting) }
            send(Self.granted(session, resuming: greeting, isOld: number % 2 == 1))
            while let frame = Self.receive(connection), let question = Self.question(frame, number) {
                log.questions.withLock { $0.append(question) }
                switch fault(question) {
                case nil: send(Self.answer(question, children))
                case .before(let bytes): send(bytes + Self.answer(question, children))
                case .bytes(let bytes): send(bytes)
                case .silence: break
                case .close(let bytes):
                    send(bytes)
                    // Else what was not read would make it a reset.
                    connection.endOutput()
                    _ = connection.receiveAll()
                    return
                }
            }
        }
    }

    var address: SocketAddress { server.address }
    /// First messages of all connections.
    var greetings: [[UInt8]] { log.greetings.withLock { $0 } }
    /// All that was asked, on all connections.
    var questions: [Question] { log.questions.withLock { $0 } }

    /// A message with the header of an answer.
    static func message(_ number: Int32, code: Int32 = 0, _ body: (inout JuteWriter) -> Void = { _ in }) -> [UInt8] {
        var writer = JuteWriter()
        writer.frame {
            $0.put(number)
            $0.put(Int64(1))
            $0.put(code)
            body(&$0)
        }
        return Array(writer.waiting)
    }

    private static func receive(_ connection: Connection) -> [UInt8]? {
        let head = connection.receive(exactly: 4)
        guard head.count == 4 else { return nil }
        let count = head.reduce(0) { $0 << 8 | Int($1) }
        let body = connection.receive(exactly: count)
        return body.count == count ? body : nil
    }

    private static func question(_ frame: [UInt8], _ connection: Int) -> Question? {
        var reader = JuteReader(frame[...])
        guard let number = try? reader.int32(), let operation = try? reader.int32() else { return nil }
        let path = number > 0 ? try? reader.text() : nil
        return Question(connection: connection, number: number, operation: operation, path: path ?? "")
    }

    private static func granted(_ session: Int32, resuming greeting: [UInt8], isOld: Bool) -> [UInt8] {
        var reader = JuteReader(greeting[16...])
        let asked = (try? reader.int64()) ?? 0
        var writer = JuteWriter()
        writer.frame {
            $0.put(Int32(0))
            $0.put(session)
            $0.put(asked == 0 ? Int64.random(in: 1 ... .max) : asked)
            $0.put([UInt8](repeating: 7, count: 16))
            if !isOld { $0.put(false) }
        }
        return Array(writer.waiting)
    }

    private static func answer(_ question: Question, _ children: [String: [String]]) -> [UInt8] {
        switch question.operation {
        case 8:
            guard let names = children[question.path] else { break }
            return message(question.number) {
                $0.put(Int32(names.count))
                for name in names { $0.put(name) }
            }
        case 11, 100, 18: return message(question.number)
        case 4 where children.isEmpty:
            // A node's path is its data.
            return message(question.number) {
                $0.put(question.path)
                for _ in 0..<17 { $0.put(Int32(0)) }
            }
        case 5: return message(question.number) { for _ in 0..<17 { $0.put(Int32(0)) } }
        default: break
        }
        return message(question.number, code: -101)
    }
}
