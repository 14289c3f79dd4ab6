/// From what Nacos lists to what is told.
extension NacosRegistry {
    /// Tells what is known about a service, once all its names have been asked for.
    func report(_ service: ServiceKey) {
        guard let names = services[service], isKnown(service) else { return }
        var found = DubboApplication.Providers()
        var applications: [NacosService] = []
        var failure: String?
        for name in names.sorted() {
            guard let watched = watcher.services[name], watched.isAnswered || watched.failure != nil else { return }
            guard watched.isAnswered else {
                failure = watched.failure
                continue
            }
            switch service.kind {
            case .http: add(&found, watched, \.httpHost)
            case .sofa: break
            case .dubbo:
                if let name = NacosDubboName(name, separator: settings.separator) {
                    add(&found, watched) { $0.dubboHost(name) }
                } else {
                    guard self.applications.isKnown(name) else { return }
                    applications.append(watched)
                }
            }
        }
        add(&found, applications, of: service.name)
        if let failure, found.hosts.isEmpty {
            reporter.fail(service, failure)
        } else {
            reporter.report(service, found.hosts, unused: found.unused)
        }
    }

    private func add(
        _ found: inout DubboApplication.Providers, _ watched: NacosService,
        _ read: (NacosHost) -> Result<ListedHost, DropReason>
    ) {
        for entry in watched.hosts.values.joined() {
            switch read(entry) {
            case .success(let host): found.hosts.append(host)
            case .failure(let reason): found.unused[reason, default: 0] += 1
            }
        }
        found.unused.merge(watched.unused, uniquingKeysWith: +)
    }

    /// Adds what applications offer. A provider can register both ways: what its interface's own entry says goes before.
    private func add(_ found: inout DubboApplication.Providers, _ watched: [NacosService], of interface: String) {
        guard !watched.isEmpty else { return }
        let known = Set(found.hosts.map { NacosHost.Identity(ip: $0.host, port: $0.port) })
        for service in watched {
            for entry in service.hosts.values.joined() {
                guard let application = entry.application(service.name) else { continue }
                let isKnown = application.endpoints.contains {
                    known.contains(NacosHost.Identity(ip: application.host, port: $0.port))
                }
                // Revision 0 says that it offers nothing.
                if isKnown || application.revision == nil && entry.metadata["dubbo.metadata.revision"] == "0" {
                    continue
                }
                let metadata = application.revision.flatMap { applications.metadata(of: service.name, revision: $0) }
                var providers = application.providers(of: interface, metadata)
                if entry.weight <= 0 {
                    for index in providers.hosts.indices { providers.hosts[index].instance.weight = 0 }
                }
                found.add(providers)
            }
        }
    }
}

extension NacosHost {
    /// The host as an instance of a Dubbo application; nil when it is none.
    func application(_ name: String) -> DubboApplication? {
        DubboApplication(name: name, host: ip, port: port, metadata: metadata)
    }
}

extension NacosService {
    /// Revisions of the Dubbo application that this is, if it is one.
    var revisions: Set<String> {
        Set(hosts.values.joined().compactMap { $0.application(name)?.revision })
    }
}
