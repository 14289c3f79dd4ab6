import Runtime

/// A registration as it stands in etcd.
struct EtcdEntry: Equatable {
    let key: [UInt8]
    let value: [UInt8]

    /// Dubbo interfaces stand as Dubbo writes them, HTTP applications as in `settings.registrationLayout`.
    init(_ registration: Registration, lease: Int64, _ settings: EtcdSettings) {
        let name = registration.service.name
        let layout =
            registration.service.kind == .dubbo
            ? settings.layouts.first { $0.kind == .dubbo } ?? EtcdLayout(.dubbo) : settings.registrationLayout
        let text: (key: String, value: String)
        switch layout.kind {
        case .dubbo:
            let url = PercentEncoding.encode(registration.dubboURL)
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

    /// A weight of which 100 is normal, as text.
    fileprivate var hundredfoldWeight: String {
        String(Int((weight.isFinite ? min(max(weight, 0), 10_000) : 1) * 100))
    }

    /// The provider as Dubbo describes it: parameters in alphabetical order.
    fileprivate var dubboURL: String {
        var parameters = metadata
        parameters["interface"] = service.name
        parameters["version"] = interfaceVersion.isEmpty ? nil : interfaceVersion
        parameters["group"] = group.isEmpty ? nil : group
        parameters["weight"] = weight == 1 ? nil : hundredfoldWeight
        for (name, value) in [("category", "providers"), ("side", "provider"), ("dubbo", "2.0.2")]
        where parameters[name] == nil { parameters[name] = value }
        let query = parameters.sorted { $0.key < $1.key }.map {
            "\(PercentEncoding.encode($0.key))=\(PercentEncoding.encode($0.value))"
        }
        return "dubbo://\(authority)/\(service.name)?\(query.joined(separator: "&"))"
    }

    /// An instance as kratos writes it; its id is the address, so that it is the same after a restart.
    fileprivate var kratos: String {
        var labels = metadata
        if weight != 1 { labels["weight"] = hundredfoldWeight }
        let pairs = labels.sorted { $0.key < $1.key }.map {
            JSONString.quoted($0.key) + ":" + JSONString.quoted($0.value)
        }
        let quoted = [authority, service.name, metadata["version"] ?? "", "http://\(authority)"].map(JSONString.quoted)
        return #"{"id":\#(quoted[0]),"name":\#(quoted[1]),"version":\#(quoted[2]),"#
            + #""metadata":{\#(pairs.joined(separator: ","))},"endpoints":[\#(quoted[3])]}"#
    }
}
