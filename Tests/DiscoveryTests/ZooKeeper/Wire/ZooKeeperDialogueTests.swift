import Testing

@testable import Discovery

@Suite struct ZooKeeperDialogueTests {
    /// A line of the captured dialogue.
    struct Message {
        let isServers: Bool
        let bytes: [UInt8]
    }

    /// Captured messages, oldest first.
    static func captured() throws -> [Message] {
        try Fixture.resource("zookeeper-dialogue.txt").split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
            line in
            let digits = Array(line.dropFirst(2).utf8)
            let bytes = stride(from: 0, to: digits.count, by: 2).map {
                UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) ?? 0
            }
            return Message(isServers: line.hasPrefix("S"), bytes: bytes)
        }
    }

    /// What the captured client asked, in its order.
    static let requests: [ZooKeeperRequest] = [
        .create("/dubbo", data: [], isEphemeral: false, isOwnerOnly: false),
        .create("/dubbo/a%3A", data: Array("10.0.0.1".utf8), isEphemeral: true, isOwnerOnly: true),
        .children("/dubbo", watch: 1), .data("/dubbo/a%3A", watch: 2), .exists("/dubbo/none", watch: 3),
        .exists("/dubbo", watch: 0), .set("/dubbo/a%3A", data: Array("{}".utf8)),
        .create("/dubbo/none", data: [], isEphemeral: false, isOwnerOnly: false), .children("/dubbo", watch: 4),
        .forget("/dubbo", isChildren: true), .delete("/dubbo/none"), .data("/nowhere", watch: 5),
        .create("/dubbo", data: [], isEphemeral: false, isOwnerOnly: false), .data("/dubbo/a%3A", watch: 6),
        .delete("/dubbo/a%3A"),
    ]

    /// What the server's part of the capture means.
    static let meaning = [
        "alive", "opened 6000", "done", "done", #"children(["a%3A"])"#, "data 10.0.0.1", "noNode", "exists(owner: 0)",
        "fired [2]", "done", "fired [3]", "fired [1]", "done", #"children(["none", "a%3A"])"#, "done", "done", "noNode",
        "nodeExists", "data {}", "fired [6]", "done", "alive",
    ]

    /// A dialogue that writes down what it hears.
    final class Listener {
        private(set) var dialogue: ZooKeeperDialogue
        private(set) var heard: [String] = []

        init(credentials: String = "", resuming session: ZooKeeperSession? = nil) {
            dialogue = ZooKeeperDialogue(resuming: session, timeout: 6000, credentials: credentials)
        }

        func hear(_ bytes: some Collection<UInt8>) throws {
            var rest = Array(bytes)[...]
            while !rest.isEmpty {
                let count = dialogue.receive { room in
                    let part = rest.prefix(room.count)
                    room.copyBytes(from: part)
                    return part.count
                }
                rest = rest.dropFirst(count)
                while let event = try dialogue.next() { note(event) }
            }
        }

        func ask(_ request: ZooKeeperRequest) {
            dialogue.send(request) { [unowned self] in note($0) }
        }

        /// What waits to be sent.
        func said() -> [UInt8] {
            let said = Array(dialogue.output.waiting)
            dialogue.output.sent(said.count)
            return said
        }

        func ping() { dialogue.ping() }

        func sayGoodbye() { dialogue.sayGoodbye() }

        private func note(_ event: ZooKeeperDialogue.Event) {
            switch event {
            case .opened(_, let timeout): heard.append("opened \(timeout)")
            case .answered(let completion, let result): completion(result)
            case .fired(let watches): heard.append("fired \(watches.sorted())")
            case .alive: heard.append("alive")
            }
        }

        private func note(_ result: Result<ZooKeeperReply, ZooKeeperError>) {
            switch result {
            case .success(.data(let data)): heard.append("data \(String(decoding: data, as: UTF8.self))")
            case .success(let reply): heard.append("\(reply)")
            case .failure(let error): heard.append(error == .noNode ? "noNode" : "nodeExists")
            }
        }
    }

    /// To the byte what another client said to a real server, and what that answered.
    @Test func speaksAsCaptured() throws {
        let listener = Listener(credentials: "u:p")
        var left = Self.requests[...]
        var expected: [UInt8] = []
        for message in try Self.captured() {
            if message.isServers {
                #expect(listener.said() == expected)
                expected = []
                try listener.hear(message.bytes)
            } else {
                expected += message.bytes
                guard listener.dialogue.isOpen else { continue }
                if let request = left.popFirst() {
                    listener.ask(request)
                } else if message.bytes.starts(with: [0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe]) {
                    listener.ping()
                } else {
                    listener.sayGoodbye()
                    break
                }
            }
        }
        #expect(listener.said() == expected && left.isEmpty && !listener.dialogue.isAsking)
        #expect(listener.heard == Self.meaning)
    }

    /// All that the server says, cut in two at every place, and byte by byte.
    @Test func hearsTheSameHoweverItIsCut() throws {
        let bytes = try Self.captured().filter(\.isServers).flatMap(\.bytes).dropLast(20)
        let greeting = bytes.prefix(41 + 20)
        let answers = Array(bytes.dropFirst(greeting.count))
        for cut in 0...answers.count {
            let listener = Listener(credentials: "u:p")
            try listener.hear(greeting)
            for request in Self.requests { listener.ask(request) }
            if cut == answers.count {
                for byte in answers { try listener.hear([byte]) }
            } else {
                try listener.hear(answers[..<cut])
                try listener.hear(answers[cut...])
            }
            #expect(listener.heard == Self.meaning, "cut at \(cut)")
        }
        for cut in 0..<greeting.count {
            let listener = Listener(credentials: "u:p")
            try listener.hear(greeting.prefix(cut))
            #expect(listener.heard == (cut < 41 ? [] : ["alive"]))
            try listener.hear(greeting.dropFirst(cut))
            #expect(listener.heard == ["alive", "opened 6000"])
        }
    }

    /// Servers before 3.4 do not say whether they can only be read from.
    @Test func resumesASessionAndHearsWhenItIsGone() throws {
        let granted = try #require(try Self.captured().first(where: \.isServers)).bytes
        let old = Listener()
        try old.hear([0, 0, 0, 36] + granted[4..<40])
        #expect(old.heard == ["opened 6000"])
        guard case .granted(let session, 6000) = try ZooKeeperHandshake.answer(granted[4...]) else {
            Issue.record("no session")
            return
        }
        let said = Listener(resuming: session).said()
        #expect(
            Array(said[20..<28]) == Array(granted[12..<20])
                && said.suffix(17).dropLast() == granted.dropLast().suffix(16))

        let gone = [0, 0, 0, 37] + [UInt8](repeating: 0, count: 19) + [16] + [UInt8](repeating: 0, count: 17)
        #expect(throws: ZooKeeperDialogue.End.expired) { try Listener(resuming: session).hear(gone) }
        #expect(throws: ZooKeeperDialogue.End.lost("the server refuses a session")) { try Listener().hear(gone) }
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n", "\u{0}\u{0}\u{0}\u{23}", "\u{0}\u{0}\u{0}%" + String(repeating: "x", count: 37),
        "\u{7f}\u{7f}\u{7f}\u{7f}",
    ])
    func knowsWhatIsNoZooKeeper(bytes: String) {
        #expect(throws: ZooKeeperDialogue.End.lost("what listens there is no ZooKeeper server")) {
            try Listener().hear(Array(bytes.utf8))
        }
    }

    @Test func putsErrorsIntoWords() {
        #expect("\(ZooKeeperError(-111))" == "ZooKeeper says NotEmpty (-111)")
        #expect("\(ZooKeeperError(-9999))" == "ZooKeeper says error -9999")
        #expect(ZooKeeperError(-101) == .noNode && ZooKeeperError(-102) == .notAllowed)
        #expect(ZooKeeperError(-112).isFinal && !ZooKeeperError(-6).isFinal && !ZooKeeperError.lost.isFinal)
    }
}

