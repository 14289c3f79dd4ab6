// What steps are made of.
extension Generator {
    mutating func makeRoutes() -> Routes {
        let pinned = chance(50)
        let all = plan.services.indices.filter { !plan.services[$0].isInbound }
        return Routes(
            pinned: pinned ? all.filter { _ in chance(80) } : [], hasAlias: chance(50), hasPath: chance(50))
    }

    mutating func makeListing(_ service: Int) -> Listing {
        var listing = Listing()
        let isVersioned = chance(70)
        // Now and then others than before.
        let versions = flavour == .changes && chance(30) ? pick([[2, 3], [3, 4], [1, 4]]) : [1, 2]
        for host in plan.services[service].hosts where chance(flavour == .changes ? 75 : 95) {
            let version = isVersioned ? pick(versions) : 0
            listing.entries.append(.init(host: host, version: version, weight: chance(10) ? 0 : pick([1, 1, 3])))
        }
        if chance(8) { listing.padding = 300 }
        listing.isStrict = chance(40)
        listing.stable = isVersioned && chance(60) ? pick(versions) : 0
        if isVersioned && chance(25) { split(&listing, versions) }
        listing.timeoutMilliseconds = pick([300, 2000, 60_000])
        listing.balancer = below(3)
        listing.retries = makeRetries()
        makeLimits(&listing)
        makeFaults(&listing, plan.services[service].kind)
        listing.outliers = makeOutliers()
        if isVersioned { makeMirror(&listing, versions) }
        return listing
    }

    private mutating func split(_ listing: inout Listing, _ versions: [Int]) {
        let weights: [UInt32] = pick([[90, 10], [100, 0], [0, 100], [1, 1]])
        listing.split = zip(versions, weights).map { Listing.Share(version: $0, weight: $1) }
        listing.isSticky = chance(60)
    }

    /// A request of which can be said beforehand where it goes.
    mutating func makeQuestion(_ service: Int) -> RequestPlan {
        var request = RequestPlan()
        request.service = service
        request.version = chance(50) ? 1 + below(3) : 0
        request.user = chance(50) ? 1 + below(9) : 0
        if plan.services[service].kind != .http { request.method = "POST" }
        return request
    }

    mutating func makeRequest(_ service: Int, _ kind: ServicePlan.Kind) -> RequestPlan {
        var request = RequestPlan()
        request.service = service
        request.version = chance(40) ? 1 + below(chance(80) ? 2 : 4) : 0
        request.user = chance(20) ? 1 + below(9) : 0
        if kind == .http {
            fillHTTP(&request)
        } else {
            request.isOneWay = chance(15)
            request.bodySize = pick([10, 10, 10, 300, 3000, largest(100_000)])
            request.timeoutMilliseconds = pick([0, 0, 200, 1000, 5000])
            request.method = "POST"
            if chance(2) { request.bodySize = Plan.bodyLimit + 5000 }
            if chance(4) { request.holding = .head }
        }
        let isBad = (flavour == .badHosts || flavour == .everything) && chance(35)
        request.reactions = isBad ? [makeBadReaction(kind), .answer(makeAnswer(kind))] : [.answer(makeAnswer(kind))]
        if request.wantsUpgrade && chance(80) { request.reactions = [.upgrade] }
        return request
    }

    /// So many bytes, but not more than go through the buffers in a few turns.
    func largest(_ size: Int) -> Int { min(size, plan.bufferSize * 12) }

    private mutating func fillHTTP(_ request: inout RequestPlan) {
        request.method = pick(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT"])
        if request.service == plan.firstHTTP {
            if chance(12) { request.target = .path(stranger: below(2)) }
            if chance(10) { request.target = .alias }
        }
        if request.method == "POST" || request.method == "PUT" {
            request.framing = chance(60) ? .length : .chunked
            request.bodySize = pick([0, 10, 1000, 1000, largest(30_000), largest(200_000)])
            if request.bodySize > 0 && chance(40) { request.holding = .body }
            request.expectsContinue = request.holding == .body && chance(20)
        } else if request.method == "GET" && chance(8) {
            request.wantsUpgrade = true
        }
        if request.holding == .none && chance(4) { request.holding = .head }
        request.isVersion10 = !request.wantsUpgrade && request.framing != .chunked && chance(8)
        request.closes = chance(5)
    }

    private mutating func makeAnswer(_ kind: ServicePlan.Kind) -> AnswerPlan {
        var answer = AnswerPlan()
        answer.size = pick([20, 20, 500, 5000, largest(100_000)])
        answer.isBroken = chance(25)
        answer.delayMilliseconds = chance(20) ? pick([1, 20, 150]) : 0
        answer.closes = chance(8)
        answer.resets = answer.closes && chance(30)
        if kind == .http {
            answer.framing = pick([.length, .length, .length, .chunked, .chunked, .untilClose])
            answer.hasInterim = chance(5)
        }
        return answer
    }

    private mutating func makeBadReaction(_ kind: ServicePlan.Kind) -> Reaction {
        let common: [Reaction] = [
            .silent, .stall, .cut(asReset: true), .cut(asReset: false), .reset, .hangUp, .garbage, .wrongID, .twice,
            .oversized,
        ]
        if chance(60) { return pick(common) }
        if kind == .http { return pick([.status(500), .status(404), .early(413), .early(413), .upgrade]) }
        return pick([.status(40), .exhausted, .exhausted])
    }
}
