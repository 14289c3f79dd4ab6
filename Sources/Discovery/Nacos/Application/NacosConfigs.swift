import Runtime

/// One configuration in Nacos that is wanted: Dubbo keeps there which applications offer an interface, and what they offer.
final class NacosConfig {
    /// What is known of it.
    enum Content: Equatable {
        /// Not read yet.
        case waiting
        /// There is none, or it cannot be read.
        case missing
        case text([UInt8])
    }

    /// What names it.
    struct Name: Hashable {
        let dataID: String
        let group: String
    }

    let name: Name
    /// It never changes once it is there.
    let isFixed: Bool
    fileprivate(set) var content = Content.waiting
    fileprivate var md5 = ""
    fileprivate var users = 1
    fileprivate var isAsked = false
    /// It has changed while it was read.
    fileprivate var isStale = false
    fileprivate var ticket: NacosClient.Ticket?
    fileprivate var timer: EventLoop.Timer?
    fileprivate var backoff = Backoff(first: .seconds(4), cap: .seconds(120))

    fileprivate init(_ name: Name, isFixed: Bool) {
        self.name = name
        self.isFixed = isFixed
    }
}

/// Keeps configurations known while somebody wants them: the server tells of changes over the push connection; without one
/// they are read now and then.
final class NacosConfigs {
    /// A configuration has been read for the first time, or has changed.
    var onChange: (NacosConfig) -> Void = { _ in }

    private let settings: NacosSettings
    private let context: DiscoveryContext
    private let client: NacosClient
    private let push: NacosPush
    private var configs: [NacosConfig.Name: NacosConfig] = [:]
    private var waiting = Fifo<NacosConfig>()
    private var underWay = 0
    private var epoch = 0

    private static let mostUnderWay = 64
    /// Readings a second of all configurations together, where they are not told.
    private static let mostReadsPerSecond = 50

    init(client: NacosClient, push: NacosPush, settings: NacosSettings, context: DiscoveryContext) {
        self.client = client
        self.push = push
        self.settings = settings
        self.context = context
    }

    /// The configuration, until it is released as often as it was retained.
    func retain(_ dataID: String, group: String, isFixed: Bool) -> NacosConfig {
        let name = NacosConfig.Name(dataID: dataID, group: group)
        if let config = configs[name] {
            config.users += 1
            return config
        }
        let config = NacosConfig(name, isFixed: isFixed)
        configs[name] = config
        read(config)
        return config
    }

    /// Takes back one `retain`.
    func release(_ config: NacosConfig) {
        config.users -= 1
        guard config.users == 0 else { return }
        configs[config.name] = nil
        rest(config)
        if push.isReady && !config.isFixed { listen(config, begins: false) }
    }

    /// Ends all work.
    func stop() {
        for config in configs.values { rest(config) }
        configs.removeAll()
    }

    /// A push connection can be used on which nothing is listened to yet.
    func pushIsReady() {
        reset()
        for config in configs.values where !config.isFixed || config.content == .missing || config.content == .waiting {
            rest(config)
            read(config)
        }
    }

    /// The push connection is lost.
    func pushIsLost() {
        reset()
        for config in configs.values where !config.isFixed || config.content == .waiting {
            config.isAsked = false
            if config.ticket == nil { read(config, after: .seconds(1) * Double.random(in: 0...1)) }
        }
    }

    /// The server tells of a change.
    func takePush(_ message: NacosMessage) {
        guard let dataID = message["dataId"], let group = message["group"],
            let config = configs[NacosConfig.Name(dataID: dataID, group: group)]
        else { return }
        read(config)
    }

    private func reset() {
        epoch += 1
        underWay = 0
        waiting = Fifo()
        for config in configs.values { config.isAsked = false }
    }

    private func rest(_ config: NacosConfig) {
        context.loop.cancel(config.timer)
        if let ticket = config.ticket { client.cancel(ticket) }
        (config.timer, config.ticket, config.isAsked) = (nil, nil, false)
    }

    // MARK: Reading

    private func read(_ config: NacosConfig, after time: Duration) {
        context.loop.cancel(config.timer)
        config.timer = context.loop.schedule(after: time) { [weak self] in self?.read(config) }
    }

    private func read(_ config: NacosConfig) {
        guard configs[config.name] === config else { return }
        context.loop.cancel(config.timer)
        if push.isReady {
            guard !config.isAsked else {
                config.isStale = true
                return
            }
            config.isAsked = true
            waiting.append(config)
            send()
        } else if config.ticket == nil {
            config.ticket = client.ask(.config(config.name), isUrgent: config.content == .waiting) {
                [weak self] result in
                config.ticket = nil
                self?.takeAnswer(config, result)
            }
        }
    }

