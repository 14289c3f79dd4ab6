import Glibc
import Runtime

/// Makes plans from seeds.
struct Generator {
    enum Flavour: UInt64, CaseIterable {
        /// Nobody does anything wrong: only the order of things is random.
        case calm
        case badHosts
        /// Hosts refuse connections, and nothing else is wrong: whatever is asked of a service with another host is served.
        case refusals
        case badClients
        case changes
        case shortage
        case everything
    }

    private var random: FastRandom
    var plan = Plan()
    private(set) var flavour = Flavour.calm
    /// Where each client has connected.
    var doors: [Door] = []
    /// What is added belongs to a scene already.
    var isWithinScene = false

    static func plan(seed: UInt64) -> Plan {
        var generator = Generator(random: FastRandom(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 77))
        generator.make()
        return generator.plan
    }

    private init(random: FastRandom) { self.random = random }

    mutating func below(_ bound: Int) -> Int { Int(random.below(UInt64(bound))) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<Item>(_ items: [Item]) -> Item { items[below(items.count)] }

    private mutating func make() {
        flavour = pick(Flavour.allCases)
        makeSetting()
        if chance(50) { add(.routes(makeRoutes())) }
        let listedAtFirst = pick([90, 80, 30])
        let listed = plan.services.indices.filter { !plan.services[$0].isInbound && chance(listedAtFirst) }
        for service in listed { add(.list(service: service, makeListing(service))) }
        let count = 5 + below(pick([10, 30, 60]))
        for _ in 0..<count { addSomething() }
        if flavour == .changes && chance(40) || flavour == .everything && chance(15) {
            if chance(50) { addWaiting() } else { add(.drain) }
            for _ in 0..<below(8) { addSomething() }
        }
        makeSlow()
        addUpgrades()
    }

    private mutating func makeSetting() {
        let kinds: [ServicePlan.Kind] = pick([
            [.http], [.http, .http], [.dubbo], [.dubbo, .dubbo], [.http, .dubbo], [.bolt], [.dubbo, .bolt],
        ])
        var hosts = 0
        for (number, kind) in kinds.enumerated() {
            let count = 1 + below(4)
            addService(kind, kind == .http ? "shop\(number)" : "demo.Echo\(number)", &hosts, count: count)
        }
        if chance(25) {
            let kind: ServicePlan.Kind = pick([.http, .http, .dubbo, .bolt])
            addService(kind, kind == .http ? "application" : "demo.Application", &hosts, count: 1, isInbound: true)
        }
        plan.hasLog = chance(50)
        plan.eagerness = pick([256, 200, 80])
        plan.shortness = pick([0, 0, 40, 200])
        plan.emptiness = pick([0, 0, 0, 12])
        plan.bufferSize = pick([65_536, 65_536, 4096, 700])
    }

    private mutating func addService(
        _ kind: ServicePlan.Kind, _ name: String, _ hosts: inout Int, count: Int, isInbound: Bool = false
    ) {
        plan.services.append(
            ServicePlan(kind: kind, name: name, hosts: hosts..<hosts + count, isInbound: isInbound))
        hosts += count
    }

    mutating func add(_ action: Action, _ gap: Step.Gap) { plan.steps.append(Step(action: action, gap: gap)) }

    mutating func add(_ action: Action) {
        let gap: Step.Gap
        switch below(10) {
        case 0..<4: gap = .together
        case 4..<7: gap = .turns(1 + below(3))
        default: gap = .quiet
        }
        add(action, gap)
    }

    // MARK: Steps

    mutating func addSomething() {
        let dice = below(100)
        switch flavour {
        case .calm where dice < 90: addTraffic()
        case .badHosts where dice < 75: addTraffic()
        case .refusals where dice < 80: addTraffic()
        case .badClients where dice < 65: addTraffic()
        case .changes where dice < 70: addTraffic()
        case .shortage where dice < 75: addTraffic()
        case .everything where dice < 60: addTraffic()
        case .calm: addHarmless()
        case .badHosts: addHostTrouble()
        case .refusals: addRefusal()
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

    mutating func addTraffic() {
        let service = below(plan.services.count)
        let kind = plan.services[service].kind
        if chance(7) { return addBurst() }
        if chance(6) { return add(.inquire(makeQuestion(service)), .quiet) }
        if chance(3) { return addStop() }
        let door = plan.door(service)
        var client = -1
        if !doors.isEmpty && chance(75) { client = below(doors.count) }
        if client < 0 || doors[client] != door {
            client = doors.count
            doors.append(door)
            add(.open(client: client, door))
        }
        let count = chance(70) ? 1 : 2 + below(4)
        for number in 0..<count {
            let request = makeRequest(chance(70) ? service : another(service), kind)
            add(.request(client: client, request))
            if number > 0 { makeTogether() }
            if request.isHeldBack && chance(85) { add(.release(client: client)) }
        }
        switch below(20) {
        case 0, 1: add(.halfClose(client: client))
        case 2: addTime()
        case 3, 4:
            guard kind != .http else { return }
            add(chance(70) ? .close(client: client) : .reset(client: client))
            if chance(50) { makeTogether() }
        default: break
        }
    }

    private mutating func makeTogether() {
        let last = plan.steps.removeLast()
        plan.steps.append(Step(action: last.action, gap: .together))
    }

    private mutating func addTime() {
        add(
            .time(milliseconds: chance(90) ? pick([5, 50, 400, 1200, 3500]) : pick([12_000, 33_000, 95_000, 310_000])))
    }

    /// A service of the same kind: requests of one connection may mean several.
    private mutating func another(_ service: Int) -> Int {
        let other = below(plan.services.count)
        return plan.door(other) == plan.door(service) ? other : service
    }

    private mutating func addHarmless() {
        switch below(7) {
        case 5: add(.routes(makeRoutes()))
        case 6:
            if !doors.isEmpty { add(.ping(client: below(doors.count))) }
        case 0: add(.report)
        case 1: addTime()
        case 2: addStop()
        case 3: addIdleClose()
        default: add(.closeIdle(host: anyHost()))
        }
    }

    private mutating func addHostTrouble() {
        let host = anyHost()
        switch below(10) {
        case 0, 1: add(.refuse(host: host))
        case 2: add(.crash(host: host))
        case 3: chance(20) ? addGoneClient() : add(.hang(host: host))
        case 4, 5: add(.accept(host: host))
        case 6: add(.closeIdle(host: host))
        case 7:
            if chance(20) { return addWavering() }
            add(.readonly(host: host))
            switch below(4) {
            case 0: add(.writeable(host: host))
            case 1: add(.crash(host: host))
            case 2: add(.closeIdle(host: host))
            default: break
            }
        case 8: add(.chatter(host: host, pick([.answer, .answer, .request, .oversized])))
        default: add(chance(50) ? .heartbeat(host: host) : .time(milliseconds: 700))
        }
    }

    private mutating func addRefusal() {
        let host = anyHost()
        switch below(4) {
        case 0, 1: add(.refuse(host: host))
        case 2: add(.accept(host: host))
        default: addTime()
        }
    }

    private mutating func addClientTrouble() {
        guard !doors.isEmpty else { return addTraffic() }
        if chance(10) { return addSlowBody() }
        if chance(4) { return addDeafClient() }
        let client = below(doors.count)
        switch below(8) {
        case 0, 1: add(.halfClose(client: client))
        case 2: add(.close(client: client))
        case 3: add(.reset(client: client))
        case 4: add(.pause(client: client))
        case 5: add(.resume(client: client))
        case 6: add(.garbage(client: client))
        default: addStop()
        }
    }

    private mutating func addChange() {
        if chance(10) { return addChurn() }
        let service = below(plan.services.count)
        if plan.services[service].isInbound { return add(.report) }
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
}
