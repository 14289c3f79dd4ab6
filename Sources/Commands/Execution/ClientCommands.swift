import Configuration
import Discovery

/// Commands that ask a running process and print what it tells.
struct ClientCommands {
    let output: (String) -> Void

    /// `greymesh services`
    func services(_ options: ClientOptions) throws {
        let text = try AdminClient(options: options).get("/services")
        if options.json { return output(text) }
        var table = TextTable(
            ["SERVICE", "PROTOCOL", "STATE", "HOSTS", "USABLE", "VERSIONS", "REQUESTS"], numbers: [3, 4, 6])
        for service in try AdminClient.decode(ServicesAnswer.self, text).services {
            table.add([
                service.service, service.protocol, service.state, "\(service.hosts)", "\(service.usable)",
                service.versions.joined(separator: " "), "\(service.requests)",
            ])
        }
        output(table.text)
    }

    /// `greymesh clusters [SERVICE]`
    func clusters(_ options: ClientOptions, of service: String?) throws {
        let parameters = service.map { [("service", $0)] } ?? []
        let text = try AdminClient(options: options).get("/clusters", parameters)
        let answer = try AdminClient.decode(ClustersAnswer.self, text)
        if let service, answer.services.isEmpty {
            throw CommandError(description: "clusters: the service \(service) is not watched; see greymesh services")
        }
        if options.json { return output(text) }
        var table = TextTable(
            ["SERVICE", "PROTOCOL", "CLUSTER", "HOST", "WEIGHT", "STATE", "ACTIVE", "REQUESTS", "FAILURES", "WHY"],
            numbers: [4, 6, 7, 8])
        for service in answer.services {
            if service.clusters.isEmpty {
                table.add([service.service, service.protocol, "", "", "", "no hosts", "", "", "", ""])
            }
            for cluster in service.clusters {
                for host in cluster.hosts {
                    table.add([
                        service.service, service.protocol, cluster.name, host.address, "\(host.weight)", host.state,
                        "\(host.active)", "\(host.requests)", "\(host.failures)", host.why ?? "",
                    ])
                }
            }
        }
        output(table.text)
    }

    /// `greymesh registries`
    func registries(_ options: ClientOptions) throws {
        let text = try AdminClient(options: options).get("/registries")
        if options.json { return output(text) }
        var table = TextTable(
            ["REGISTRY", "STATE", "MODE", "SERVICES", "HOSTS", "DROPPED", "CHANGED", "REGISTERED", "LAST ERROR"],
            numbers: [3, 4])
        for registry in try AdminClient.decode(RegistriesAnswer.self, text).registries {
            table.add([
                registry.url, registry.state, registry.mode + (registry.whyNoPush.map { ": \($0)" } ?? ""),
                "\(registry.subscriptions)", "\(registry.instances)", registry.drops,
                Self.ago(registry.lastChangeMillisecondsAgo),
                registry.registrations == 0 ? "" : "\(registry.registered)/\(registry.registrations)",
                registry.lastError.map { "\(Self.ago(registry.lastErrorMillisecondsAgo)): \($0)" } ?? "",
            ])
        }
        output(table.text)
    }

    /// `greymesh registrations`
    func registrations(_ options: ClientOptions) throws {
        let text = try AdminClient(options: options).get("/registrations")
        if options.json { return output(text) }
        var table = TextTable(
            ["SERVICE", "PROTOCOL", "ADDRESS", "HEALTH", "REGISTRY", "STATE", "SINCE", "REASON"])
        for registration in try AdminClient.decode(RegistrationsAnswer.self, text).registrations {
            let first = [registration.name, registration.protocol]
            if registration.registries.isEmpty {
                table.add(
                    first + ["port \(registration.port)", registration.health, "", "", "", registration.problem ?? ""])
            }
            for entry in registration.registries {
                table.add(
                    first + [
                        entry.address(port: registration.port), registration.health, entry.registry, entry.state,
                        Self.ago(entry.sinceMilliseconds), entry.reason ?? registration.problem ?? "",
                    ])
            }
        }
        output(table.text)
    }

    /// `greymesh upgrade`
    func upgrade(_ options: ClientOptions) throws {
        _ = try AdminClient(options: options).post("/upgrade")
        output("upgraded: the new process serves; the old one ends when what it has left is done")
    }

