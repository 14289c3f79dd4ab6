import Glibc
import Runtime
import Synchronization
import Testing

@Suite struct MailboxTests {
    private struct Message {
        let sender: Int
        let number: Int
    }

    @Test func everyMessageOfEveryThreadArrivesOnceAndInOrder() throws {
        let loop = try EventLoop()
        let mailbox = try Mailbox<Message>()
        var received = [Int](repeating: 0, count: 4)
        var outOfOrder = 0
        loop.receive(mailbox) { message in
            if message.number != received[message.sender] { outOfOrder += 1 }
            received[message.sender] += 1
        }
        let threads = try (0..<4).map { sender in
            try Thread(name: "sender \(sender) with a long name") {
                for number in 0..<5000 { mailbox.post(Message(sender: sender, number: number)) }
            }
        }
        #expect(loop.run(for: .seconds(30)) { received.allSatisfy { $0 == 5000 } })
        for thread in threads { thread.join() }
        #expect(outOfOrder == 0)
        #expect(mailbox.take().isEmpty)
    }

    @Test func aMessageThatAHandlerPostsIsTakenToo() throws {
        let loop = try EventLoop()
        let mailbox = try Mailbox<Int>()
        var received: [Int] = []
        loop.receive(mailbox) { number in
            received.append(number)
            if number < 3 { mailbox.post(number + 1) }
        }
        mailbox.post(0)
        #expect(loop.run(for: .seconds(10)) { received == [0, 1, 2, 3] })
    }

    @Test func takingClearsTheWakeUp() throws {
        let mailbox = try Mailbox<String>()
        mailbox.post("a")
        mailbox.post("b")
        #expect(isReadable(mailbox.descriptor))
        #expect(mailbox.take() == ["a", "b"])
        #expect(!isReadable(mailbox.descriptor))
        #expect(mailbox.take() == [])
        mailbox.post("c")
        #expect(isReadable(mailbox.descriptor))
    }

    private func isReadable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) == 1
    }
}

@Suite struct SignalsTests {
    /// In a thread of its own: blocking belongs to a thread, and the signals are sent to this thread alone.
    @Test func signalsBecomeEvents() throws {
        let seen = Mutex<[Int32]>([])
        let failure = Mutex<String?>(nil)
        let thread = try Thread(name: "signals") {
            do {
                let loop = try EventLoop()
                let signals = [SIGUSR1, SIGUSR2]
                Signals.block(signals)
                try Signals.watch(signals, on: loop) { number in seen.withLock { $0.append(number) } }
                pthread_kill(pthread_self(), SIGUSR1)
                pthread_kill(pthread_self(), SIGUSR2)
                _ = loop.run(for: .seconds(10)) { seen.withLock { $0.count >= 2 } }
            } catch {
                failure.withLock { $0 = "\(error)" }
            }
        }
        thread.join()
        #expect(failure.withLock { $0 } == nil)
        #expect(seen.withLock { $0.sorted() } == [SIGUSR1, SIGUSR2].sorted())
    }

    @Test func blockingIgnoresBrokenPipes() throws {
        Signals.block([])
        var pair: [Int32] = [0, 0]
        #expect(pipe(&pair) == 0)
        close(pair[0])
        var byte: UInt8 = 0
        #expect(write(pair[1], &byte, 1) == -1)
        #expect(errno == EPIPE)
        close(pair[1])
    }
}

@Suite struct ClockTests {
    @Test(arguments: [
        (Duration.zero, Int64(0)), (.milliseconds(-1500), -1_500_000_000), (.nanoseconds(7), 7),
        (.seconds(Int64.max), .max), (.seconds(Int64.min), .min), (.nanoseconds(Int64.max), .max),
        (.nanoseconds(Int64.max) + .nanoseconds(1), .max),
    ])
    func durationsSaturate(duration: Duration, expected: Int64) {
        #expect(duration.nanoseconds == expected)
    }

    @Test func theClockDoesNotGoBack() {
        let first = Clock.nanoseconds
        #expect(Clock.nanoseconds >= first)
        #expect(Clock.wallNanoseconds > 1_700_000_000_000_000_000)
    }
}
