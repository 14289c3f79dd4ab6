import Model
import Runtime

/// Makes the clusters of a snapshot for one worker, a part at a time: a service can have thousands of hosts, and requests
/// do not wait until all of them are taken over.
public final class ClusterBuilder {
    /// What the clusters are made from.
    public let snapshot: ServiceSnapshot
    private var built: [Cluster] = []
    private var unions: [(group: Int, members: [Member], paths: [CallPath])] = []
    /// Members of the cluster that is being made, and their paths where one has its own.
    private var members: [Member] = []
    private var paths: [CallPath] = []
    /// The path that was looked up last: usually all are the same.
    private var knownPath = (text: "", path: CallPath.interface)
    /// Its hosts that have been looked at.
    private var hostsDone = 0
    /// How its hosts are watched.
    private var outliers = OutlierDetectionPolicy()
    /// Its labels, where they are.
    private var place = (version: 0, group: 0, interfaceVersion: 0)
    /// Its tables.
    private var pickerBuilder: PickerBuilder?
    private var unionsDone = 0

    /// Hosts that one step takes over: some ten microseconds.
    static let stepSize = 64

    /// A builder that has done nothing yet.
    public init(_ snapshot: ServiceSnapshot) { self.snapshot = snapshot }

    /// Does the next part.
    ///
    /// - Parameters:
    ///   - labels: the service's table; gets what is new.
    ///   - old: whose place they will take: what was counted of hosts goes on.
    ///   - endpoint: finds or makes a host's endpoint; each call is one reference, which `ClusterSet.releaseEndpoints`
    ///     gives back.
    /// - Returns: whether there is more to do.
    public func advance(
        labels: inout LabelTable, replacing old: borrowing ClusterSet,
        endpoint: (SocketAddress) -> UnsafeMutablePointer<Endpoint>
    ) -> Bool {
        let clusters = snapshot.clusters
        if built.count < clusters.count {
            let cluster = clusters[built.count]
            if hostsDone < cluster.hosts.count {
                takeHosts(cluster, &labels, old, endpoint)
            } else if let picker = preparePicker(members) {
                add(cluster, picker, &labels)
            }
            return true
        }
        if unionsDone < unions.count {
            if let picker = preparePicker(unions[unionsDone].members) { addUnion(picker) }
            return true
        }
        return false
    }

    /// Works on the picker of the cluster that is being made; nil until it is done.
    private func preparePicker(_ members: [Member]) -> Picker? {
        guard let builder = pickerBuilder else {
            pickerBuilder = PickerBuilder(weights: members.map { $0.weight }, balancer: snapshot.policy.balancer)
            return nil
        }
        if builder.advance() { return nil }
        pickerBuilder = nil
        return builder.finish()
    }

    /// The clusters, once there is nothing more to do.
    ///
    /// - Parameter old: whose place they take: round robin goes on where it is there. Where there was nothing it begins anywhere, so
    ///   that many workers do not all begin at the first host.
    public func finish(replacing old: borrowing ClusterSet, random: inout FastRandom) -> ClusterSet {
        if snapshot.policy.balancer == .roundRobin {
            var place = 0
            for index in built.indices {
                let same = old.find(built[index], from: place)
                if let same { place = same + 1 }
                built[index].resume(
                    at: same.map { old.clusters[$0].progress(&random) } ?? UInt32(truncatingIfNeeded: random.next()))
            }
        }
        return ClusterSet(built)
    }

    private func takeHosts(
        _ cluster: VersionCluster, _ labels: inout LabelTable, _ old: borrowing ClusterSet,
        _ endpoint: (SocketAddress) -> UnsafeMutablePointer<Endpoint>
    ) {
        let end = min(cluster.hosts.count, hostsDone + Self.stepSize)
        if hostsDone == 0 {
            members.reserveCapacity(cluster.hosts.count)
            outliers = snapshot.policy.traffic(of: cluster.identity.version).outlierDetection
            if outliers.isOn {
                place.version = labels.intern(cluster.identity.version)
                place.group = labels.intern(cluster.identity.group)
                place.interfaceVersion = labels.intern(cluster.identity.interfaceVersion)
            }
        }
        for index in hostsDone..<end where cluster.hosts[index].weight > 0 {
            let host = cluster.hosts[index]
            if !cluster.paths.isEmpty { paths.append(path(cluster.paths[index], &labels)) }
            let endpoint = endpoint(host.address)
            endpoint.pointee.references += 1
            let tally = outliers.isOn ? tally(of: host, old) : nil
            members.append(
                Member(
                    endpoint: endpoint, weight: host.weight, home: built.count, isOut: !host.state.isEmpty,
                    tally: tally))
        }
        hostsDone = end
    }

    /// Where a host's answers are counted: where they were counted before, if it was there.
    private func tally(of host: Host, _ old: borrowing ClusterSet) -> UnsafeMutablePointer<HostTally> {
        let before = old.member(
            of: host.address, version: place.version, group: place.group, interfaceVersion: place.interfaceVersion)
        let tally = before?.pointee.tally ?? .allocate(capacity: 1)
        if before?.pointee.tally == nil {
            tally.initialize(
                to: HostTally(
                    address: host.address, version: Int32(place.version), group: Int32(place.group),
                    interfaceVersion: Int32(place.interfaceVersion)))
        } else if before?.pointee.isOut == true && host.state.isEmpty {
            tally.pointee.reset()
        }
        tally.pointee.references += 1
        tally.pointee.adopt(outliers)
        return tally
    }

    private func path(_ path: ProviderPath, _ labels: inout LabelTable) -> CallPath {
        if path.text.isEmpty { return .interface }
        if knownPath.text != path.text || knownPath.path.isInBody != path.isInBody {
            knownPath = (path.text, CallPath(label: labels.intern(path.text), isInBody: path.isInBody))
        }
        return knownPath.path
    }

    private func add(_ cluster: VersionCluster, _ picker: Picker, _ labels: inout LabelTable) {
        let identity = cluster.identity
        let group = labels.intern(identity.group)
        built.append(
            Cluster(
                version: labels.intern(identity.version), group: group,
                interfaceVersion: labels.intern(identity.interfaceVersion), isUnion: false,
                isUntagged: identity.isUntagged, members: members, paths: paths, picker: picker))
        let index = unions.firstIndex { $0.group == group } ?? unions.count
        if index == unions.count { unions.append((group, [], [])) }
        if !paths.isEmpty || !unions[index].paths.isEmpty {
            unions[index].paths += repeatElement(
                .interface, count: unions[index].members.count - unions[index].paths.count)
            unions[index].paths += paths.isEmpty ? Array(repeating: .interface, count: members.count) : paths
        }
        unions[index].members += members
        members = []
        paths = []
        hostsDone = 0
    }

    private func addUnion(_ picker: Picker) {
        let union = unions[unionsDone]
        unionsDone += 1
        built.append(
            Cluster(
                version: 0, group: union.group, interfaceVersion: 0, isUnion: true, isUntagged: false,
                members: union.members, paths: union.paths, picker: picker))
    }
}
