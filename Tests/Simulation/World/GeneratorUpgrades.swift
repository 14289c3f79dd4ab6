extension Generator {
    /// In some runs other processes take over, at any moment, and some of these moments are busy.
    mutating func addUpgrades() {
        if !chance(15) { return }
        for _ in 0..<below(3) {
            let place = below(plan.steps.count + 1)
            plan.steps.insert(Step(action: .upgrade, gap: pick([.together, .turns(below(6)), .quiet])), at: place)
        }
        if isDraining { return }
        for _ in 0..<1 + below(2) { addBusyUpgrade() }
    }

    /// A process takes over while requests are in progress, and clients go on.
    private mutating func addBusyUpgrade() {
        let service = below(plan.services.count)
        let kind = plan.services[service].kind
        let clients = (0..<1 + below(3)).map { _ in addClient(service) }
        for client in clients {
            for _ in 0..<1 + below(4) {
                add(.request(client: client, makeBusyRequest(service, kind)), .turns(below(2)))
            }
        }
        add(.upgrade, .turns(below(8)))
        for _ in 0..<2 + below(8) {
            let client = pick(clients)
            let gap = pick([Step.Gap.together, .turns(below(3)), .turns(1 + below(6)), .quiet])
            switch below(12) {
            case 0: add(.halfClose(client: client), gap)
            case 1: add(flavour == .calm ? .ping(client: client) : .pause(client: client), gap)
            case 2: add(.resume(client: client), gap)
            case 3: add(flavour == .calm ? .halfClose(client: client) : .reset(client: client), gap)
            case 4: add(.ping(client: client), gap)
            case 5, 6, 7: add(.release(client: client), gap)
            case 8: add(.time(milliseconds: pick([1, 5, 20])), gap)
            default: add(.request(client: client, makeBusyRequest(service, kind)), gap)
            }
        }
        for client in clients { add(.release(client: client), .together) }
    }

    private mutating func makeBusyRequest(_ service: Int, _ kind: ServicePlan.Kind) -> RequestPlan {
        var request = makeRequest(service, kind)
        if case .answer(var answer) = request.reactions[0], chance(50) {
            answer.delayMilliseconds = pick([1, 3, 20, 150])
            request.reactions[0] = .answer(answer)
        }
        if request.holding == .none && chance(20) { request.holding = request.framing == .none ? .head : .body }
        if kind != .http && chance(30) { request.bodySize = pick([300, largest(60_000), Plan.bodyLimit + 5000]) }
        return request
    }
}
