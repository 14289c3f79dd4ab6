import CCurl
import Configuration
import Glibc
import Runtime

/// HTTP/1.1 for the control plane: libcurl's multi interface driven by an event loop.
///
/// No thread per request; connections are kept alive and reused. At most `connectionsPerHost` exchanges are under way with
/// one host, the others wait in order. Completions are called on the loop, never from within `send`.
public final class HTTPClient {
    /// Names an exchange so that it can be cancelled.
    public struct Call: Hashable, Sendable {
        let number: UInt64
    }

    private struct Host {
        var active = 0
        var waiting = Fifo<UInt64>()
    }

    let loop: EventLoop
    /// How `https` URLs are spoken to, the only ones it takes then; nil: with the system's authorities.
    let tls: TLSSettings?
    private let connectionsPerHost: Int
    private let maximumWaiting: Int
    private(set) var multi: UnsafeMutableRawPointer?
    private var timer: EventLoop.Timer?
    private var sockets: Set<Int32> = []
    private(set) var transfers: [UInt64: HTTPTransfer] = [:]
    private var hosts: [String: Host] = [:]
    private var waitingCount = 0
    /// Streams of which pieces wait to be handed out.
    let fed = HTTPStream.Fed()
    private var idleHandles: [UnsafeMutableRawPointer] = []
    private var nextNumber: UInt64 = 1

    private static let isLibraryReady = curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK

