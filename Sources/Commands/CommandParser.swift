import Configuration
import Runtime

/// A command line that was understood.
public struct Invocation: Equatable, Sendable {
    /// What to do.
    public let command: Command
    /// What to tell first: one line each.
    public let warnings: [String]
}

extension Invocation {
    /// Reads a command line.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - environment: all variables; those that begin with `GREYMESH_` stand in for flags that are not given.
    public init(_ arguments: [String], environment: [String: String] = [:]) throws(UsageError) {
        command = try Self.parse(arguments[...], environment)
        switch command {
        case .help, .version: warnings = []
        default: warnings = Environment.warnings(environment)
        }
    }

    private static func parse(
        _ arguments: ArraySlice<String>, _ environment: [String: String]
    ) throws(UsageError) -> Command {
        guard let name = arguments.first else { throw UsageError("a command is missing; see greymesh --help") }
        let rest = arguments.dropFirst()
        switch name {
        case "--help", "-h": return .help(nil)
        case "--version": return .version
        case "help": return .help(try rest.first.map(verb))
        default: break
        }
        let (verb, words) = try beginsWithFlag(name) ? (.run, arguments) : (verb(name), rest)
        var raw = try RawArguments(words, of: verb)
        if raw.wantsHelp { return .help(verb) }
        raw.addEnvironment(environment, of: verb)
        return try command(verb, raw)
    }

    /// Flags without a command are those of `run`: `docker run greymesh --registry URL` is all a first user types.
    ///
    /// - Throws: `UsageError` for a flag that only other commands have.
    private static func beginsWithFlag(_ name: String) throws(UsageError) -> Bool {
        guard name.hasPrefix("--") else { return false }
        let bare = name.dropFirst(2).prefix { $0 != "=" }
        let owners = Verb.allCases.filter { $0.flags.contains { $0.name == bare } }
        if let other = owners.first, !owners.contains(.run) {
            throw UsageError("\(name) belongs after a command: greymesh \(other.rawValue) \(name)")
        }
        return true
    }

    private static func verb(_ name: String) throws(UsageError) -> Verb {
        if let verb = Verb(rawValue: name) { return verb }
        let near = NearestName.to(name, among: Verb.allCases.map(\.rawValue) + ["help"])
        let hint = near.map { "did you mean \"\($0)\"?" } ?? "see greymesh --help"
        throw UsageError("unknown command \"\(name)\"; \(hint)")
    }

    private static func command(_ verb: Verb, _ raw: RawArguments) throws(UsageError) -> Command {
        switch verb {
        case .run: return .run(try runOptions(raw))
        case .check:
            guard let file = raw.text("config") else { throw UsageError("check: --config FILE is missing") }
            return .check(file: file)
        case .services: return .services(try client(raw))
        case .clusters: return .clusters(try client(raw), service: raw.operands.first)
        case .registries: return .registries(try client(raw))
        case .registrations: return .registrations(try client(raw))
        case .explain: return .explain(try client(raw), try explainOptions(raw))
        case .upgrade: return .upgrade(try client(raw))
        case .registry:
            guard let address = try raw.read("listen", SettingValue.address) else {
                throw UsageError("registry: --listen ADDR is missing, for example --listen 127.0.0.1:8848")
            }
            return .registry(listen: address)
        }
    }

    private static func client(_ raw: RawArguments) throws(UsageError) -> ClientOptions {
        var options = ClientOptions()
        if let admin = try raw.read("admin", SettingValue.address) { options.admin = admin }
        options.json = raw.text("json") != nil
        return options
    }

    private static func runOptions(_ raw: RawArguments) throws(UsageError) -> RunOptions {
        var options = RunOptions()
        options.file = raw.text("config")
        options.registries = try raw.readAll("registry", registryURL)
        options.registrations = try raw.readAll("register", RegistrationConfiguration.init(_:))
        options.http = try raw.read("http", listener)
        options.dubbo = try raw.read("dubbo", listener)
        options.bolt = try raw.read("bolt", listener)
        options.admin = try raw.read("admin", SettingValue.address)
        options.workers = try raw.read("workers", SettingValue.workers)
        options.state = try raw.read("state", SettingValue.path)
        options.accessLog = try raw.read("access-log", SettingValue.path)
        options.logLevel = try raw.read("log-level", SettingValue.logLevel)
        return options
    }

    private static func registryURL(_ text: String) throws(InvalidValue) -> String {
        let url = try RegistryURL(text)
        try url.tls?.check()
        return url.scheme == .file ? url.description : text
    }

    private static func listener(_ text: String) throws(InvalidValue) -> ListenerChoice {
        text == "off" ? .off : .on(try SettingValue.address(text))
    }

    private static func explainOptions(_ raw: RawArguments) throws(UsageError) -> ExplainOptions {
        guard let service = raw.text("service") else { throw UsageError("explain: --service NAME is missing") }
        var options = ExplainOptions(service: service)
        options.headers = try raw.readAll("header", header)
        options.method = raw.text("method")
        options.path = try raw.read("path", path)
        options.version = raw.text("version")
        options.group = raw.text("group")
        options.client = try raw.read("client") { text throws(InvalidValue) in
            guard let address = SocketAddress(ip: text, port: 0) else {
                throw InvalidValue("\"\(text)\" is not an IP address")
            }
            return address.ip
        }
        let kind: ListenerProtocol? = try raw.read("protocol") { text throws(InvalidValue) in
            try SettingValue.choice(text)
        }
        let isCall = options.version != nil || options.group != nil
        options.protocol = kind ?? (options.path != nil && !isCall ? .http : nil)
        if options.protocol == .http, isCall {
            throw UsageError("explain: --version and --group belong to a Dubbo or Bolt call, not to --protocol http")
        }
        if options.path != nil, options.protocol != .http {
            throw UsageError("explain: --path belongs to an HTTP request, not to a Dubbo or Bolt call")
        }
        return options
    }

    private static func header(_ text: String) throws(InvalidValue) -> HeaderOption {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw InvalidValue("\"\(text)\" is not NAME=VALUE") }
        let name = String(parts[0])
        _ = try SettingValue.headerName(name)
        return HeaderOption(name: name, value: String(parts[1]))
    }

    private static func path(_ text: String) throws(InvalidValue) -> String {
        guard text.hasPrefix("/") else { throw InvalidValue("\"\(text)\" must begin with \"/\"") }
        return text
    }
}
