import Runtime

/// What is registered in Consul for an application.
struct ConsulForm: Equatable {
    /// Names the registration at its agent.
    let id: String
    /// What an operator should know about it; empty in the usual case.
    private(set) var remarks: [String] = []
    private let service: String
    private let host: String
    private let port: UInt16
    private var tags: [String] = []
    private var meta: [String: String] = [:]
    private var weight = 1

    /// Consul refuses a registration with more.
    private static let mostMeta = 64
    private static let longestKey = 128
    private static let longestValue = 512

    /// Nil where nobody has said how that stands in Consul.
    init?(_ registration: Registration, startedAt: Int64) {
        service = registration.service.name
        (host, port) = (registration.host, registration.port)
        let parts = [registration.interfaceVersion, registration.group].filter { !$0.isEmpty }
        id = ([service] + parts + [host, "\(port)"]).joined(separator: "-")
        switch registration.service.kind {
        case .http: fillHTTP(registration)
        case .dubbo: fillDubbo(registration, startedAt: startedAt)
        case .bolt: return nil
        }
    }

    /// The body of the registration.
    func json(_ settings: ConsulSettings) -> String {
        let check = JSONWriter.object([
            ("CheckID", JSONWriter.quote(checkID)), ("Name", JSONWriter.quote("Alive")),
            ("TTL", JSONWriter.quote(Self.seconds(settings.timeToLive))), ("Status", JSONWriter.quote("passing")),
            ("DeregisterCriticalServiceAfter", JSONWriter.quote(Self.seconds(settings.removeAfter))),
        ])
        return JSONWriter.object([
            ("ID", JSONWriter.quote(id)), ("Name", JSONWriter.quote(service)), ("Address", JSONWriter.quote(host)),
            ("Port", "\(port)"), ("Tags", JSONWriter.array(tags)), ("Meta", JSONWriter.object(meta)),
            ("Weights", #"{"Passing":\#(weight),"Warning":\#(weight)}"#), ("Check", check),
        ])
    }

    /// Names its check.
    var checkID: String { "service:\(id)" }

    private mutating func fillHTTP(_ registration: Registration) {
        let wanted = registration.weight.isFinite ? registration.weight : 1
        weight = Int(min(max(wanted, 1), 65_535).rounded())
        if Double(weight) != wanted {
            remarks.append(
                "Consul's weights are whole numbers from 1: \(registration.weight) is registered as \(weight)")
        }
        var asTags: [String] = []
        for (name, value) in registration.metadata.sorted(by: { $0.key < $1.key }) {
            if meta.count < Self.mostMeta, Self.isMeta(name, value) {
                meta[name] = value
            } else {
                tags.append("\(name)=\(value)")
                asTags.append(name)
            }
        }
        guard !asTags.isEmpty else { return }
        remarks.append(
            "registered as tags name=value, because Consul's metadata has at most 64 keys of letters, digits, - and _ and "
                + "values up to 512 characters: \(asTags.joined(separator: ", "))")
    }

    /// As Dubbo 2.7's registry does.
    private mutating func fillDubbo(_ registration: Registration, startedAt: Int64) {
        let url = registration.dubboURL(startedAt: startedAt)
        let parameters = registration.dubboParameters(startedAt: startedAt)
        tags = ["dubbo"] + parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        if url.count <= Self.longestValue {
            meta["url"] = url
        } else {
            remarks.append(
                "the provider's URL is longer than the 512 characters that Consul's metadata takes; consumers that do not "
                    + "read tags will not find it: give it fewer labels")
        }
    }

    private static func isMeta(_ name: String, _ value: String) -> Bool {
        guard (1...longestKey).contains(name.utf8.count), value.count <= longestValue else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"): true
            default: false
            }
        }
    }

    private static func seconds(_ duration: Duration) -> String { "\(max(1, duration.nanoseconds / 1_000_000))ms" }
}
