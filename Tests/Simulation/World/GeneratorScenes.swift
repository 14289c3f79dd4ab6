// Several steps that belong together.
extension Generator {
    /// Several requests whose answers come one after the other, and a client that does not wait for all of them.
    mutating func addBurst() {
        let service = below(plan.services.count)
        let client = addClient(service)
        for number in 0..<3 + below(4) {
            var request = makeRequest(service, plan.services[service].kind)
            if case .answer(var answer) = request.reactions[0] {
                answer.delayMilliseconds = number == 0 ? 150 : pick([0, 0, 1, 3])
                request.reactions[0] = .answer(answer)
            }
            add(.request(client: client, request), .together)
        }
        if chance(30) { add(.time(milliseconds: pick([1, 3]))) }
        // Answers may come in the same turn.
        let gap = Step.Gap.turns(below(9))
        switch below(6) {
        case 0: add(.halfClose(client: client), gap)
        case 1, 2: add(.close(client: client), gap)
        case 3, 4: add(.reset(client: client), gap)
        default: break
        }
    }

    /// A client that owes the rest of a body, and another one soon after its time is over.
    mutating func addSlowBody() {
        guard let service = plan.firstHTTP else { return addTraffic() }
        let version = below(3)
        for number in 0..<2 {
            let client = addClient(service)
            var request = RequestPlan()
            request.service = service
            request.version = version
            if number == 0 {
                (request.method, request.framing, request.bodySize) = ("POST", .length, 1000)
                request.holding = .body
            }
            add(.request(client: client, request))
            if number == 0 { add(.time(milliseconds: pick([400, 2100]))) }
        }
    }

    /// The worker stands still, and everybody else goes on.
    mutating func addStop() {
        add(.freeze(milliseconds: chance(60) ? pick([1, 20, 150]) : pick([700, 1500, 1500, 4000, 35_000])))
        if isWithinScene { return }
        isWithinScene = true
        let begin = plan.steps.count
        for _ in 0..<below(4) { addSomething() }
        for index in begin..<plan.steps.count {
            if case .inquire = plan.steps[index].action { break }
            plan.steps[index] = Step(action: plan.steps[index].action, gap: .together)
        }
        isWithinScene = false
    }

    /// Requests step by step, and at each step the hosts, or what names mean, are others.
    mutating func addChurn() {
        let service = below(plan.services.count)
        if plan.services[service].isInbound { return addTraffic() }
        let client = addClient(service)
        for _ in 0..<1 + below(3) {
            var request = makeRequest(service, plan.services[service].kind)
            if request.holding == .none && chance(50) { request.holding = request.bodySize > 0 ? .body : .head }
            add(.request(client: client, request), .turns(below(3)))
        }
        for _ in 0..<3 + below(6) {
            let gap = Step.Gap.turns(below(3))
            switch below(8) {
            case 0: add(.remove(service: service), gap)
            case 1: add(.routes(makeRoutes()), gap)
            case 2: add(.list(service: service, Listing()), gap)
            case 3, 4: add(.release(client: client), gap)
            default: add(.list(service: service, makeListing(service)), gap)
            }
        }
        for _ in 0..<3 { add(.release(client: client), .together) }
    }

    /// A drain that begins while requests wait for the registries, which may tell later.
    mutating func addWaiting() {
        let service = below(plan.services.count)
        if plan.services[service].isInbound { return add(.drain) }
        add(.remove(service: service), .quiet)
        for _ in 0..<1 + below(3) {
            let client = addClient(service)
            for _ in 0..<1 + below(3) {
                add(.request(client: client, makeRequest(service, plan.services[service].kind)))
                if chance(20) { add(.halfClose(client: client)) }
            }
        }
        add(.drain, .turns(below(4)))
        if chance(30) { add(.time(milliseconds: pick([5, 1200, 2900]))) }
        if chance(60) { add(.list(service: service, makeListing(service)), .turns(below(4))) }
    }

    /// A client that is there for a scene.
    private mutating func addClient(_ service: Int) -> Int {
        doors.append(plan.door(service))
        add(.open(client: doors.count - 1, plan.door(service)))
        return doors.count - 1
    }
}
