/// What is said on one connection, without the socket: bytes in, events out.
///
/// The server greets back, takes the credentials, and then answers requests in the order in which they were sent. Whatever
/// else it says ends the connection, with a reason.
struct ZooKeeperDialogue {
    typealias Completion = (Result<ZooKeeperReply, ZooKeeperError>) -> Void

    /// How a connection ends.
    enum End: Error, Equatable {
        /// Anything; the session may go on.
        case lost(String)
        /// The server does not know the session any more.
        case expired
    }

    /// What a message of the server means.
    enum Event {
        /// Requests can be sent. The session lives so many milliseconds without a sign of life.
        case opened(ZooKeeperSession, timeout: Int32)
        /// A request has its answer.
        case answered(Completion, Result<ZooKeeperReply, ZooKeeperError>)
        /// Watches have fired.
        case fired(Set<UInt64>)
        /// Nothing but that the server lives.
        case alive
    }

    private enum Phase {
        case greeting
        case loggingIn(ZooKeeperSession, timeout: Int32)
        case open
    }

    private struct Question {
        let number: Int32
        let request: ZooKeeperRequest
        let completion: Completion
    }

    /// What is to be sent.
    var output = JuteWriter()
    /// Requests can be sent.
    var isOpen: Bool { if case .open = phase { true } else { false } }
    /// A request waits for its answer.
    var isAsking: Bool { !questions.isEmpty }
    /// Part of a message has come.
    var isWithinMessage: Bool { frames.isWithin }

    private var phase = Phase.greeting
    private var frames = ZooKeeperFrames()
    private var watches = ZooKeeperWatches()
    private var questions = Fifo<Question>()
    private var lastNumber: Int32 = 0
    private let isResuming: Bool
    private let credentials: String

    /// Begins by greeting the server.
    ///
    /// - Parameters:
    ///   - session: one to be resumed; nil for a new one.
    ///   - timeout: how long it shall live without a sign of life, in milliseconds.
    ///   - credentials: `USER:PASSWORD`, empty for none.
    init(resuming session: ZooKeeperSession?, timeout: Int32, credentials: String) {
        isResuming = session != nil
        self.credentials = credentials
        ZooKeeperHandshake.greet(&output, resuming: session, timeout: timeout)
    }

    /// Asks the server. Only while it is open; `answered` will bring the completion back.
    mutating func send(_ request: ZooKeeperRequest, completion: @escaping Completion) {
        let number = nextNumber()
        questions.append(Question(number: number, request: request, completion: completion))
        request.write(&output, number: number)
    }

    /// Gives the server a sign of life.
    mutating func ping() { ZooKeeperRequest.writePing(&output) }

    /// Tells the server that the session is over.
    mutating func sayGoodbye() { ZooKeeperRequest.writeClose(&output, number: nextNumber()) }

    /// Takes in what `read` writes into the memory it is given; it returns how much that is, 0 or less for nothing.
    mutating func receive(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Int { frames.receive(read) }

    /// What the next message means; nil when there is none that is whole.
    mutating func next() throws(End) -> Event? {
        if case .greeting = phase, let announced = frames.announced, !ZooKeeperHandshake.sizes.contains(announced) {
            throw Self.noZooKeeper
        }
        let frame: ArraySlice<UInt8>?
        do {
            frame = try frames.next()
        } catch {
            switch error {
            case .negative: throw .lost("the server sends what is no message of ZooKeeper")
            case .tooLarge(let size):
                throw .lost("the server sends a message of \(size) bytes; at most \(ZooKeeperFrames.largest) are taken")
            }
        }
        guard let frame else { return nil }
        if case .greeting = phase { return try takeGreeting(frame) }
        return try take(frame)
    }

    /// Why the connection ends when the server has closed it.
    var closed: End {
        if case .greeting = phase, frames.isWithin { return Self.noZooKeeper }
        return .lost("the server has closed the connection")
    }

    /// Takes out the oldest request that is not answered.
    mutating func popUnanswered() -> Completion? { questions.popFirst()?.completion }

    private static let noZooKeeper = End.lost("what listens there is no ZooKeeper server")

    private mutating func nextNumber() -> Int32 {
        lastNumber = lastNumber == .max ? 1 : lastNumber + 1
        return lastNumber
    }

    private mutating func takeGreeting(_ frame: ArraySlice<UInt8>) throws(End) -> Event {
        guard let answer = try? ZooKeeperHandshake.answer(frame) else { throw Self.noZooKeeper }
        guard case .granted(let session, let timeout) = answer else {
            throw isResuming ? .expired : .lost("the server refuses a session")
        }
        if credentials.isEmpty {
            phase = .open
            return .opened(session, timeout: timeout)
        }
        phase = .loggingIn(session, timeout: timeout)
        ZooKeeperRequest.writeLogin(&output, credentials)
        return .alive
    }

    private mutating func take(_ frame: ArraySlice<UInt8>) throws(End) -> Event {
        var reader = JuteReader(frame)
        guard let header = try? ZooKeeperReply.Header(&reader) else {
            throw .lost("the server sends what is no message of ZooKeeper")
        }
        switch header.number {
        case ZooKeeperRequest.Number.event:
            guard let event = try? ZooKeeperEvent(&reader) else {
                throw .lost("the server sends an event that cannot be read")
            }
            return .fired(watches.fired(event))
        case ZooKeeperRequest.Number.ping: return .alive
        case ZooKeeperRequest.Number.login: return try takeLogin(header)
        default: return try takeAnswer(header, &reader)
        }
    }

    private mutating func takeLogin(_ header: ZooKeeperReply.Header) throws(End) -> Event {
        guard case .loggingIn(let session, let timeout) = phase else { throw Self.unasked(header) }
        guard header.code == 0 else { throw .lost("the server refuses the credentials") }
        phase = .open
        return .opened(session, timeout: timeout)
    }

    private mutating func takeAnswer(
        _ header: ZooKeeperReply.Header, _ reader: inout JuteReader
    ) throws(End) -> Event {
        guard let question = questions.front else { throw Self.unasked(header) }
        guard header.number == question.number else {
            throw .lost("the server answers request \(header.number) where \(question.number) is due")
        }
        let result: Result<ZooKeeperReply, ZooKeeperError>
        if header.code == 0 {
            guard let reply = try? ZooKeeperReply(&reader, to: question.request) else {
                throw .lost("the server's answer to \(question.request.name) cannot be read")
            }
            result = .success(reply)
        } else {
            let error = ZooKeeperError(header.code)
            guard !error.isFinal else { throw .lost("\(error)") }
            result = .failure(error)
        }
        _ = questions.popFirst()
        watches.took(question.request, result)
        return .answered(question.completion, result)
    }

    private static func unasked(_ header: ZooKeeperReply.Header) -> End {
        .lost("the server answers request \(header.number), which was not sent")
    }
}
