import Glibc
import Runtime

/// Makes plans from seeds.
struct Generator {
    private enum Flavour: UInt64, CaseIterable {
        /// Nobody does anything wrong: only the order of things is random.
        case calm
        case badHosts
        case badClients
        case changes
        case shortage
        case everything
    }

    private var random: FastRandom
    private var plan = Plan()
    private var flavour = Flavour.calm
    private var clients = 0

    static func plan(seed: UInt64) -> Plan {
        var generator = Generator(random: FastRandom(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 77))
        generator.make()
        return generator.plan
    }

    private init(random: FastRandom) { self.random = random }

    private mutating func below(_ bound: Int) -> Int { Int(random.below(UInt64(bound))) }
    private mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    private mutating func pick<Item>(_ items: [Item]) -> Item { items[below(items.count)] }

    private mutating func make() {
        flavour = pick(Flavour.allCases)
        makeSetting()
        if chance(50) { add(.routes(makeRoutes())) }
        let listedAtFirst = pick([90, 80, 30])
        let listed = plan.services.indices.filter { _ in chance(listedAtFirst) }
        for service in listed { add(.list(service: service, makeListing(service))) }
        let count = 5 + below(pick([10, 30, 60]))
        for _ in 0..<count { addSomething() }
        if flavour == .changes && chance(40) || flavour == .everything && chance(15) {
            add(.drain)
            for _ in 0..<below(8) { addSomething() }
        }
    }

    private mutating func makeSetting() {
        let kinds: [ServicePlan.Kind] = pick([[.http], [.http, .http], [.dubbo], [.dubbo, .dubbo], [.http, .dubbo]])
        var hosts = 0
        for (number, kind) in kinds.enumerated() {
            let count = 1 + below(4)
            let name = kind == .http ? "shop\(number)" : "demo.Echo\(number)"
            plan.services.append(ServicePlan(kind: kind, name: name, hosts: hosts..<hosts + count))
            hosts += count
        }
        plan.hasLog = chance(50)
        plan.eagerness = pick([256, 200, 80])
        plan.shortness = pick([0, 0, 40, 200])
        plan.emptiness = pick([0, 0, 0, 12])
        plan.bufferSize = pick([65_536, 65_536, 4096, 700])
    }

    private mutating func add(_ action: Action) {
        let gap: Step.Gap
        switch below(10) {
        case 0..<4: gap = .together
        case 4..<7: gap = .turns(1 + below(3))
        default: gap = .quiet
        }
        plan.steps.append(Step(action: action, gap: gap))
    }

    // MARK: Steps

    private mutating func addSomething() {
        let dice = below(100)
        switch flavour {
        case .calm where dice < 90: addTraffic()
        case .badHosts where dice < 75: addTraffic()
        case .badClients where dice < 65: addTraffic()
        case .changes where dice < 70: addTraffic()
        case .shortage where dice < 75: addTraffic()
        case .everything where dice < 60: addTraffic()
        case .calm: addHarmless()
        case .badHosts: addHostTrouble()
        case .badClients: addClientTrouble()
        case .changes: addChange()
        case .shortage: addShortage()
        case .everything:
            switch below(5) {
            case 0: addHostTrouble()
            case 1: addClientTrouble()
            case 2: addChange()
            case 3: addShortage()
            default: addHarmless()
            }
        }
    }

    private mutating func addTraffic() {
        let service = below(plan.services.count)
        let kind = plan.services[service].kind
        var client = -1
        if clients > 0 && chance(75) { client = below(clients) }
        if client < 0 || kindOfClient[client] != kind {
            client = clients
            clients += 1
            kindOfClient.append(kind)
            add(.open(client: client, kind: kind))
        }
        let count = chance(70) ? 1 : 2 + below(4)
        for number in 0..<count {
            let request = makeRequest(chance(70) ? service : another(service), kind)
            add(.request(client: client, request))
            if number > 0 { makeTogether() }
            if request.isHeldBack {
                add(.release(client: client))
            }
        }
        switch below(20) {
        case 0, 1: add(.halfClose(client: client))
        case 2: addTime()
        case 3, 4:
            guard kind == .dubbo else { return }
            add(chance(70) ? .close(client: client) : .reset(client: client))
            if chance(50) { makeTogether() }
        default: break
        }
    }

    private var kindOfClient: [ServicePlan.Kind] = []

    private mutating func makeTogether() {
        let last = plan.steps.removeLast()
        plan.steps.append(Step(action: last.action, gap: .together))
    }

    private mutating func addTime() { add(.time(milliseconds: pick([5, 50, 400, 1200, 3500]))) }

    /// A service of the same kind: requests of one connection may mean several.
    private mutating func another(_ service: Int) -> Int {
        let other = below(plan.services.count)
        return plan.services[other].kind == plan.services[service].kind ? other : service
    }

    private mutating func addHarmless() {
        switch below(6) {
        case 5: add(.routes(makeRoutes()))
        case 0: add(.report)
        case 1: addTime()
        case 2: add(.freeze(milliseconds: pick([1, 20, 150])))
        default: add(.closeIdle(host: anyHost()))
        }
    }

