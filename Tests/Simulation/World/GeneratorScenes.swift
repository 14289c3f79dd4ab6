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

    /// A client that asks for more than its way holds and takes nothing, for longer than is allowed.
    mutating func addDeafClient() {
        let service = below(plan.services.count)
        if plan.services[service].kind == .http { return addTraffic() }
        let client = addClient(service)
        add(.pause(client: client), .together)
        for _ in 0..<3 {
            var request = RequestPlan()
            (request.service, request.method) = (service, "POST")
            request.reactions = [.answer(AnswerPlan(size: largest(100_000)))]
            add(.request(client: client, request), .together)
        }
        add(.time(milliseconds: 310_000), .quiet)
    }

    /// A service's hosts close what nobody uses, and a request comes in the same moment.
    mutating func addIdleClose() {
        let service = below(plan.services.count)
        let kind = plan.services[service].kind
        let client = addClient(service)
        add(.request(client: client, makeRequest(service, kind)))
        add(.freeze(milliseconds: pick([1, 20])), .quiet)
        for host in plan.services[service].hosts { add(.closeIdle(host: host), .together) }
        add(.request(client: client, makeRequest(service, kind)), .together)
    }

    /// Hosts that want no new requests, then do again, and then do not, while one is in flight.
    mutating func addWavering() {
        let service = below(plan.services.count)
        if plan.services[service].kind == .http { return addTraffic() }
        let client = addClient(service)
        var request = makeRequest(service, plan.services[service].kind)
        (request.isOneWay, request.holding) = (false, .none)
        request.reactions = [.answer(AnswerPlan(delayMilliseconds: 150))]
        add(.request(client: client, request))
        add(.time(milliseconds: 20))
        for host in plan.services[service].hosts { add(.readonly(host: host), .together) }
        for host in plan.services[service].hosts { add(.writeable(host: host), .turns(below(2))) }
        for host in plan.services[service].hosts { add(.readonly(host: host), .turns(below(2))) }
    }

    /// A client asks hosts that take nothing for now, and is gone before they do.
    mutating func addGoneClient() {
        let service = below(plan.services.count)
        if plan.services[service].kind == .http { return addTraffic() }
        let client = addClient(service)
        var request = RequestPlan()
        (request.service, request.method) = (service, "POST")
        add(.request(client: client, request))
        add(.time(milliseconds: 20))
        for host in plan.services[service].hosts { add(.hang(host: host), .together) }
        (request.bodySize, request.timeoutMilliseconds) = (largest(100_000), 200)
        for _ in 0..<4 { add(.request(client: client, request), .together) }
        add(chance(50) ? .close(client: client) : .reset(client: client), .quiet)
        add(.time(milliseconds: 700))
        for host in plan.services[service].hosts { add(.accept(host: host), .together) }
    }

    /// Hosts accept while the worker stands still, and other things happen.
    private mutating func addConnects() {
        let service = below(plan.services.count)
        for _ in 0..<2 + below(2) {
            let client = addClient(service)
            add(.request(client: client, makeRequest(service, plan.services[service].kind)), .together)
        }
        add(.freeze(milliseconds: 1500), .turns(1 + below(4)))
    }

    /// The worker stands still, and everybody else goes on.
    mutating func addStop() {
        if !isWithinScene && chance(25) { return addConnects() }
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
    mutating func addClient(_ service: Int) -> Int {
        doors.append(plan.door(service))
        add(.open(client: doors.count - 1, plan.door(service)))
        return doors.count - 1
    }
}
