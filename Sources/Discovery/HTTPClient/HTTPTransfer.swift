import CCurl
import Configuration
import Glibc
import Runtime

/// One exchange: what libcurl needs while it is under way, and what has come so far.
final class HTTPTransfer {
    /// Names it.
    let number: UInt64
    /// Which host it is for: scheme, name and port of the URL.
    let origin: String
    /// Where the outcome goes.
    let completion: (Result<HTTPResponse, HTTPError>) -> Void
    /// Where the pieces of a streamed answer wait; nil for an ordinary exchange.
    let stream: HTTPStream?
    /// libcurl's handle while it is under way.
    private(set) var easy: UnsafeMutableRawPointer?

    private let request: HTTPRequest
    private let tls: TLSSettings?
    /// libcurl's words about what went wrong.
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var head: [UInt8] = []
    private var body: [UInt8] = []
    private var refusal: HTTPError?
    private var isSent = false

    private static let maximumHead = 65_536

    init(
        number: UInt64, request: HTTPRequest, tls: TLSSettings?, origin: String, stream: HTTPStream? = nil,
        completion: @escaping (Result<HTTPResponse, HTTPError>) -> Void
    ) {
        self.number = number
        self.request = request
        self.tls = tls
        errorText.pointee = 0
        self.origin = origin
        self.stream = stream
        self.completion = completion
    }

    deinit {
        curl_slist_free_all(headerList)
        errorText.deallocate()
    }

    /// Why a request cannot be sent; nil when it can.
    static func problem(with request: HTTPRequest, _ tls: TLSSettings?) -> HTTPError? {
        // Whatever may have become of the URL: tokens are not sent in plain.
        guard tls == nil || request.url.hasPrefix("https://") else { return .invalidRequest("the URL is not https") }
        guard request.url.hasPrefix("http://") || request.url.hasPrefix("https://") else {
            return .invalidRequest("the URL is neither http nor https")
        }
        let texts = [request.url, request.method] + request.headers.flatMap { [$0.name, $0.value] }
        if texts.contains(where: { $0.utf8.contains { $0 < 0x20 || $0 == 0x7f } }) {
            return .invalidRequest("control characters in the URL or a header")
        }
        return nil
    }

    /// Scheme, name and port of a URL.
    static func origin(of url: String) -> String {
        let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
        return String(url[..<(url[start...].firstIndex { $0 == "/" || $0 == "?" } ?? url.endIndex)])
    }

    /// Prepares a fresh or reset handle for this exchange.
    func prepare(_ easy: UnsafeMutableRawPointer) {
        self.easy = easy
        let context = Unmanaged.passUnretained(self).toOpaque()
        ccurl_set_pointer(easy, CURLOPT_PRIVATE, context)
        ccurl_set_text(easy, CURLOPT_URL, request.url)
        ccurl_set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https")
        // A registry is never behind the proxy that http_proxy in the environment means.
        ccurl_set_text(easy, CURLOPT_PROXY, "")
        ccurl_set_text(easy, CURLOPT_USERAGENT, "greymesh")
        ccurl_set_long(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        ccurl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        // A registry that comes back in another container has another address.
        ccurl_set_long(easy, CURLOPT_DNS_CACHE_TIMEOUT, 5)
        ccurl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
        // Otherwise a timeout during name lookup waits, blocking the loop, until the lookup has ended.
        ccurl_set_long(easy, CURLOPT_QUICK_EXIT, 1)
        ccurl_set_text(easy, CURLOPT_ERRORBUFFER, errorText)
        tls?.prepare(easy)
        ccurl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, Self.milliseconds(request.connectTimeout))
        if stream == nil {
            ccurl_set_long(easy, CURLOPT_TIMEOUT_MS, Self.milliseconds(request.timeout))
        } else {
            prepareStream(easy)
        }
        if request.acceptsGzip {
            ccurl_set_text(easy, CURLOPT_ACCEPT_ENCODING, "gzip")
            // libcurl unpacks up to a hundred buffers in one go; with small ones the loop is not held up for long.
            ccurl_set_long(easy, CURLOPT_BUFFERSIZE, 1024)
        }
        prepareBody(easy)
        prepareHeaders(easy)
        if request.isSentOnce {
            ccurl_set_before_request(
                easy,
                { context, _, _, _, _ in
                    HTTPTransfer.from(context).beginRequest() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
                }, context)
        }
        ccurl_set_pointer(easy, CURLOPT_HEADERDATA, context)
        ccurl_set_write(easy, CURLOPT_HEADERFUNCTION) { data, size, count, context in
            HTTPTransfer.from(context).takeHead(UnsafeRawBufferPointer(start: data, count: size * count))
        }
        ccurl_set_pointer(easy, CURLOPT_WRITEDATA, context)
        ccurl_set_write(easy, CURLOPT_WRITEFUNCTION) { data, size, count, context in
            HTTPTransfer.from(context).takeBody(UnsafeRawBufferPointer(start: data, count: size * count))
        }
    }