    /// `3s ago`, in the largest unit that is not 0.
    static func ago(_ milliseconds: Int64?) -> String {
        guard let milliseconds else { return "" }
        let seconds = milliseconds / 1000
        let (number, unit) =
            seconds < 60
            ? (seconds, "s")
            : seconds < 3600
                ? (seconds / 60, "m")
                : seconds < 86_400
                    ? (seconds / 3600, "h") : (seconds / 86_400, "d")
        return "\(number)\(unit) ago"
    }

    /// `greymesh explain`
    ///
    /// - Returns: false when the request would be refused.
    func explain(_ options: ClientOptions, _ question: ExplainOptions) throws -> Bool {
        var parameters = [("service", question.service)]
        if let kind = question.protocol { parameters.append(("protocol", kind.rawValue)) }
        parameters += question.headers.map { ("header", "\($0.name):\($0.value)") }
        for (name, value) in [
            ("method", question.method), ("path", question.path), ("version", question.version),
            ("group", question.group), ("client", question.client),
        ] {
            if let value { parameters.append((name, value)) }
        }
        let text = try AdminClient(options: options).get("/explain", parameters)
        let answer = try AdminClient.decode(ExplainDocument.self, text)
        if options.json {
            output(text)
        } else {
            for (index, step) in answer.steps.enumerated() { output("\(index + 1). \(step)") }
            output(answer.conclusion)
        }
        return !answer.hosts.isEmpty || answer.dependsOn != nil
    }
}

private struct ServicesAnswer: Decodable {
    struct Service: Decodable {
        let service: String
        let `protocol`: String
        let state: String
        let hosts: Int
        let usable: Int
        let versions: [String]
        let requests: UInt64
    }

    let services: [Service]
}

private struct ClustersAnswer: Decodable {
    struct Service: Decodable {
        let service: String
        let `protocol`: String
        let clusters: [Cluster]
    }

    struct Cluster: Decodable {
        let name: String
        let hosts: [Host]
    }

    struct Host: Decodable {
        let address: String
        let weight: Int
        let available: Bool
        let health: String
        let why: String?
        let active: Int
        let ejectedMilliseconds: Int64
        let draining: Bool
        let requests: UInt64
        let failures: UInt64

        var state: String {
            if !available { return "unavailable" }
            if health != "ok" {
                return ejectedMilliseconds > 0 ? "\(health) \((ejectedMilliseconds + 999) / 1000)s" : health
            }
            return draining ? "draining" : weight == 0 ? "weight 0" : "ok"
        }
    }

    let services: [Service]
}

private struct RegistriesAnswer: Decodable {
    struct Registry: Decodable {
        let url: String
        let state: String
        let mode: String
        let whyNoPush: String?
        let subscriptions: Int
        let instances: Int
        let dropped: [String: Int]
        let lastChangeMillisecondsAgo: Int64?
        let lastError: String?
        let lastErrorMillisecondsAgo: Int64?
        let registrations: Int
        let registered: Int

        /// `2 unhealthy, 1 disabled`
        var drops: String {
            dropped.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($1) \($0)" }.joined(separator: ", ")
        }
    }

    let registries: [Registry]
}

private struct RegistrationsAnswer: Decodable {
    struct Registration: Decodable {
        struct Entry: Decodable {
            let registry: String
            let state: String
            let host: String?
            let reason: String?
            let sinceMilliseconds: Int64?

            func address(port: UInt16) -> String {
                guard let host else { return "port \(port)" }
                return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            }
        }

        let service: String
        let `protocol`: String
        let version: String
        let group: String
        let port: UInt16
        let health: String
        let problem: String?
        let registries: [Entry]

        /// `com.acme.OrderService:1.0.0:blue`
        var name: String {
            service + (version.isEmpty && group.isEmpty ? "" : ":\(version)") + (group.isEmpty ? "" : ":\(group)")
        }
    }

    let registrations: [Registration]
}

private struct ExplainDocument: Decodable {
    let service: String?
    let cluster: String?
    let version: String?
    let hosts: [String]
    let dependsOn: String?
    let steps: [String]

    var conclusion: String {
        if let dependsOn { return "=> depends on --\(dependsOn)" }
        if hosts.isEmpty { return "=> refused" }
        let version = cluster == "any" ? "any version" : "version \(self.version ?? "")"
        return "=> \(service ?? "") \(version): \(hosts.joined(separator: ", "))"
    }
}
