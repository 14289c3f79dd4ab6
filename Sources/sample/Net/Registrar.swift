import Runtime
import WebServer

/// What a host tells a registry about itself.
struct Registration {
    /// `order-service`, `providers:com.acme.Echo:1.0:`
    var service: String
    var address: SocketAddress
    var weight: Double?
    var metadata: [(key: String, value: String)]
}

/// Keeps one host registered in Nacos over its HTTP API: registers, beats, registers again after a registry has lost its
/// memory, and deregisters. Errors are told once on standard error and tried again.
final class Registrar {
    private let loop: EventLoop
    private let logger: Logger
    private let registry: RegistryAddress
    private let registration: Registration
    private let client: HTTPClient
    private var token: String?
    private var timer: EventLoop.Timer?
    private var isStopped = false
    private var onRegistered: (() -> Void)?
    private var lastError = ""

    private static let retry = Duration.seconds(1)

    init(loop: EventLoop, logger: Logger, registry: RegistryAddress, registration: Registration) throws {
        self.loop = loop
        self.logger = logger
        self.registry = registry
        self.registration = registration
        client = HTTPClient(loop: loop, address: try Addresses.resolve(registry.server), timeout: .seconds(5))
    }

    /// Registers and beats from now on; calls back once, after the first success.
    func start(onRegistered: @escaping () -> Void) {
        self.onRegistered = onRegistered
        register()
    }

    /// Ends beats and deregisters; calls back when that has succeeded or failed.
    func stop(_ done: @escaping () -> Void) {
        isStopped = true
        loop.cancel(timer)
        // A beat under way would come in between; its connection is given up.
        client.close()
        call("DELETE", "/nacos/v1/ns/instance", identity) { [weak self] result in
            if case .failure(let failure) = result { self?.tell("deregister", failure) }
            done()
        }
    }

    // MARK: Calls

    private func register() {
        if registry.user != nil && token == nil { return login() }
        var parameters = identity
        parameters.append(("weight", registration.weight.map { "\($0)" } ?? "1"))
        let members = registration.metadata.map { "\(JSONString.quoted($0.key)):\(JSONString.quoted($0.value))" }
        parameters.append(("metadata", "{\(members.joined(separator: ","))}"))
        call("POST", "/nacos/v1/ns/instance", parameters) { [weak self] result in
            guard let self, !self.isStopped else { return }
            if case .failure(let failure) = result {
                self.tell("register", failure)
                return self.later(Self.retry) { $0.register() }
            }
            self.lastError = ""
            self.onRegistered?()
            self.onRegistered = nil
            // The first beat tells the period that the registry wants.
            self.later(.milliseconds(500)) { $0.beat() }
        }
    }

    private func beat() {
        call("PUT", "/nacos/v1/ns/instance/beat", identity) { [weak self] result in
            guard let self, !self.isStopped else { return }
            switch result {
            case .success(let text) where text.contains("20404"): self.register()
            case .success(let text): self.later(Self.interval(of: text)) { $0.beat() }
            case .failure(let failure):
                self.tell("beat", failure)
                self.later(Self.retry) { $0.beat() }
            }
        }
    }

    private func login() {
        let (user, password) = (registry.user ?? "", registry.password ?? "")
        call("POST", "/nacos/v1/auth/login", [("username", user), ("password", password)], isNaming: false) {
            [weak self] result in
            guard let self, !self.isStopped else { return }
            if case .success(let text) = result, let token = Self.member("accessToken", of: text) {
                self.token = token
                return self.register()
            }
            if case .failure(let failure) = result { self.tell("log in", failure) }
            self.later(Self.retry) { $0.register() }
        }
    }

    private func call(
        _ method: String, _ path: String, _ parameters: [(String, String)], isNaming: Bool = true,
        completion: @escaping (Result<String, CallFailure>) -> Void
    ) {
        var all = parameters
        if isNaming, let token { all.append(("accessToken", token)) }
        let query = all.map { "\($0)=\(Parameters.encode($1))" }.joined(separator: "&")
        client.send(method, "\(path)?\(query)", host: registry.server) { [weak self] result in
            switch result {
            case .failure(let failure): completion(.failure(failure))
            case .success(let answer):
                let text = String(decoding: answer.body, as: UTF8.self)
                if answer.status == 403 { self?.token = nil }
                completion(
                    answer.status == 200
                        ? .success(text) : .failure(CallFailure(description: "\(answer.status) \(text.prefix(200))")))
            }
        }
    }

    private var identity: [(String, String)] {
        [
            ("serviceName", registration.service), ("groupName", registry.group), ("namespaceId", registry.namespace),
            ("ip", registration.address.ip), ("port", "\(registration.address.port)"), ("ephemeral", "true"),
        ]
    }

    private func later(_ delay: Duration, _ action: @escaping (Registrar) -> Void) {
        timer = loop.schedule(after: delay) { [weak self] in
            if let self { action(self) }
        }
    }

    private func tell(_ what: String, _ failure: CallFailure) {
        guard "\(failure)" != lastError else { return }
        lastError = "\(failure)"
        logger.log(.warning, "registry.failed", ["call": what, "url": registry.server, "error": "\(failure)"])
    }

    /// What the answer to a beat asks for, within reason.
    private static func interval(of text: String) -> Duration {
        let milliseconds = member("clientBeatInterval", of: text).flatMap { Int($0) } ?? 5000
        return .milliseconds(max(100, min(60_000, milliseconds)))
    }

    /// A member of a flat JSON object, without the quotes of a string.
    private static func member(_ name: String, of text: String) -> String? {
        guard let range = text.firstRange(of: "\"\(name)\":") else { return nil }
        let value = text[range.upperBound...].drop { $0 == "\"" || $0 == " " }
        return String(value.prefix { $0 != "\"" && $0 != "," && $0 != "}" })
    }
}

/// A registry as it is written: `nacos://user:password@host:8848?namespace=public&group=DEFAULT_GROUP`.
struct RegistryAddress {
    /// `host:8848`
    var server: String
    var user: String?
    var password: String?
    var namespace: String
    var group: String

    init(_ text: String) throws {
        guard text.hasPrefix("nacos://") else {
            throw UsageError(description: "--registry is nacos://HOST:PORT, not '\(text)'")
        }
        let parts = text.dropFirst(8).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var server = parts[0].prefix { $0 != "/" }
        if let at = server.lastIndex(of: "@") {
            let credentials = server[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = Parameters.decode(credentials[0].utf8, plusIsBlank: false)
            password = credentials.count > 1 ? Parameters.decode(credentials[1].utf8, plusIsBlank: false) : ""
            server = server[server.index(after: at)...]
        }
        let hasPort = server.last != "]" && server.contains(":")
        self.server = hasPort ? String(server) : "\(server):8848"
        let query = Parameters(urlEncoded: parts.count > 1 ? Array(parts[1].utf8) : [])
        namespace = query["namespace"] ?? "public"
        group = query["group"] ?? "DEFAULT_GROUP"
    }
}
