import Runtime

/// The names of all Dubbo services, kept up to date while somebody wants one.
///
/// Version and group of a Dubbo service are part of its name in Nacos, so the versions of an interface are found in the
/// list of all services only. Where listing is not allowed (3.x without compatibility and without an administrator's
/// login), the usual names are guessed.
final class NacosListing {
    /// Called when names of these interfaces have come or gone, with nil when all may have.
    var onChange: (Set<String>?) -> Void = { _ in }
    /// Called when the list could not be read while it never has been.
    var onFailure: (String) -> Void = { _ in }
    /// There is a list, or it is certain that there will be none.
    var isKnown: Bool { names != nil || isUnsupported }

    private let client: NacosClient
    private let push: NacosPush
    private let settings: NacosSettings
    private let context: DiscoveryContext
    private var names: [String: Set<String>]?
    private var isUnsupported = false
    private var fingerprint: UInt64?
    private var timer: EventLoop.Timer?
    private var ticket: NacosClient.Ticket?
    private var backoff: Backoff
    private var isRunning = false
    private var adminNames: [String] = []
    /// The server tells of new names at once.
    private var isTold = false
    /// Counts questions over the push connection, so that an answer nobody waits for any more is known.
    private var pushQuestion = 0

    /// A server tells names of so many services at most (its limit is 500 by default).
    private static let mostTold = 400

    /// Versions whose names are tried where there is no list.
    static let guessedVersions = ["", "1.0.0"]

    init(client: NacosClient, push: NacosPush, settings: NacosSettings, context: DiscoveryContext) {
        self.client = client
        self.push = push
        self.settings = settings
        self.context = context
        backoff = Backoff(first: settings.poll * 2, cap: max(.seconds(30), settings.poll))
    }

    /// Names of an interface's services; nil when that is not known yet.
    func names(of interface: String) -> Set<String>? {
        if let names { return names[interface] ?? [] }
        guard isUnsupported else { return nil }
        let separator = settings.separator
        return Set(Self.guessedVersions.map { ["providers", interface, $0, ""].joined(separator: separator) })
    }

    func start() {
        guard !isRunning else { return }
        isRunning = true
        if push.isReady { askToBeTold() }
        ask(.services, isUrgent: names == nil)
    }

    func stop() {
        if isTold && push.isReady { watchNames(begins: false) }
        isRunning = false
        isTold = false
        pushQuestion += 1
        context.loop.cancel(timer)
        if let ticket { client.cancel(ticket) }
        ticket = nil
        // Whoever wants a name later is told what is there then.
        names = nil
        fingerprint = nil
    }

    private func ask(_ question: NacosQuestion, isUrgent: Bool) {
        if question == .services && push.isReady { return askOverPush() }
        ticket = client.ask(question, isUrgent: isUrgent, skip: backoff.failures) { [weak self] result in
            self?.ticket = nil
            self?.take(result, question)
        }
    }

    private func askAgain(after time: Duration) {
        guard isRunning else { return }
        context.loop.cancel(timer)
        timer = context.loop.schedule(after: time) { [weak self] in
            self?.ask(.services, isUrgent: false)
        }
    }

    private func take(_ result: Result<[UInt8], NacosFailure>, _ question: NacosQuestion) {
        do {
            switch question {
            case .adminServices(let page): try takePage(try result.get(), page)
            default: try takeList(try result.get())
            }
        } catch let failure as NacosFailure {
            takeFailure(failure, question)
        } catch {
            takeFailure(NacosFailure(kind: .refused, description: "\(error)"), question)
        }
    }

    private func takeList(_ body: [UInt8]) throws(NacosAnswer.Unreadable) {
        // Without blanks around names, and names in quotes, a sum over the elements does not depend on their order.
        let object = JSONText.object(body)
        let elements = (object?["doms"] ?? object?["serviceNames"]).flatMap { JSONText.elements(body, in: $0) }
        let sum = elements?.reduce(into: UInt64(elements?.count ?? 0)) { $0 &+= JSONText.hash(body, in: $1) }
        if sum == nil || sum != fingerprint {
            use(try NacosAnswer.serviceNames(body))
            fingerprint = sum
        }
        succeed()
    }

    private func takePage(_ body: [UInt8], _ page: Int) throws(NacosAnswer.Unreadable) {
        let (found, pages) = try NacosAnswer.adminServicePage(body, group: settings.group)
        adminNames = page == 1 ? found : adminNames + found
        guard page >= min(pages, 10_000) else { return ask(.adminServices(page: page + 1), isUrgent: names == nil) }
        use(adminNames)
        adminNames = []
        succeed()
    }

    private func succeed() {
        client.health.succeeded()
        backoff.succeeded()
        let isEnough = isTold && names?.values.lazy.map(\.count).reduce(0, +) ?? .max <= Self.mostTold
        askAgain(after: isEnough ? max(settings.reread, settings.poll).jittered : settings.poll.jittered)
    }

