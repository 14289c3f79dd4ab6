import Model
import Runtime

/// The file as it is read: the settings, and the lines that later checks want to name.
struct ConfigurationDraft {
    var configuration = Configuration()
    /// The folder that relative paths start from.
    var folder = ""
    var adminLine = 0
    var listenerLines: [Int] = []
    /// Where each registration and its settings stand.
    var registrationPlaces: [(path: String, lines: [String: Int])] = []
    var services: [ServiceDraft] = []
    /// What `"*"` says.
    var defaults = ServiceDraft()
    /// The services before they are read, so that `"*"` may stand anywhere among them.
    var serviceEntries: [YAMLEntry] = []
}

/// A service's section and where its parts stand.
struct ServiceDraft {
    var name = ""
    var settings = ServiceConfiguration()
    /// What holds for its requests where their version has nothing of its own.
    var traffic = TrafficDraft()
    /// What holds for its versions.
    var versions: [TrafficDraft] = []
    /// `versions` before it is read, so that it may stand before what it takes over.
    var versionsNode: (node: YAMLNode, path: String)?
    var stickyLine: Int?
    var hosts: [(value: String, line: Int)] = []
    var paths: [(value: String, line: Int)] = []
}

/// What a service and each of its versions say alike, and where its parts stand.
struct TrafficDraft {
    /// Where it stands: `services.shop`, `services.shop.versions.2.0`.
    var path = ""
    var policy = TrafficPolicy()
    /// Where each key of `retries` stands that the section itself has, and each status of its `on`.
    var retryLines: [String: Int] = [:]
    /// Where `circuit_breaker` and `rate_limit` and its keys stand.
    var limitLines: [String: Int] = [:]
    /// Where keys of `fault` stand.
    var faultLines: [String: Int] = [:]
    /// Where the section's own `version` of `mirror` stands.
    var mirrorLine: Int?
    /// Where `access` and its keys stand.
    var accessLines: [String: Int] = [:]
    /// Where the section's own `health_check` stands.
    var healthCheckLine: Int?
}

/// A registry's section.
struct RegistryDraft {
    var url: RegistryURL?
    /// With credentials, as written.
    var text = ""
    var settings = RegistryConfiguration(url: "")
    /// Where settings stand that have no effect on a file.
    var linesNotForFiles: [(key: String, line: Int)] = []
}

/// A listener's section.
struct ListenerDraft {
    var name: String?
    var `protocol`: ListenerProtocol?
    var address: SocketAddress?
    var forward: SocketAddress?
    var boltGoaway = false
    /// Where that stands.
    var boltGoawayLine: Int?
}

/// The access log's section.
struct AccessLogDraft {
    var path: String?
}
