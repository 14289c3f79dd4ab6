import Balancing
import Model
import Runtime

/// A host of a version as the process sees it.
public struct HostStatus: Sendable {
    /// Whether it gets requests, and why not.
    public enum State: String, Sendable {
        /// It does.
        case ok
        /// What it has answered had it ejected.
        case ejected
        /// Its health checks have failed.
        case unhealthy
    }

    /// Whether it gets requests.
    public var state = State.ok
    /// Why it does not, for people.
    public var why: String?
    /// Time until it does; 0 when that is not known, and when it does.
    public var ejectedMilliseconds: Int64 = 0
}

/// A version that is watched.
public struct VersionHealth: Sendable {
    /// The service.
    public let key: ServiceKey
    /// The version.
    public let identity: VersionCluster.Identity
    /// Hosts that may get requests, those below included.
    public let hosts: Int
    /// Hosts that are ejected.
    public let ejected: Int
    /// Hosts whose health checks have failed.
    public let unhealthy: Int
    /// How often hosts were ejected since they are known, and why.
    public let ejections: [(address: SocketAddress, times: [VersionOutliers.Reason: UInt64])]
}

/// A host that is checked, once for all services that check it alike.
public struct CheckedHost: Sendable {
    /// Where it listens.
    public let address: SocketAddress
    /// What is asked: `GET /health`.
    public let check: String
    /// Whether it gets requests as far as checks know.
    public let isHealthy: Bool
    /// Good checks.
    public let good: UInt64
    /// Failed checks.
    public let failed: UInt64
}

extension HostHealth {
    /// Hosts that a step of an explanation names at most.
    private static var mostNamed: Int { 10 }

    /// What an explanation says of a service's hosts that get no requests.
    func steps(_ snapshot: ServiceSnapshot) -> [String] {
        snapshot.clusters.flatMap { cluster in
            let out = cluster.hosts.filter { !$0.state.isEmpty }
            var steps = out.prefix(Self.mostNamed).map { host in
                let status = status(snapshot.key, cluster.identity, host.address, snapshot.policy)
                let time =
                    status.ejectedMilliseconds > 0 ? " for \((status.ejectedMilliseconds + 999) / 1000)s more" : ""
                return
                    "\(host.address) of version \(cluster.name) is \(status.state.rawValue)\(time): \(status.why ?? "")"
            }
            if out.count > steps.count { steps.append("so are \(out.count - steps.count) more of that version") }
            if !out.isEmpty && out.count == cluster.hosts.count(where: { $0.weight > 0 }) {
                steps.append(
                    "no host of version \(cluster.name) is left: where no other version serves, all of them are used")
            }
            return steps
        }
    }
}