    private func send() {
        while underWay < Self.mostUnderWay, let config = waiting.popFirst() {
            guard config.isAsked, configs[config.name] === config else { continue }
            underWay += 1
            config.isStale = false
            let now = epoch
            push.call("ConfigQueryRequest", .object(Self.members(config.name, settings))) { [weak self] result in
                guard let self, epoch == now else { return }
                underWay -= 1
                config.isAsked = false
                takePushAnswer(config, result)
                send()
            }
        }
    }

    private static func members(_ name: NacosConfig.Name, _ settings: NacosSettings) -> [(String, NacosJSON)] {
        [
            ("dataId", .string(name.dataID)), ("group", .string(name.group)), ("tenant", .string(settings.namespace)),
        ]
    }

    private func takePushAnswer(_ config: NacosConfig, _ result: Result<NacosMessage, NacosPushFailure>) {
        switch result {
        case .success(let message):
            config.md5 = message["md5"] ?? ""
            config.backoff.succeeded()
            take(config, message["content"].map { .text(Array($0.utf8)) } ?? .missing)
            if config.isStale { return read(config) }
            if !config.isFixed { listen(config, begins: true) }
        case .failure(let failure) where failure.description.contains("error 300:"):
            config.md5 = ""
            take(config, .missing)
            if config.isFixed {
                // It is published a moment after the instance that names it.
                read(config, after: config.backoff.failed())
            } else {
                listen(config, begins: true)
            }
        case .failure(let failure): fail(config, failure.description)
        }
    }

    private func listen(_ config: NacosConfig, begins: Bool) {
        let json: NacosJSON = .object([
            ("listen", .flag(begins)),
            (
                "configListenContexts",
                .list([.object(Self.members(config.name, settings) + [("md5", .string(config.md5))])])
            ),
        ])
        let now = epoch
        push.call("ConfigBatchListenRequest", json) { [weak self] result in
            guard let self, epoch == now, begins, configs[config.name] === config, !config.isAsked else { return }
            switch result {
            case .success(let message):
                let changed = JSONText.object(message.body)?["changedConfigs"]
                    .flatMap { JSONText.elements(message.body, in: $0) }
                // It has changed since it was read. Not at once: a server that says so always must not be asked always.
                let isChanged = changed?.isEmpty == false
                read(config, after: isChanged ? .milliseconds(500).jittered : .seconds(300).jittered)
            case .failure(let failure): fail(config, failure.description)
            }
        }
    }

    private func takeAnswer(_ config: NacosConfig, _ result: Result<[UInt8], NacosFailure>) {
        switch result {
        case .success(let body):
            config.backoff.succeeded()
            let content = NacosAnswer.config(body)
            take(config, content)
            guard !config.isFixed || content == .missing else { return }
            let spread = Duration.nanoseconds(configs.count * (1_000_000_000 / Self.mostReadsPerSecond))
            read(config, after: max(settings.poll * 5, spread).jittered)
        case .failure(let failure) where failure.kind == .away:
            read(config)
        case .failure(let failure) where failure.kind == .unsupported:
            take(config, config.content == .waiting ? .missing : config.content)
            read(config, after: config.backoff.failed())
        case .failure(let failure): fail(config, failure.description)
        }
    }

    private func fail(_ config: NacosConfig, _ reason: String) {
        context.logger.log(
            .warning, "registry.config_failed",
            [
                "url": client.health.url, "config": "\(config.name.dataID) of group \(config.name.group)",
                "reason": reason,
            ], limit: 5, limitKey: client.health.url)
        if config.content == .waiting { take(config, .missing) }
        read(config, after: config.backoff.failed())
    }

    private func take(_ config: NacosConfig, _ content: NacosConfig.Content) {
        guard configs[config.name] === config, config.content != content else { return }
        config.content = content
        onChange(config)
    }
}

extension NacosAnswer {
    /// Reads a configuration: the text itself in the v1 API, an object around it in the v3 API; empty where there is none.
    static func config(_ body: [UInt8]) -> NacosConfig.Content {
        guard let outer = JSONText.object(body), outer["code"] != nil, let data = outer["data"] else {
            return body.isEmpty ? .missing : .text(body)
        }
        guard let object = JSONText.object(body, in: data),
            let content = object["content"].flatMap({ JSONText.string(body, $0) })
        else { return .missing }
        return .text(Array(content.utf8))
    }
}
