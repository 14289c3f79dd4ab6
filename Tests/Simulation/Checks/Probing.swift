// Requests at the end that must succeed: all hosts are well and have been for long.
extension World {
    /// Rounds after which a host that has got nothing is left alone for ever, whatever chance does.
    private static var mostProbeRounds: Int { 20 }

    /// Sends some requests for every version that can be asked for.
    func probe() {
        ending.probeRounds += 1
        for service in plan.services.indices {
            guard let listing = listings[service].last else { continue }
            for version in Set(listing.entries.filter { $0.weight > 0 }.map(\.version)).sorted()
            where isReachable(version, listing) {
                probe(service, version, plan.door(service), count: ending.hadTrouble ? 3 * listing.entries.count : 3)
            }
        }
    }

    private func probe(_ service: Int, _ version: Int, _ door: Door, count: Int) {
        let client = nextProbe
        addClient(client, door)
        for _ in 0..<count {
            var plan = RequestPlan()
            plan.service = service
            plan.version = version
            let request = Request(number: nextProbe, plan: plan, client: client)
            requests[nextProbe] = request
            clients[client]?.send(request)
            nextProbe += 1
        }
    }

    /// Hosts without a version are asked by a request that asks for none, which goes to another one where there is a default.
    private func isReachable(_ version: Int, _ listing: Listing) -> Bool {
        version > 0 || listing.stable == 0 && listing.split.isEmpty
    }

    func needsMoreProbes() -> Bool {
        ending.hadTrouble && ending.probeRounds < Self.mostProbeRounds && forgottenHost() != nil
    }

    /// Each host has got its share.
    func checkProbes() {
        guard ending.hadTrouble, let host = forgottenHost() else { return }
        fail("left alone for ever", "host \(host) is well and gets nothing", nil)
    }

    private func forgottenHost() -> Int? {
        for service in plan.services.indices {
            guard let listing = listings[service].last else { continue }
            for entry in listing.entries
            where entry.weight > 0 && isReachable(entry.version, listing) && hosts[entry.host].answered == 0 {
                return entry.host
            }
        }
        return nil
    }
}