    /// A connection of its own that lasts; a peer that has vanished without a word is found out by the kernel.
    private func prepareStream(_ easy: UnsafeMutableRawPointer) {
        ccurl_set_long(easy, CURLOPT_FRESH_CONNECT, 1)
        ccurl_set_long(easy, CURLOPT_FORBID_REUSE, 1)
        ccurl_set_long(easy, CURLOPT_TCP_KEEPIDLE, 20)
        ccurl_set_long(easy, CURLOPT_TCP_KEEPINTVL, 10)
    }

    /// libcurl no longer knows it; returns its handle.
    func detach() -> UnsafeMutableRawPointer? {
        defer { easy = nil }
        return easy
    }

    /// What has come of it, once libcurl has ended it with `code`.
    func outcome(_ code: CURLcode) -> Result<HTTPResponse, HTTPError> {
        if let refusal { return .failure(refusal) }
        guard code == CURLE_OK else { return .failure(error(code)) }
        return .success(HTTPResponse(status: value(CURLINFO_RESPONSE_CODE), head: head, body: body))
    }

    private func prepareBody(_ easy: UnsafeMutableRawPointer) {
        if request.method == "HEAD" {
            ccurl_set_long(easy, CURLOPT_NOBODY, 1)
            return
        }
        if let body = request.body {
            ccurl_set_long(easy, CURLOPT_POSTFIELDSIZE, body.count)
            body.withUnsafeBytes { bytes in
                let start = bytes.bindMemory(to: CChar.self).baseAddress
                if let start { ccurl_set_text(easy, CURLOPT_COPYPOSTFIELDS, start) }
            }
            if body.isEmpty { ccurl_set_text(easy, CURLOPT_COPYPOSTFIELDS, "") }
        }
        if request.method != "GET" || request.body != nil {
            ccurl_set_text(easy, CURLOPT_CUSTOMREQUEST, request.method)
        }
    }

    private func prepareHeaders(_ easy: UnsafeMutableRawPointer) {
        // An empty value would remove a header of libcurl's own; the semicolon form sends it empty.
        for (name, value) in request.headers {
            headerList = curl_slist_append(headerList, value.isEmpty ? "\(name);" : "\(name): \(value)") ?? headerList
        }
        headerList = curl_slist_append(headerList, "Expect:") ?? headerList
        ccurl_set_list(easy, CURLOPT_HTTPHEADER, headerList)
    }

    /// libcurl is about to send the request. It does so again by itself when a connection breaks that it has used before, as the
    /// server may have closed it for being idle.
    private func beginRequest() -> Bool {
        guard isSent else {
            isSent = true
            return true
        }
        refusal = .dropped
        return false
    }

