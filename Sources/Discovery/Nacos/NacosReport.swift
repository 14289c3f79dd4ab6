import Model

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
            case .bolt: break
            case .dubbo:
                if let name = NacosDubboName(name, separator: settings.separator) {
                    add(&found, watched) { $0.dubboHost(name) }
                } else {
                    guard self.applications.isKnown(name) else { return }
                    applications.append(watched)
                }
            }
        }
        let instances = instances(of: applications, except: found)
        ask(service, instances)
        add(&found, instances, of: service.name)
        reporter.report(service, found, besides: failure)
    }

    private func add(
        _ found: inout DubboApplication.Providers, _ watched: NacosService,
        _ read: (NacosHost) -> Result<ListedHost, DropReason>
    ) {
        for entry in watched.hosts { found.add(read(entry)) }
        found.unused.merge(watched.unused, uniquingKeysWith: +)
    }

    /// An instance of an application, and whether an operator has taken its share.
    private typealias ApplicationInstance = (application: DubboApplication, isIdle: Bool)

    /// The instances of applications. A provider can register both ways: what its interface's own entry says goes before.
    private func instances(
        of watched: [NacosService], except found: DubboApplication.Providers
    ) -> [ApplicationInstance] {
        guard !watched.isEmpty else { return [] }
        let known = Set(found.hosts.map(\.hostPort))
        var instances: [ApplicationInstance] = []
        for service in watched {
            for entry in service.hosts {
                guard let application = entry.application(service.name) else { continue }
                // Revision 0 says that it offers nothing.
                if application.listens(at: known)
                    || application.revision == nil && entry.metadata["dubbo.metadata.revision"] == "0"
                {
                    continue
                }
                instances.append((application, entry.weight <= 0))
            }
        }
        return instances
    }

    /// Asks instances for what Nacos does not say.
    private func ask(_ service: ServiceKey, _ instances: [ApplicationInstance]) {
        guard service.kind == .dubbo else { return }
        var wishes = DubboWishes()
        for (application, _) in instances {
            guard let revision = application.revision,
                applications.metadata(of: application.name, revision: revision) == nil
            else { continue }
            wishes.add(application.name, application)
        }
        offers.update(service, wishes)
    }

    private func add(
        _ found: inout DubboApplication.Providers, _ instances: [ApplicationInstance], of interface: String
    ) {
        for (application, isIdle) in instances {
            let stored = application.revision.flatMap { revision in
                applications.metadata(of: application.name, revision: revision)
            }
            var providers = offers.providers(application, of: interface, stored: stored)
            if isIdle {
                for index in providers.hosts.indices { providers.hosts[index].instance.weight = 0 }
            }
            found.add(providers)
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
    /// Revisions of the Dubbo application that this is, if it is one, that are looked up in Nacos.
    var storedRevisions: Set<String> {
        Set(
            hosts.compactMap { host in
                host.application(name).flatMap { $0.isMetadataLookedUp ? $0.revision : nil }
            })
    }
}
