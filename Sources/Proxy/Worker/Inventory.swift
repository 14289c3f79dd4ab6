/// What a worker holds. When all is quiet everything is back at what it was: the proof that nothing is forgotten or let go twice.
package struct Inventory: Equatable, Sendable {
    /// HTTP connections: downstream, and to hosts.
    package var downstreams = 0
    package var upstreams = 0
    /// Connections of multiplexed protocols, and their requests in flight.
    package var framedDownstreams = 0
    package var framedUpstreams = 0
    package var framedRequests = 0
    /// Requests in flight as services and as endpoints count them.
    package var activeOfServices = 0
    package var activeOfEndpoints = 0
    /// Requests in flight that tallies of hosts count.
    package var activeOfTallies = 0
    /// Requests in flight that services count as further tries.
    package var furtherTries = 0
    /// Requests and connections as circuit breakers of services count them, for all workers.
    package var limitedRequests = 0
    package var limitedPending = 0
    package var limitedConnections = 0
    /// Connections as endpoints count them.
    package var connectionsOfEndpoints = 0
    /// Services, endpoints, and those of the endpoints that get no requests because they said that they are going.
    package var services = 0
    package var endpoints = 0
    package var draining = 0
    /// Bytes of multiplexed requests that are kept for another attempt.
    package var heldBytes = 0
    /// Buffers that connections and requests hold.
    package var buffers = 0
    /// Lists that should be empty between two turns and are not, requests that wait for a service's hosts among them.
    package var lists = 0
    /// Updates that are not done.
    package var updates = 0

    /// Nothing.
    package init() {}
}

extension Worker {
    /// Counts what the worker holds. Looks at every service and endpoint.
    package func inventory() -> Inventory {
        var inventory = Inventory()
        inventory.downstreams = http.downstreams.count
        inventory.upstreams = http.upstreams.count
        count(dubbo, into: &inventory)
        count(bolt, into: &inventory)
        inventory.buffers = buffers.outstanding - (logLines.memory == nil ? 0 : 1)
        inventory.updates =
            updates.messages.count + updates.retired.count + updates.wanted.count + (updates.current == nil ? 0 : 1)
        if http.queue.first != nil { inventory.lists += 1 }
        for service in tables.services {
            inventory.services += 1
            inventory.activeOfServices += service.pointee.active
            inventory.furtherTries += service.pointee.furtherTries.inFlight
            for counts in service.pointee.breakers {
                inventory.limitedRequests += counts.requests.current
                inventory.limitedPending += counts.pending.current
                inventory.limitedConnections += counts.connections.current
            }
            if !service.pointee.waiting.isEmpty { inventory.lists += 1 }
        }
        inventory.activeOfTallies = tables.services.reduce(0) { $0 + $1.pointee.clusters.tallied }
        for part in 0..<EndpointTable.partCount {
            for key in tables.endpoints.keys(inPart: part) {
                guard let endpoint = tables.endpoints.find(key) else { continue }
                inventory.endpoints += 1
                inventory.activeOfEndpoints += Int(endpoint.pointee.active)
                inventory.connectionsOfEndpoints += Int(endpoint.pointee.connections)
                if endpoint.pointee.draining { inventory.draining += 1 }
            }
        }
        return inventory
    }

    private func count<Codec: FramedCodec & ~Copyable>(_ framed: Framed<Codec>, into inventory: inout Inventory) {
        inventory.framedDownstreams += framed.pointee.downstreams.count
        inventory.framedUpstreams += framed.pointee.upstreams.count
        inventory.framedRequests += framed.pointee.requests.count
        inventory.heldBytes += framed.pointee.heldBytes
        if !framed.pointee.isClean { inventory.lists += 1 }
    }
}
