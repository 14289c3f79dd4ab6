// What depends on the moment: turns that take long, and answers that come in the nick of time.
extension Generator {
    /// In a tenth of the runs some turns take long.
    mutating func makeSlow() {
        if !chance(10) { return }
        plan.slowness = UInt64(pick([30, 100]))
        if isDraining { return }
        for _ in 0..<1 + below(3) { addCloseCalls() }
    }

    /// The plan has a drain: nobody can connect after it.
    var isDraining: Bool {
        plan.steps.contains { if case .drain = $0.action { true } else { false } }
    }

    /// Several clients whose answers come shortly before their time is over, or shortly after.
    private mutating func addCloseCalls() {
        let service = below(plan.services.count)
        if plan.services[service].isInbound { return }
        var listing = Listing()
        listing.entries = plan.services[service].hosts.map { Listing.Entry(host: $0, version: 0, weight: 1) }
        listing.timeoutMilliseconds = 300
        add(.list(service: service, listing), .quiet)
        add(.time(milliseconds: 5), .quiet)
        for _ in 0..<2 + below(5) {
            let client = addClient(service)
            var request = RequestPlan()
            request.service = service
            if plan.services[service].kind != .http { request.method = "POST" }
            request.reactions = [.answer(AnswerPlan(delayMilliseconds: 200 + below(100)))]
            add(.request(client: client, request), .together)
        }
        add(.time(milliseconds: 700), .quiet)
    }
}
