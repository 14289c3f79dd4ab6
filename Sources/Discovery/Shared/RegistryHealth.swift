import Configuration
import Runtime

/// How a registry is, and the log lines when that changes.
final class RegistryHealth {
    /// The registry's address without credentials.
    let url: String
    private(set) var status = RegistryStatus()
    private let logger: Logger
    private var failuresInARow = 0

    init(url: String, logger: Logger) {
        self.url = url
        self.logger = logger
    }

    /// Why nothing can be learnt, for those who wait.
    var reason: String { status.lastError ?? "the registry is away" }

    /// An exchange was good.
    func succeeded() {
        status.lastSuccess = Clock.nanoseconds
        status.exchanges += 1
        failuresInARow = 0
        guard status.state != .connected else { return }
        logger.log(.info, status.state == .failed ? "registry.recovered" : "registry.connected", ["url": url])
        status.state = .connected
    }

    /// An exchange failed.
    ///
    /// - Parameters:
    ///   - isAway: nothing can be asked at all; otherwise only many failures in a row count as failed.
    ///   - isNew: the operator has done something that failed again: a line for it even when the state stays.
    func failed(_ reason: String, isAway: Bool, isNew: Bool = false) {
        status.failures += 1
        status.exchanges += 1
        status.lastError = reason
        status.lastErrorAt = Clock.nanoseconds
        failuresInARow += 1
        let isFailed = isAway || status.lastSuccess == nil || failuresInARow >= 5
        guard isFailed, status.state != .failed || isNew else { return }
        status.state = .failed
        logger.log(.warning, "registry.failed", ["url": url, "reason": reason], limit: 10, limitKey: url)
    }
}

/// What all adapters work with.
public struct DiscoveryContext {
    /// The control loop.
    public let loop: EventLoop
    /// For registries spoken to over HTTP.
    public private(set) var http: HTTPClient
    /// For hosts given by name.
    public let resolver: NameResolver
    /// Where events go.
    public let logger: Logger
    /// What relative paths of file registries are relative to.
    public let directory: String
    /// For what only instances of Dubbo applications can tell.
    var inquiries: DubboInquiries

    /// A context with a client and a resolver of its own.
    public init(loop: EventLoop, logger: Logger, directory: String = ".") throws {
        self.init(
            loop: loop, http: try HTTPClient(loop: loop), resolver: NameResolver(loop: loop), logger: logger,
            directory: directory)
    }

    /// A context.
    public init(loop: EventLoop, http: HTTPClient, resolver: NameResolver, logger: Logger, directory: String = ".") {
        self.loop = loop
        self.http = http
        self.resolver = resolver
        self.logger = logger
        self.directory = directory
        inquiries = DubboInquiries(loop: loop, resolver: resolver, logger: logger)
    }

    /// The same for a registry that is spoken to over TLS.
    func over(_ tls: TLSSettings) throws(InvalidValue) -> DiscoveryContext {
        var context = self
        context.http = try makeClient(tls: tls)
        return context
    }

    /// A client of one's own.
    func makeClient(connectionsPerHost: Int = 8, tls: TLSSettings?) throws(InvalidValue) -> HTTPClient {
        guard let client = try? HTTPClient(loop: loop, connectionsPerHost: connectionsPerHost, tls: tls) else {
            throw InvalidValue("libcurl cannot be set up")
        }
        return client
    }
}