    /// Creates a client on a loop.
    ///
    /// - Parameters:
    ///   - connectionsPerHost: 1 or more.
    ///   - maximumWaiting: requests beyond this many that wait for a connection are refused with `.overloaded`.
    ///   - tls: all requests are sent over TLS with these settings; nothing is sent to an `http` URL.
    /// - Throws: `SystemError` when libcurl cannot be set up.
    public init(
        loop: EventLoop, connectionsPerHost: Int = 8, maximumWaiting: Int = 100_000, tls: TLSSettings? = nil
    ) throws {
        guard Self.isLibraryReady, let multi = curl_multi_init() else {
            throw SystemError("set up libcurl", code: ENOMEM)
        }
        self.loop = loop
        self.connectionsPerHost = max(1, connectionsPerHost)
        self.maximumWaiting = maximumWaiting
        self.tls = tls
        self.multi = multi
        let context = Unmanaged.passUnretained(self).toOpaque()
        ccurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, 4 * self.connectionsPerHost)
        ccurl_multi_set_timer(
            multi,
            { _, milliseconds, context in
                HTTPClient.from(context).setTimer(milliseconds: milliseconds)
                return 0
            }, context)
        ccurl_multi_set_socket(
            multi,
            { _, socket, what, context, _ in
                HTTPClient.from(context).setInterest(socket, what)
                return 0
            }, context)
    }

    deinit { close() }

    /// Sends a request; `completion` is called once with the outcome, unless the call is cancelled before.
    @discardableResult
    public func send(
        _ request: HTTPRequest, completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) -> Call { send(request, stream: nil, completion: completion) }

    func send(
        _ request: HTTPRequest, stream: HTTPStream?, completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) -> Call {
        let call = Call(number: nextNumber)
        nextNumber += 1
        let problem = multi == nil ? .invalidRequest("the client is closed") : HTTPTransfer.problem(with: request, tls)
        let origin = HTTPTransfer.origin(of: request.url)
        let transfer = HTTPTransfer(
            number: call.number, request: request, tls: tls, origin: origin, stream: stream,
            completion: completion)
        if let problem {
            refuse(transfer, problem)
        } else if stream != nil || hosts[origin, default: Host()].active < connectionsPerHost {
            transfers[call.number] = transfer
            start(transfer)
        } else if waitingCount < maximumWaiting {
            transfers[call.number] = transfer
            hosts[origin, default: Host()].waiting.append(call.number)
            waitingCount += 1
        } else {
            refuse(transfer, .overloaded)
        }
        return call
    }

    /// Ends an exchange without calling its completion. One that has ended is no error.
    public func cancel(_ call: Call) {
        guard let transfer = transfers.removeValue(forKey: call.number) else { return }
        guard transfer.easy != nil else { return }  // It waits: its number is skipped when its turn comes.
        release(transfer)
        startWaiting(transfer.origin)
    }

    /// Ends everything; no completion is called any more.
    public func close() {
        guard let multi else { return }
        self.multi = nil
        loop.cancel(timer)
        for socket in sockets { loop.unwatch(socket) }
        sockets.removeAll()
        // From here libcurl must not call back: this object may be on its way out.
        ccurl_multi_set_timer(multi, nil, nil)
        ccurl_multi_set_socket(multi, nil, nil)
        for transfer in transfers.values {
            transfer.stream?.end(loop)
            guard let easy = transfer.detach() else { continue }
            curl_multi_remove_handle(multi, easy)
            curl_easy_cleanup(easy)
        }
        transfers.removeAll()
        hosts.removeAll()
        for easy in idleHandles { curl_easy_cleanup(easy) }
        idleHandles.removeAll()
        curl_multi_cleanup(multi)
    }

    /// Sends one request and waits for the outcome: for commands that have no loop.
    public static func perform(_ request: HTTPRequest) throws(HTTPError) -> HTTPResponse {
        var result: Result<HTTPResponse, HTTPError>?
        do {
            let loop = try EventLoop()
            let client = try HTTPClient(loop: loop)
            client.send(request) { result = $0 }
            _ = loop.run(for: request.timeout + .seconds(5)) { result != nil }
            client.close()
        } catch {
            throw .invalidRequest("\(error)")
        }
        return try (result ?? .failure(.timedOut(request.timeout))).get()
    }

    /// Ends an exchange that was not begun; it can be cancelled until then as any other.
    private func refuse(_ transfer: HTTPTransfer, _ error: HTTPError) {
        transfers[transfer.number] = transfer
        loop.schedule(after: .zero) { [self] in
            if transfers.removeValue(forKey: transfer.number) != nil { transfer.completion(.failure(error)) }
        }
    }

    private func start(_ transfer: HTTPTransfer) {
        guard let multi else { return }
        guard let easy = idleHandles.popLast() ?? curl_easy_init() else { return refuse(transfer, .overloaded) }
        if transfer.stream == nil { hosts[transfer.origin, default: Host()].active += 1 }
        transfer.prepare(easy)
        let code = curl_multi_add_handle(multi, easy)
        if code != CURLM_OK {
            loop.schedule(after: .zero) { [weak self] in
                self?.finish(transfer, .failure(.invalidRequest(String(cString: curl_multi_strerror(code)))))
            }
        }
    }

    /// Lets libcurl go on with a socket, or with what is due by time, and hands out what has ended.
    private func advance(_ socket: Int32, _ mask: Int32) {
        guard let multi else { return }
        var running: Int32 = 0
        curl_multi_socket_action(multi, socket, mask, &running)
        var ended: [(HTTPTransfer, CURLcode)] = []
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = ccurl_message_easy(message) else { continue }
            var context: UnsafeMutableRawPointer?
            ccurl_get_pointer(easy, CURLINFO_PRIVATE, &context)
            guard let context else { continue }
            let transfer = Unmanaged<HTTPTransfer>.fromOpaque(context).takeUnretainedValue()
            ended.append((transfer, ccurl_message_result(message)))
        }
        handOutPieces()
        // A completion may cancel another that has ended too, or close the client.
        for (transfer, code) in ended where transfers[transfer.number] != nil {
            let outcome = transfer.outcome(code)
            handOutRest(transfer)
            finish(transfer, outcome)
        }
    }

    func finish(_ transfer: HTTPTransfer, _ result: Result<HTTPResponse, HTTPError>) {
        guard transfers.removeValue(forKey: transfer.number) != nil else { return }
        release(transfer)
        startWaiting(transfer.origin)
        transfer.completion(result)
    }

    private func release(_ transfer: HTTPTransfer) {
        if let stream = transfer.stream { stream.end(loop) } else { hosts[transfer.origin]?.active -= 1 }
        guard let easy = transfer.detach() else { return }
        if let multi { curl_multi_remove_handle(multi, easy) }
        if idleHandles.count < 32 {
            curl_easy_reset(easy)
            idleHandles.append(easy)
        } else {
            curl_easy_cleanup(easy)
        }
    }

    private func startWaiting(_ origin: String) {
        while let host = hosts[origin], host.active < connectionsPerHost,
            let number = hosts[origin]?.waiting.popFirst()
        {
            waitingCount -= 1
            if let transfer = transfers[number] { start(transfer) }
        }
        if let host = hosts[origin], host.active == 0, host.waiting.isEmpty { hosts[origin] = nil }
    }

    private func setTimer(milliseconds: Int) {
        loop.cancel(timer)
        timer = nil
        guard milliseconds >= 0 else { return }
        timer = loop.schedule(after: .milliseconds(milliseconds)) { [weak self] in
            self?.timer = nil
            self?.advance(CURL_SOCKET_BAD, 0)
        }
    }

    private func setInterest(_ socket: Int32, _ what: Int32) {
        guard what != CURL_POLL_REMOVE else {
            sockets.remove(socket)
            loop.unwatch(socket)
            return
        }
        var interest: Readiness = []
        if what & CURL_POLL_IN != 0 { interest.insert(.readable) }
        if what & CURL_POLL_OUT != 0 { interest.insert(.writable) }
        sockets.insert(socket)
        loop.watch(socket, interest) { [weak self] readiness in
            var mask: Int32 = 0
            if !readiness.isDisjoint(with: [.readable, .hangUp, .peerClosed]) { mask |= CURL_CSELECT_IN }
            if readiness.contains(.writable) { mask |= CURL_CSELECT_OUT }
            if readiness.contains(.error) { mask |= CURL_CSELECT_ERR }
            self?.advance(socket, mask)
        }
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> HTTPClient {
        Unmanaged<HTTPClient>.fromOpaque(context!).takeUnretainedValue()
    }
}
