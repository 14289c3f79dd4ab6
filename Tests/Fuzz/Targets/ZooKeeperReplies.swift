// Longest input: 512
// Sources: Sources/Discovery/ZooKeeper/Wire Sources/Discovery/Shared/Fifo.swift

/// What a client has heard, in order.
private enum Heard: Equatable {
    case opened(ZooKeeperSession, Int32)
    case answered(Int, Result<ZooKeeperReply, ZooKeeperError>)
    case fired([UInt64])
    case alive
    case ended(ZooKeeperDialogue.End)
}

/// The client's side of a connection. The first byte of an input says what it does, and whether the server begins well.
private struct Client {
    var dialogue: ZooKeeperDialogue
    var heard: [Heard] = []
    private let asks: Bool
    private let log = Log()

    private final class Log {
        var answers: [(Int, Result<ZooKeeperReply, ZooKeeperError>)] = []
    }

    static let requests: [ZooKeeperRequest] = [
        .children("/a", watch: 1), .data("/a", watch: 2), .exists("/a", watch: 3), .exists("/b", watch: 4),
        .create("/c", data: [1], isEphemeral: true, isOwnerOnly: true), .set("/c", data: []), .delete("/c"),
        .forget("/a", isChildren: true), .children("/a", watch: 5), .data("/a", watch: 6),
    ]

    init(_ mode: UInt8) {
        asks = mode & 1 != 0
        let session = ZooKeeperSession(number: 7, password: [UInt8](repeating: 7, count: 16))
        dialogue = ZooKeeperDialogue(
            resuming: mode & 2 != 0 ? session : nil, timeout: 6000, credentials: mode & 4 != 0 ? "u:p" : "")
        if mode & 8 != 0 {
            hear([0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 23, 112, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16])
            hear([UInt8](repeating: 7, count: 16))
        }
    }

    /// Takes in what a server says; false when that has ended the connection.
    @discardableResult
    mutating func hear(_ bytes: [UInt8]) -> Bool {
        var position = 0
        while position < bytes.count {
            let count = dialogue.receive { room in
                let part = bytes[position...].prefix(room.count)
                room.copyBytes(from: part)
                return part.count
            }
            require(count > 0, "no room")
            position += count
            do throws(ZooKeeperDialogue.End) {
                while let event = try dialogue.next() { note(event) }
            } catch {
                heard.append(.ended(error))
                return false
            }
        }
        return true
    }

    private mutating func note(_ event: ZooKeeperDialogue.Event) {
        switch event {
        case .opened(let session, let timeout):
            require(dialogue.isOpen && timeout > 0 && session.number != 0, "opened without a session")
            heard.append(.opened(session, timeout))
            if asks { ask() }
        case .answered(let completion, let result):
            completion(result)
            let (index, result) = log.answers.removeLast()
            heard.append(.answered(index, result))
        case .fired(let watches): heard.append(.fired(watches.sorted()))
        case .alive: heard.append(.alive)
        }
    }

    private mutating func ask() {
        for (index, request) in Self.requests.enumerated() {
            dialogue.send(request) { [log] in log.answers.append((index, $0)) }
        }
    }

    /// Ends the connection, and checks that every request has got one answer, in order.
    mutating func finish() {
        var answered = heard.compactMap { if case .answered(let index, _) = $0 { index } else { nil } }
        while let completion = dialogue.popUnanswered() {
            completion(.failure(.lost))
            answered.append(log.answers.removeLast().0)
        }
        let isOpened = heard.contains { if case .opened = $0 { true } else { false } }
        require(answered.elementsEqual(0..<(asks && isOpened ? Self.requests.count : 0)), "answers out of order")
    }

    /// No name and no data comes from nowhere.
    func checkSize(_ count: Int) {
        var size = 0
        for case .answered(_, .success(let reply)) in heard {
            switch reply {
            case .children(let names): size += names.count * 5
            case .data(let data): size += data.count
            case .done, .exists: break
            }
        }
        require(size <= count, "more than was said")
    }
}

/// Lets a server say anything, at once and in pieces: it means the same, and ends at most the connection.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard count > 1 else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: input + 1, count: count - 1))
    var whole = Client(input[0])
    whole.hear(bytes)

    var pieces = Client(input[0])
    var choice = digest(input, count)
    var position = 0
    while position < bytes.count {
        let size = min(bytes.count - position, Int(choice % 23) + 1)
        choice = choice >> 5 | choice << 59
        guard pieces.hear(Array(bytes[position..<position + size])) else { break }
        position += size
    }
    require(whole.heard == pieces.heard, "it matters how it is cut")
    whole.checkSize(count)
    whole.finish()
    pieces.finish()
    return 0
}
