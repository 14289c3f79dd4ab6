import Configuration
import Runtime

/// What the command line asks for, checked.
public enum Command: Equatable, Sendable {
    /// Forward requests until told to stop.
    case run(RunOptions)
    /// Validate a configuration file.
    case check(file: String)
    /// List the services of a running process.
    case services(ClientOptions)
    /// List the version clusters of a running process.
    case clusters(ClientOptions, service: String?)
    /// List the registries of a running process.
    case registries(ClientOptions)
    /// List what a running process has registered.
    case registrations(ClientOptions)
    /// Ask a running process where a request would go.
    case explain(ClientOptions, ExplainOptions)
    /// Let a running process be replaced.
    case upgrade(ClientOptions)
    /// Serve the embedded development registry.
    case registry(listen: SocketAddress)
    /// Print how to use the program, or one of its commands.
    case help(Verb?)
    /// Print the program's version.
    case version

    /// It serves until a signal ends it, and takes signals as events.
    var isServing: Bool {
        switch self {
        case .run, .registry: true
        default: false
        }
    }
}

/// A listener as a flag says it.
public enum ListenerChoice: Equatable, Sendable {
    /// Do not listen for this protocol.
    case off
    /// Listen here.
    case on(SocketAddress)
}

/// What `greymesh run` is told by flags and environment variables; nil and empty leave it to the file and the defaults.
public struct RunOptions: Equatable, Sendable {
    /// The configuration file.
    public var file: String?
    /// Registry URLs, checked.
    public var registries: [String] = []
    /// Applications to register.
    public var registrations: [RegistrationConfiguration] = []
    /// Takes the place of all HTTP listeners.
    public var http: ListenerChoice?
    /// Takes the place of all Dubbo listeners.
    public var dubbo: ListenerChoice?
    /// Takes the place of all Bolt listeners.
    public var bolt: ListenerChoice?
    /// Where the admin API listens.
    public var admin: SocketAddress?
    /// Worker threads.
    public var workers: Int?
    /// The folder for the last known hosts.
    public var state: String?
    /// The access log's file, or `-`.
    public var accessLog: String?
    /// The least severe events that are logged.
    public var logLevel: LogLevel?

    /// Nothing told.
    public init() {}
}

/// How commands that ask a running process reach it.
public struct ClientOptions: Equatable, Sendable {
    /// Its admin API.
    public var admin: SocketAddress
    /// Whether the answer is printed as JSON.
    public var json: Bool

    /// The usual place, 127.0.0.1:15000, where none is told.
    public init(admin: SocketAddress = Configuration().admin, json: Bool = false) {
        self.admin = admin
        self.json = json
    }
}

/// A header or attachment.
public struct HeaderOption: Equatable, Sendable {
    /// As written.
    public var name: String
    /// As written, may be empty.
    public var value: String

    /// A header.
    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// The request that `greymesh explain` is about.
public struct ExplainOptions: Equatable, Sendable {
    /// The application or interface.
    public var service: String
    /// Which kind of request it is; nil: whichever kind of service is known by that name.
    public var `protocol`: ListenerProtocol?
    /// Headers or attachments, in order.
    public var headers: [HeaderOption] = []
    /// The method of HTTP, Dubbo or Bolt.
    public var method: String?
    /// HTTP: the request's path.
    public var path: String?
    /// Dubbo and Bolt: the interface version of the call.
    public var version: String?
    /// Dubbo: the group of the call, Bolt: its unique id.
    public var group: String?
    /// The address that the request comes from.
    public var client: String?

    /// A plain HTTP request for a service.
    public init(service: String) { self.service = service }
}

/// The program was called in a way that it does not understand. Exit code 2.
public struct UsageError: Error, Equatable, Sendable {
    /// One line, without the program's name.
    public let message: String

    /// An error with these words.
    public init(_ message: String) { self.message = message }
}
