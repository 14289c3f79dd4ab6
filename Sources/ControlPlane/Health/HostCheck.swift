import CLinux
import Glibc
import Runtime

/// One check of one address, over a connection of its own that is closed at its end, however it ends. Plain sockets instead of a
/// library for HTTP: with thousands of hosts a check must cost little, and the first line of an answer is all that counts.
final class HostCheck {
    /// What came of it.
    enum Outcome: Equatable {
        case good
        /// There is no connection.
        case unreachable(String)
        /// The answer is not what it should be, or there is none in time.
        case failed(String)

        /// This process has no descriptors, ports or memory left: nothing is known of the host.
        case exhausted(String)

        /// Why it is not good.
        var why: String? {
            switch self {
            case .good: nil
            case .unreachable(let why), .failed(let why), .exhausted(let why): why
            }
        }

        /// It says something about the host.
        var isOfHost: Bool { if case .exhausted = self { false } else { true } }
    }

    private let address: SocketAddress
    private let loop: EventLoop
    private var dialogue: CheckDialogue
    private var completion: ((Outcome) -> Void)?
    private var descriptor: Int32 = -1
    private var timer: EventLoop.Timer?
    private var isConnected = false

    /// Begins. `completion` is called once, never from within, unless the check is cancelled or let go before.
    init(
        _ question: CheckQuestion, at address: SocketAddress, timeout: Duration, loop: EventLoop,
        completion: @escaping (Outcome) -> Void
    ) {
        self.address = address
        self.loop = loop
        self.completion = completion
        dialogue = CheckDialogue(question, host: "\(address)")
        do {
            descriptor = try Socket.connect(to: address)
        } catch {
            let outcome: Outcome = SystemError.isOurs(error.code) ? .exhausted("\(error)") : .unreachable("\(error)")
            timer = loop.schedule(after: .zero) { [weak self] in self?.finish(outcome) }
            return
        }
        timer = loop.schedule(after: timeout) { [weak self] in self?.expire() }
        if !loop.watch(descriptor, .writable, handler: { [weak self] _ in self?.connected() }) {
            loop.cancel(timer)
            timer = loop.schedule(after: .zero) { [weak self] in
                self?.finish(.exhausted("the connection to \(address) cannot be watched"))
            }
        }
    }

    deinit { release() }

    /// Ends it without an outcome.
    func cancel() {
        completion = nil
        release()
    }

    private func expire() {
        if isConnected { return finish(.failed("\(dialogue.question) at \(address): no answer in time")) }
        finish(.unreachable("\(address) has not taken a connection in time"))
    }

    private func connected() {
        let error = Socket.connectError(descriptor)
        if error != 0 {
            return finish(.unreachable("\(SystemError("connect to \(address)", code: error))"))
        }
        isConnected = true
        let bytes = dialogue.request
        if bytes.isEmpty { return finish(.good) }
        // It is short, and nothing was sent before: it fits.
        let sent = bytes.withUnsafeBytes { clinux_send(descriptor, $0.baseAddress!, $0.count) }
        if sent != bytes.count { return finish(.failed("\(dialogue.question) at \(address): it takes nothing")) }
        loop.watch(descriptor, .readable) { [weak self] _ in self?.read() }
    }

    private func read() {
        let size = 4096
        let outcome = withUnsafeTemporaryAllocation(byteCount: size, alignment: 1) { buffer -> CheckDialogue.Step in
            let count = recv(descriptor, buffer.baseAddress, size, 0)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return .more }
            if count <= 0 { return .bad("the connection ends without an answer") }
            return dialogue.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        switch outcome {
        case .more: break
        case .good: finish(.good)
        case .bad(let why): finish(.failed("\(dialogue.question) at \(address): \(why)"))
        }
    }

    private func finish(_ outcome: Outcome) {
        release()
        let completion = completion
        self.completion = nil
        completion?(outcome)
    }

    private func release() {
        loop.cancel(timer)
        timer = nil
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }
}
