import Runtime

/// Asks for lists over the push connection, many at a time but not all at once: subscribing answers with the list, so that
/// subscribing again reads it anew.
final class NacosSubscriptions {
    private enum Kind { case subscribe, truth }

    /// A service was subscribed or read: its list as text.
    var onAnswer: (NacosService, [UInt8], _ isTruth: Bool) -> Void = { _, _, _ in }
    /// It was not. `.away`: the connection is on its way out.
    var onFailure: (NacosService, NacosPushFailure) -> Void = { _, _ in }

    private let push: NacosPush
    private let settings: NacosSettings
    private var waiting = Fifo<(service: NacosService, kind: Kind)>()
    private var underWay = 0
    private var epoch = 0

    /// Calls under way at one time.
    static let mostUnderWay = 64

    init(push: NacosPush, settings: NacosSettings) {
        self.push = push
        self.settings = settings
    }

    /// Forgets what waits and is under way: it was for another connection.
    func reset() {
        epoch += 1
        underWay = 0
        waiting = Fifo()
    }

    /// Subscribes a service, or reads its list anew.
    func subscribe(_ service: NacosService) { ask(service, .subscribe) }

    /// Reads which hosts are healthy in truth.
    func readTruth(_ service: NacosService) { ask(service, .truth) }

    /// Ends pushes of a service.
    func unsubscribe(_ service: NacosService) {
        guard push.isReady else { return }
        // If it gets lost the server pushes on; what nobody wants is not looked at.
        push.call("SubscribeServiceRequest", request(service, [("subscribe", false), ("clusters", clusters)])) { _ in }
    }

    private var clusters: NacosJSON { .string(settings.clusters) }

    private func request(_ service: NacosService, _ rest: [(String, NacosJSON)]) -> NacosJSON {
        .object(
            [
                ("namespace", .string(settings.namingNamespace)), ("serviceName", .string(service.name)),
                ("groupName", .string(settings.group)),
            ] + rest)
    }

    private func ask(_ service: NacosService, _ kind: Kind) {
        guard !service.isSubscribing else { return }
        service.isSubscribing = true
        waiting.append((service, kind))
        send()
    }

    private func send() {
        while underWay < Self.mostUnderWay, let (service, kind) = waiting.popFirst() {
            guard service.isSubscribing else { continue }  // Nobody wants it any more.
            underWay += 1
            let (now, isTruth) = (epoch, kind == .truth)
            let (type, json) =
                isTruth
                ? (
                    "ServiceQueryRequest",
                    request(service, [("cluster", clusters), ("healthyOnly", true), ("udpPort", 0)])
                )
                : ("SubscribeServiceRequest", request(service, [("subscribe", true), ("clusters", clusters)]))
            push.call(type, json) { [weak self] result in
                guard let self, epoch == now else { return }
                underWay -= 1
                if service.isSubscribing {
                    service.isSubscribing = false
                    switch result {
                    case .success(let message): onAnswer(service, message.body, isTruth)
                    case .failure(let failure): onFailure(service, failure)
                    }
                }
                send()
            }
        }
    }
}
