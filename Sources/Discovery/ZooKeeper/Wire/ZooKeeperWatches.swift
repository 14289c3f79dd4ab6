/// Which watches a server holds for a connection. It knows one of each kind for a path; ours on it all fire together.
struct ZooKeeperWatches {
    /// Set by `data` and `exists`.
    private var ofNodes: [String: Set<UInt64>] = [:]
    /// Set by `children`.
    private var ofChildren: [String: Set<UInt64>] = [:]

    /// Notes what the answer to a request means: a watch is set by a good one, and where nothing is also by `exists`.
    mutating func took(_ request: ZooKeeperRequest, _ result: Result<ZooKeeperReply, ZooKeeperError>) {
        switch (request, result) {
        case (.children(let path, let watch), .success): Self.add(watch, path, &ofChildren)
        case (.data(let path, let watch), .success): Self.add(watch, path, &ofNodes)
        case (.exists(let path, let watch), .success), (.exists(let path, let watch), .failure(.noNode)):
            Self.add(watch, path, &ofNodes)
        case (.forget(let path, let isChildren), .success):
            if isChildren { ofChildren[path] = nil } else { ofNodes[path] = nil }
        default: break
        }
    }

    /// Takes out what an event fires.
    mutating func fired(_ event: ZooKeeperEvent) -> Set<UInt64> {
        switch event.kind {
        case .created, .changed: return ofNodes.removeValue(forKey: event.path) ?? []
        case .childrenChanged: return ofChildren.removeValue(forKey: event.path) ?? []
        case .deleted:
            // The server says it once for both.
            let nodes = ofNodes.removeValue(forKey: event.path) ?? []
            return nodes.union(ofChildren.removeValue(forKey: event.path) ?? [])
        case nil: return []
        }
    }

    private static func add(_ watch: UInt64, _ path: String, _ watches: inout [String: Set<UInt64>]) {
        if watch != 0 { watches[path, default: []].insert(watch) }
    }
}

/// What a server says when a watch has fired.
struct ZooKeeperEvent: Equatable {
    enum Kind: Int32 {
        case created = 1
        case deleted = 2
        case changed = 3
        case childrenChanged = 4
    }

    /// Nil for kinds that say nothing of a node.
    let kind: Kind?
    let path: String

    init(_ reader: inout JuteReader) throws(JuteReader.Malformed) {
        kind = Kind(rawValue: try reader.int32())
        // The connection's state; on the wire it is always the same.
        _ = try reader.int32()
        path = try reader.text()
        try reader.end()
    }
}