    private mutating func addHostTrouble() {
        let host = anyHost()
        switch below(9) {
        case 0, 1: add(.refuse(host: host))
        case 2: add(.crash(host: host))
        case 3: add(.hang(host: host))
        case 4, 5: add(.accept(host: host))
        case 6: add(.closeIdle(host: host))
        case 7:
            add(.readonly(host: host))
            switch below(4) {
            case 0: add(.writeable(host: host))
            case 1: add(.crash(host: host))
            case 2: add(.closeIdle(host: host))
            default: break
            }
        default: add(chance(50) ? .heartbeat(host: host) : .time(milliseconds: 700))
        }
    }

    private mutating func addClientTrouble() {
        guard clients > 0 else { return addTraffic() }
        let client = below(clients)
        switch below(8) {
        case 0, 1: add(.halfClose(client: client))
        case 2: add(.close(client: client))
        case 3: add(.reset(client: client))
        case 4: add(.pause(client: client))
        case 5: add(.resume(client: client))
        case 6: add(.garbage(client: client))
        default: add(.freeze(milliseconds: pick([1, 20, 150])))
        }
    }

    private mutating func addChange() {
        let service = below(plan.services.count)
        switch below(8) {
        case 0..<5: add(.list(service: service, makeListing(service)))
        case 5: add(.remove(service: service))
        case 6: add(.routes(makeRoutes()))
        default: add(.report)
        }
    }

    private mutating func addShortage() {
        switch below(4) {
        case 0, 1: add(.failConnects(count: 1 + below(3), code: pick([EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS])))
        case 2: add(.failAccepts(count: 1 + below(2), code: pick([EMFILE, ENFILE, ECONNABORTED])))
        default: addTime()
        }
    }

    private mutating func anyHost() -> Int { below(plan.services.last!.hosts.upperBound) }

    // MARK: Values

    private mutating func makeRoutes() -> Routes {
        Routes(isPinned: chance(50), hasAlias: chance(50), hasPath: chance(50))
    }

    private mutating func makeListing(_ service: Int) -> Listing {
        var listing = Listing()
        let isVersioned = chance(70)
        for host in plan.services[service].hosts where chance(flavour == .changes ? 75 : 95) {
            let version = isVersioned ? 1 + below(2) : 0
            listing.entries.append(.init(host: host, version: version, weight: chance(10) ? 0 : pick([1, 1, 3])))
        }
        if chance(8) { listing.padding = 300 }
        listing.isStrict = chance(40)
        listing.stable = isVersioned && chance(60) ? 1 + below(2) : 0
        listing.timeoutMilliseconds = pick([300, 2000, 60_000])
        listing.balancer = below(3)
        return listing
    }

    private mutating func makeRequest(_ service: Int, _ kind: ServicePlan.Kind) -> RequestPlan {
        var request = RequestPlan()
        request.service = service
        request.version = chance(40) ? 1 + below(2) : 0
        if kind == .http {
            fillHTTP(&request)
        } else {
            request.isOneWay = chance(15)
            request.bodySize = pick([10, 10, 10, 300, 3000, 100_000])
            request.timeoutMilliseconds = pick([0, 0, 200, 1000, 5000])
            request.method = "POST"
        }
        let isBad = (flavour == .badHosts || flavour == .everything) && chance(35)
        request.reactions = isBad ? [makeBadReaction(kind), .answer(makeAnswer(kind))] : [.answer(makeAnswer(kind))]
        if request.wantsUpgrade && chance(80) { request.reactions = [.upgrade] }
        return request
    }

    private mutating func fillHTTP(_ request: inout RequestPlan) {
        request.method = pick(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT"])
        // Routes lead to the first HTTP service.
        if plan.services[..<request.service].allSatisfy({ $0.kind == .dubbo }) {
            if chance(12) { request.target = .path(stranger: below(2)) }
            if chance(10) { request.target = .alias }
        }
        if request.method == "POST" || request.method == "PUT" {
            request.framing = chance(60) ? .length : .chunked
            request.bodySize = pick([0, 10, 1000, 1000, 30_000, 200_000])
            request.isHeldBack = request.bodySize > 0 && chance(40)
            request.expectsContinue = request.isHeldBack && chance(20)
        } else if request.method == "GET" && chance(8) {
            request.wantsUpgrade = true
        }
        request.isVersion10 = !request.wantsUpgrade && request.framing != .chunked && chance(8)
        request.closes = chance(5)
    }

    private mutating func makeAnswer(_ kind: ServicePlan.Kind) -> AnswerPlan {
        var answer = AnswerPlan()
        answer.size = pick([20, 20, 500, 5000, 100_000])
        answer.isBroken = chance(25)
        answer.delayMilliseconds = chance(20) ? pick([1, 20, 150]) : 0
        answer.closes = chance(8)
        if kind == .http {
            answer.framing = pick([.length, .length, .length, .chunked, .chunked, .untilClose])
            answer.hasInterim = chance(5)
        }
        return answer
    }

    private mutating func makeBadReaction(_ kind: ServicePlan.Kind) -> Reaction {
        let common: [Reaction] = [
            .silent, .stall, .cut(asReset: true), .cut(asReset: false), .reset, .hangUp, .garbage,
        ]
        if chance(50) { return pick(common) }
        if kind == .http { return pick([.status(500), .status(404), .early(413), .early(413), .upgrade]) }
        return pick([.status(40), .wrongID, .twice, .exhausted, .exhausted])
    }
}
