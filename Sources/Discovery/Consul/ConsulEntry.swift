import Model
import Runtime

/// One entry of Consul's health list: an instance of a service with the state of its checks.
struct ConsulEntry: Equatable {
    /// The host as one of an HTTP application, or why it is none.
    let http: Result<ListedHost, DropReason>
    /// The host as a Dubbo provider, or why it is none.
    let dubbo: Result<ListedHost, DropReason>

    static let unreadable = ConsulEntry(.unreadable)

    private init(http: Result<ListedHost, DropReason>, dubbo: Result<ListedHost, DropReason>) {
        (self.http, self.dubbo) = (http, dubbo)
    }

    private init(_ reason: DropReason) { self.init(http: .failure(reason), dubbo: .failure(reason)) }

    /// The host for a kind of service, or why it is not used.
    func host(_ kind: ServiceKey.Kind) -> Result<ListedHost, DropReason> {
        switch kind {
        case .http: http
        case .dubbo: dubbo
        case .bolt: .failure(.unsupportedProtocol)
        }
    }

    /// Reads the entry in `range`.
    init(_ text: [UInt8], _ range: Range<Int>, _ settings: ConsulSettings) {
        guard let entry = JSONText.object(text, in: range),
            let service = entry["Service"].flatMap({ JSONText.object(text, in: $0) })
        else {
            self = .unreadable
            return
        }
        let node = entry["Node"].flatMap { JSONText.object(text, in: $0) }
        let health = ConsulHealth(text, entry["Checks"])
        if let reason = health.dropReason(passingOnly: settings.passingOnly) {
            self.init(reason)
            return
        }
        let record = ConsulRecord(text, service: service, node: node)
        if record.isProxy {
            self.init(.unsupportedProtocol)
            return
        }
        let weight = health.isWarning ? record.warningWeight : record.passingWeight
        self.init(
            http: record.httpHost(weight: weight, settings), dubbo: record.dubboHost(weight: weight))
    }
}

/// The worst of an instance's checks.
struct ConsulHealth: Equatable {
    private(set) var isWarning = false
    private var critical: DropReason?

    /// Reads the checks; none at all is healthy.
    init(_ text: [UInt8], _ range: Range<Int>?) {
        guard let range else { return }
        for element in JSONText.elements(text, in: range) ?? [] {
            guard let check = JSONText.object(text, in: element) else { continue }
            let status = check["Status"].flatMap { JSONText.string(text, $0) } ?? ""
            switch status {
            case "passing": break
            case "warning": isWarning = true
            default:
                // A node that is lost ("serfHealth") is critical too; the checks of its services have stopped where they were.
                let name = check["CheckID"].flatMap { JSONText.string(text, $0) } ?? ""
                let isMaintenance = name.hasPrefix("_service_maintenance") || name == "_node_maintenance"
                if isMaintenance { critical = .disabled } else if critical == nil { critical = .unhealthy }
            }
        }
    }

    /// Why the instance is not used; nil when it is.
    func dropReason(passingOnly: Bool) -> DropReason? {
        critical ?? (passingOnly && isWarning ? .unhealthy : nil)
    }
}