@Suite struct ZooKeeperWatchesTests {
    /// Takes an event as it comes.
    private func fire(_ kind: Int32, _ path: String, _ watches: inout ZooKeeperWatches) throws -> Set<UInt64> {
        var writer = JuteWriter()
        writer.put(kind)
        writer.put(Int32(3))
        writer.put(path)
        var reader = JuteReader(writer.waiting)
        return watches.fired(try ZooKeeperEvent(&reader))
    }

    @Test func firesOnceAndTogether() throws {
        var watches = ZooKeeperWatches()
        for watch: UInt64 in [1, 1, 2] { watches.took(.children("/a", watch: watch), .success(.children([]))) }
        watches.took(.data("/a", watch: 3), .success(.data([])))
        watches.took(.exists("/a", watch: 4), .success(.exists(owner: 0)))
        watches.took(.exists("/b", watch: 5), .failure(.noNode))
        watches.took(.exists("/b", watch: 0), .failure(.noNode))
        // These set none.
        watches.took(.data("/c", watch: 6), .failure(.noNode))
        watches.took(.children("/c", watch: 6), .failure(.noNode))
        watches.took(.exists("/c", watch: 6), .failure(.notAllowed))

        #expect(try fire(1, "/c", &watches) == [])
        #expect(try fire(9, "/a", &watches) == [])
        #expect(try fire(4, "/a", &watches) == [1, 2])
        #expect(try fire(4, "/a", &watches) == [])
        #expect(try fire(3, "/a", &watches) == [3, 4])
        #expect(try fire(1, "/b", &watches) == [5])
        #expect(try fire(2, "/a", &watches) == [])

        watches.took(.children("/a", watch: 1), .success(.children([])))
        watches.took(.data("/a", watch: 3), .success(.data([])))
        #expect(try fire(2, "/a", &watches) == [1, 3])
        watches.took(.children("/a", watch: 1), .success(.children([])))
        watches.took(.data("/a", watch: 3), .success(.data([])))
        watches.took(.forget("/a", isChildren: true), .failure(.code(-6)))
        watches.took(.forget("/a", isChildren: false), .success(.done))
        #expect(try fire(2, "/a", &watches) == [1])
    }
}
