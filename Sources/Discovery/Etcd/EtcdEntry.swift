import Runtime

/// A registration as it stands in etcd.
struct EtcdEntry: Equatable {
    let key: [UInt8]
    let value: [UInt8]

    /// Dubbo interfaces stand as Dubbo writes them, HTTP applications as in `settings.registrationLayout`.
    ///
    /// - Parameter startedAt: milliseconds since 1970; the same each time it is written.
    init(_ registration: Registration, startedAt: Int64, lease: Int64, _ settings: EtcdSettings) {
        let name = registration.service.name
        let layout =
            registration.service.kind == .dubbo
            ? settings.layouts.first { $0.kind == .dubbo } ?? EtcdLayout(.dubbo) : settings.registrationLayout
        let text: (key: String, value: String)
        switch layout.kind {
        case .dubbo:
            let url = PercentEncoding.encode(registration.dubboURL(startedAt: startedAt))
            // As Dubbo for Java: the value is the lease.
            text = ("\(layout.prefix)/\(PercentEncoding.encode(name))/providers/\(url)", "\(lease)")
        case .goZero: text = ("\(EtcdPlace.goZeroKey(name, layout))/\(lease)", registration.authority)
        case .kratos, .goMicro:
            text = ("\(layout.prefix)/\(name)/\(registration.authority)", registration.kratos)
        }
        key = Array(text.key.utf8)
        value = Array(text.value.utf8)
    }
}

extension Registration {
    /// `10.0.0.1:8080`, `[::1]:8080`
    fileprivate var authority: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// An instance as kratos writes it; its id is the address, so that it is the same after a restart.
    fileprivate var kratos: String {
        var labels = metadata
        if weight != 1 { labels["weight"] = String(dubboWeight) }
        let pairs = labels.sorted { $0.key < $1.key }.map {
            JSONString.quoted($0.key) + ":" + JSONString.quoted($0.value)
        }
        let quoted = [authority, service.name, metadata["version"] ?? "", "http://\(authority)"].map(JSONString.quoted)
        return #"{"id":\#(quoted[0]),"name":\#(quoted[1]),"version":\#(quoted[2]),"#
            + #""metadata":{\#(pairs.joined(separator: ","))},"endpoints":[\#(quoted[3])]}"#
    }
}