    private func takeFailure(_ failure: NacosFailure, _ question: NacosQuestion) {
        // A user who is no administrator is refused: that is as good as no such call.
        let kind = failure.kind == .refused && question != .services ? .unsupported : failure.kind
        switch kind {
        case .away: ask(question, isUrgent: names == nil)
        case .refused:
            client.health.failed("service list: \(failure)", isAway: false)
            if !isKnown { onFailure(failure.description) }
            askAgain(after: backoff.failed())
        case .unsupported:
            if question == .services && settings.credentials != nil {
                return ask(.adminServices(page: 1), isUrgent: names == nil)
            }
            giveUp(failure)
            askAgain(after: .seconds(30).jittered)
        }
    }

    private func giveUp(_ failure: NacosFailure) {
        guard names == nil, !isUnsupported else { return }
        isUnsupported = true
        let versions = Self.guessedVersions.filter { !$0.isEmpty }.joined(separator: ", ")
        context.logger.log(
            .warning, "registry.no_service_list",
            [
                "url": client.health.url, "reason": failure.description,
                "consequence":
                    "only Dubbo services without version or with version \(versions), without group, are found",
                "remedy": "put an administrator's USER:PASSWORD@ into the address, or set "
                    + "nacos.core.api.compatibility.client.enabled=true on the server",
            ])
        onChange(nil)
    }

    // MARK: Push

    /// A push connection can be used that knows nothing yet.
    func pushIsReady() {
        guard isRunning else { return }
        askToBeTold()
        // Where listing is for administrators only it is free for all over this connection.
        guard ticket == nil || isUnsupported || names == nil else { return }
        if let ticket { client.cancel(ticket) }
        ticket = nil
        context.loop.cancel(timer)
        askOverPush()
    }

    /// The push connection is lost.
    func pushIsLost() {
        guard isRunning else { return }
        isTold = false
        guard ticket == nil else { return }
        pushQuestion += 1
        askAgain(after: min(settings.poll, .milliseconds(500)) * Double.random(in: 0...1))
    }

    private func askOverPush() {
        pushQuestion += 1
        let question = pushQuestion
        let json: NacosJSON = .object([
            ("namespace", .string(settings.namingNamespace)), ("groupName", .string(settings.group)),
            ("serviceName", ""),
            ("pageNo", 1), ("pageSize", 1_000_000),
        ])
        push.call("ServiceListRequest", json) { [weak self] result in
            guard let self, isRunning, question == pushQuestion else { return }
            do {
                try takeList(try result.get().body)
            } catch let failure as NacosPushFailure where failure.kind != .refused {
                askAgain(after: settings.poll.jittered)
            } catch {
                takeFailure(NacosFailure(kind: .refused, description: "\(error)"), .services)
            }
        }
    }

    /// Asks to be told of new names where the server can do that; otherwise they are seen with the next list.
    private func askToBeTold() {
        isTold = false
        if push.abilities.contains("fuzzyWatch") { watchNames(begins: true) }
    }

    private func watchNames(begins: Bool) {
        let epoch = push.epoch
        let json: NacosJSON = .object([
            ("namespace", .string(settings.namingNamespace)),
            (
                "groupKeyPattern",
                .string("\(settings.namingNamespace)>>\(settings.group)>>providers\(settings.separator)*")
            ),
            ("receivedGroupKeys", .list([])), ("watchType", begins ? "WATCH" : "CANCEL_WATCH"),
            ("initializing", .flag(begins)),
        ])
        push.call("NamingFuzzyWatchRequest", json) { [weak self] result in
            guard let self, begins, epoch == push.epoch, case .success = result else { return }
            isTold = isRunning
        }
    }

    /// Takes names that the server tells. What has gone is seen with the next list: its hosts are gone anyway.
    func takePush(_ message: NacosMessage) {
        guard isRunning, names != nil else { return }
        var keys: [String] = []
        if message["changedType"] == "ADD_SERVICE", let key = message["serviceKey"] {
            keys = [key]
        } else if let range = JSONText.object(message.body)?["contexts"] {
            for element in JSONText.elements(message.body, in: range) ?? [] {
                let entry = Array(message.body[element])
                guard let object = JSONText.object(entry), let key = object["serviceKey"] else { continue }
                keys += [JSONText.string(entry, key)].compactMap { $0 }
            }
        }
        add(keys)
    }

    private func add(_ keys: [String]) {
        let prefix = "\(settings.namingNamespace)@@\(settings.group)@@"
        var changed: Set<String> = []
        for key in keys where key.hasPrefix(prefix) {
            let name = String(key.dropFirst(prefix.count))
            guard let parsed = NacosDubboName(name, separator: settings.separator) else { continue }
            guard names?[parsed.interface, default: []].insert(name).inserted == true else { continue }
            changed.insert(parsed.interface)
        }
        guard !changed.isEmpty else { return }
        // The list must not be taken for the one before.
        fingerprint = nil
        onChange(changed)
    }

    private func use(_ list: [String]) {
        var next: [String: Set<String>] = [:]
        for name in list {
            guard let parsed = NacosDubboName(name, separator: settings.separator) else { continue }
            next[parsed.interface, default: []].insert(name)
        }
        let before = names
        names = next
        guard let before else { return onChange(nil) }
        let keys = Set(before.keys).union(next.keys)
        let changed = keys.filter { before[$0] != next[$0] }
        if !changed.isEmpty { onChange(changed) }
    }
}
