import Configuration
import Runtime

/// What all workers are started with.
public struct WorkerSettings: Sendable {
    /// Where applications connect.
    public var listeners: [ListenerConfiguration]
    /// Proxies whose `X-Forwarded-For` is believed.
    public var trustedProxies: [AddressRange]
    /// Header and attachment names that carry the requested version, in order.
    public var versionNames: [String]
    /// Whether HTTP callers are told the version that served.
    public var tellsVersion: Bool
    /// Limits on what peers may send.
    public var limits: LimitConfiguration
    /// A Dubbo host gets a heartbeat when nothing was read from it for this time, and is given up after three times this.
    public var heartbeat: Duration = .seconds(30)
    /// False: connections are accepted only after `WorkerMessage.accept`.
    public var accepts = true
    /// Where access log lines go; nil writes none.
    public var accessLog: AccessLog?

    /// Takes what concerns workers from a configuration.
    public init(_ configuration: Configuration, accessLog: AccessLog?) {
        listeners = configuration.listeners
        trustedProxies = configuration.trustedProxies
        versionNames = configuration.version.request
        tellsVersion = configuration.version.tell
        limits = configuration.limits
        self.accessLog = accessLog
    }
}

/// Settings in the form that requests use: bytes and nanoseconds. Lives as long as its worker.
struct CompiledSettings {
    struct Limits {
        let httpHead: Int
        let dubboBody: Int
        let headTimeout: Int64
        let idleTimeout: Int64
        let connectTimeout: Int64
        let discoveryTimeout: Int64
        let services: Int
        /// Time after which services in use are told: well within the time after which unused ones are let go.
        let usePeriod: Int64
    }

    /// Proxies whose `X-Forwarded-For` is believed.
    let trustedProxies: AddressRanges
    /// In lower case.
    let versionNames: UnsafeMutablePointer<ByteString>
    let versionNameCount: Int
    let tellsVersion: Bool
    let limits: Limits
    let heartbeat: Int64
    /// `0.0.0`
    let noVersion: ByteString

    init(_ settings: WorkerSettings) {
        trustedProxies = AddressRanges(settings.trustedProxies)
        versionNameCount = settings.versionNames.count
        versionNames = .allocate(capacity: max(1, versionNameCount))
        for (index, name) in settings.versionNames.enumerated() {
            (versionNames + index).initialize(to: ByteString(copying: name.lowercased()))
        }
        tellsVersion = settings.tellsVersion
        heartbeat = settings.heartbeat.nanoseconds
        noVersion = ByteString(copying: "0.0.0")
        limits = Limits(
            httpHead: settings.limits.httpHead, dubboBody: settings.limits.dubboBody,
            headTimeout: settings.limits.headTimeout.nanoseconds, idleTimeout: settings.limits.idleTimeout.nanoseconds,
            connectTimeout: settings.limits.connectTimeout.nanoseconds,
            discoveryTimeout: settings.limits.discoveryTimeout.nanoseconds, services: settings.limits.services,
            usePeriod: min(20_000_000_000, settings.limits.serviceIdle.nanoseconds / 4))
    }

    /// Gives the memory back.
    func free() {
        trustedProxies.free()
        for index in 0..<versionNameCount { versionNames[index].free() }
        versionNames.deallocate()
        noVersion.free()
    }
}
