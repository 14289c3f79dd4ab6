import Configuration

/// The commands by name.
public enum Verb: String, Equatable, Sendable, CaseIterable {
    /// Forward requests.
    case run
    /// Validate a file.
    case check
    /// List services.
    case services
    /// List clusters.
    case clusters
    /// List registries.
    case registries
    /// List registrations.
    case registrations
    /// Where would a request go?
    case explain
    /// Start the new program in place of the old.
    case upgrade
    /// The development registry.
    case registry
}

/// A flag of a command.
struct Flag: Equatable, Sendable {
    /// Without the dashes.
    let name: String
    /// What stands for its value in help.
    let placeholder: String
    /// For help.
    let summary: String
    /// Whether it may be given several times.
    var repeats = false
    /// Whether it stands alone, without a value.
    var isSwitch = false
    /// Whether it is a setting, which an environment variable can hold too. What describes one question is not.
    var isSetting = true

    /// The environment variable; nil where there is none.
    var variable: String? {
        guard isSetting else { return nil }
        return Flag.variablePrefix + name.uppercased().replacing("-", with: "_")
    }

    static let variablePrefix = "GREYMESH_"
}

extension Verb {
    /// One line for help.
    var summary: String {
        switch self {
        case .run: "watch the registries and forward requests"
        case .check: "validate a configuration file"
        case .services: "list the services of a running process"
        case .clusters: "list the version clusters and hosts of a running process"
        case .registries: "list the registries of a running process and how they are"
        case .registrations: "list the applications that a running process has registered"
        case .explain: "tell which version and hosts a request would get, and why"
        case .upgrade: "let a running process be replaced by the program that lies at its path now"
        case .registry: "serve a small registry in memory, for development"
        }
    }

    /// What may stand without a flag; nil is nothing.
    var operand: String? { self == .clusters ? "SERVICE" : nil }

    /// The flags, in the order of help.
    var flags: [Flag] {
        switch self {
        case .run: Self.runFlags
        case .check: [Self.config]
        case .services, .clusters, .registries, .registrations: Self.client
        case .explain: Self.explainFlags
        case .upgrade: [Self.client[0]]
        case .registry:
            [Flag(name: "listen", placeholder: "ADDR", summary: "where to listen, for example 127.0.0.1:8848")]
        }
    }

    private static let config = Flag(name: "config", placeholder: "FILE", summary: "the configuration file (YAML)")

    private static let client = [
        Flag(
            name: "admin", placeholder: "ADDR", summary: "admin API of the running process (\(Configuration().admin))"),
        Flag(name: "json", placeholder: "", summary: "print the answer as JSON", isSwitch: true, isSetting: false),
    ]

    private static let runFlags: [Flag] = [
        config,
        Flag(
            name: "registry", placeholder: "URL",
            summary: "registry to watch: nacos://HOST:8848 or file:services.yaml; several are allowed", repeats: true),
        Flag(
            name: "register", placeholder: "ENTRY",
            summary: "application to register: http://order-service@8081?version=2.0; several are allowed",
            repeats: true),
        Flag(name: "http", placeholder: "ADDR", summary: "HTTP listener, or off (\(usual(.http)))"),
        Flag(name: "dubbo", placeholder: "ADDR", summary: "Dubbo listener, or off (\(usual(.dubbo)))"),
        Flag(name: "bolt", placeholder: "ADDR", summary: "Bolt listener for SOFA RPC, or off (\(usual(.bolt)))"),
        Flag(name: "admin", placeholder: "ADDR", summary: "admin API (\(Configuration().admin))"),
        Flag(name: "workers", placeholder: "N", summary: "worker threads (one per core)"),
        Flag(
            name: "state", placeholder: "FOLDER",
            summary: "keep the last known hosts there for the next start (nowhere)"),
        Flag(name: "access-log", placeholder: "PATH", summary: "write a line per request there, - is standard output"),
        Flag(name: "log-level", placeholder: "LEVEL", summary: "debug, info, warning or error (info)"),
    ]

    private static let explainFlags: [Flag] =
        [
            Flag(name: "service", placeholder: "NAME", summary: "application or interface", isSetting: false),
            Flag(
                name: "header", placeholder: "NAME=VALUE",
                summary: "header or attachment of the request; several are allowed",
                repeats: true, isSetting: false),
            Flag(name: "method", placeholder: "METHOD", summary: "method of HTTP, Dubbo or Bolt", isSetting: false),
            Flag(name: "path", placeholder: "PATH", summary: "path of an HTTP request", isSetting: false),
            Flag(
                name: "protocol", placeholder: "P", summary: "http, dubbo or bolt (whichever the service is)",
                isSetting: false),
            Flag(
                name: "version", placeholder: "V", summary: "interface version of a Dubbo or Bolt call",
                isSetting: false),
            Flag(
                name: "group", placeholder: "G", summary: "group of a Dubbo call, unique id of a Bolt call",
                isSetting: false),
            Flag(
                name: "client", placeholder: "IP", summary: "where the request comes from, for sticky: client-address",
                isSetting: false),
        ] + client

    private static func usual(_ kind: ListenerProtocol) -> String {
        ListenerConfiguration.defaults.first { $0.protocol == kind }?.address.description ?? "off"
    }
}