    private func takeHead(_ bytes: UnsafeRawBufferPointer) -> Int {
        stream?.lastActivity = Clock.nanoseconds
        // A status line begins a head: what came before was an interim answer.
        if bytes.starts(with: Array("HTTP/".utf8)) {
            head.removeAll(keepingCapacity: true)
            return bytes.count
        }
        guard head.count + bytes.count <= Self.maximumHead else {
            refusal = .broken("the head is larger than \(Self.maximumHead) bytes")
            return 0
        }
        head += bytes
        return bytes.count
    }

    private func takeBody(_ bytes: UnsafeRawBufferPointer) -> Int {
        if let stream, 200..<300 ~= value(CURLINFO_RESPONSE_CODE) {
            return stream.append(bytes) ? bytes.count : Int(CURL_WRITEFUNC_PAUSE)
        }
        if body.isEmpty { makeRoom() }
        guard body.count + bytes.count <= request.maximumBody else {
            refusal = .tooLarge(request.maximumBody)
            return 0
        }
        body += bytes
        return bytes.count
    }

    /// Makes room for the whole body where its size is told, as moving what has come of a large one takes long. Room that is
    /// not written to takes no memory.
    private func makeRoom() {
        let announced = min(value(CURLINFO_CONTENT_LENGTH_DOWNLOAD_T), request.maximumBody)
        guard announced > 0 else { return }
        // Lists become 10 to 15 times larger when they are unpacked.
        body.reserveCapacity(request.acceptsGzip ? min(announced * 16, request.maximumBody) : announced)
    }

    private func error(_ code: CURLcode) -> HTTPError {
        let words = String(cString: curl_easy_strerror(code))
        if let reason = tlsFailure(code, words) { return .notConnected(reason) }
        let errorNumber = value(CURLINFO_OS_ERRNO)
        let reason = errorNumber != 0 ? SystemError.text(of: Int32(truncatingIfNeeded: errorNumber)) : words
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: return .unresolved(origin)
        case CURLE_COULDNT_CONNECT: return .notConnected(reason)
        case CURLE_URL_MALFORMAT: return .invalidRequest(words)
        case CURLE_UNSUPPORTED_PROTOCOL: return .broken("not HTTP/1.1" + plainDoubt)
        case CURLE_GOT_NOTHING: return .broken(words + plainDoubt)
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR: return .broken(reason)
        case CURLE_OPERATION_TIMEDOUT:
            // One code for both timeouts: before the connection is made, TLS included, nothing was sent.
            let connected = value(CURLINFO_PRETRANSFER_TIME_T) > 0 || request.connectTimeout >= request.timeout
            if connected { return .timedOut(request.timeout) }
            return .notConnected("no connection within \(request.connectTimeout)")
        default: return .broken(words)
        }
    }

    /// What servers that speak TLS answer to a request in plain is not HTTP, or nothing.
    private var plainDoubt: String { tls == nil ? "; does it speak TLS only?" : "" }

    private func tlsFailure(_ code: CURLcode, _ words: String) -> String? {
        let details = String(cString: errorText)
        // Later, the end of a connection is what it is in plain: streams and queries that hang are cut for other reasons.
        let age = value(CURLINFO_TOTAL_TIME_T) - value(CURLINFO_PRETRANSFER_TIME_T)
        let isNew = value(CURLINFO_NUM_CONNECTS) > 0 && head.isEmpty && age < 1_000_000
        return tls?.failure(code, details: details.isEmpty ? words : details, isNew: isNew)
    }

    private func value(_ info: CURLINFO) -> Int {
        var value = 0
        if let easy { ccurl_get_long(easy, info, &value) }
        return value
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> HTTPTransfer {
        Unmanaged<HTTPTransfer>.fromOpaque(context!).takeUnretainedValue()
    }

    private static func milliseconds(_ duration: Duration) -> Int {
        // 0 would mean "no limit".
        max(1, Int(duration.nanoseconds / 1_000_000))
    }
}
