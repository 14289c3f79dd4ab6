import Balancing

/// Clusters that nobody uses any more, until all references to their endpoints are given back.
final class RetiredClusters {
    fileprivate var clusters: ClusterSet

    fileprivate init(_ clusters: consuming ClusterSet) { self.clusters = clusters }
}

extension Worker {
    /// Members that one step gives back.
    private static var membersAtATime: Int { 64 }

    /// Puts new clusters in the place of others, whose endpoints are given back by and by.
    mutating func retire(_ clusters: inout ClusterSet, for new: consuming ClusterSet) {
        let retired = RetiredClusters(new)
        swap(&clusters, &retired.clusters)
        if retired.clusters.count > 0 { updates.retired.append(retired) }
    }

    /// Gives some of what waits back.
    mutating func releaseRetired() {
        guard let retired = updates.retired.last else { return }
        var unused: [UnsafeMutablePointer<Endpoint>] = []
        let isMore = retired.clusters.releaseEndpoints(atMost: Self.membersAtATime) { unused.append($0) }
        if !isMore { updates.retired.removeLast() }
        for endpoint in unused { retire(endpoint) }
    }
}
