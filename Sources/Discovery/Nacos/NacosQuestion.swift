/// Which of Nacos' HTTP APIs a server is asked by.
enum NacosAPI: Equatable {
    /// Up to 3.x as long as its compatibility with clients is on.
    case v1
    /// 3.x.
    case v3
}

/// What a Nacos server is asked.
enum NacosQuestion: Equatable {
    /// The instances of a service.
    case hosts(String)
    /// The names of all services of the group.
    case services
    /// The same where only administrators may ask: one page, counted from 1.
    case adminServices(page: Int)
    /// A configuration.
    case config(NacosConfig.Name)
    /// Not a question but a request: to list a host, to keep it listed, to list it no more.
    case register(NacosEntry)
    case beat(NacosEntry)
    case deregister(NacosEntry)

    /// What is asked about.
    enum Kind {
        case hosts, services, configurations, registrations
    }

    var kind: Kind {
        switch self {
        case .hosts: .hosts
        case .services, .adminServices: .services
        case .config: .configurations
        case .register, .beat, .deregister: .registrations
        }
    }

    /// Most names on a page of the administrators' list.
    static let adminPageSize = 500

    /// The HTTP method.
    func method(_ api: NacosAPI) -> String {
        switch self {
        case .hosts, .services, .adminServices, .config: "GET"
        case .register: "POST"
        case .beat: api == .v1 ? "PUT" : "POST"
        case .deregister: "DELETE"
        }
    }

    /// It asks for a configuration: one that does not exist is an answer as well.
    var isConfig: Bool { if case .config = self { true } else { false } }

    /// It can be asked in the other API where the one is not there.
    var isInBothAPIs: Bool {
        switch self {
        case .hosts, .register, .beat, .deregister: true
        case .services, .adminServices, .config: false
        }
    }

    /// Path and query behind a server's base.
    func target(_ api: NacosAPI, _ settings: NacosSettings) -> String {
        var parameters: [(String, String)] = []
        let path: String
        switch (self, api) {
        case (.hosts(let name), .v1):
            path = "/v1/ns/instance/list"
            // Otherwise unhealthy hosts are listed, as healthy ones when too many are unhealthy ("protect threshold").
            parameters += [("serviceName", name), ("healthyOnly", "true")]
            if !settings.clusters.isEmpty { parameters.append(("clusters", settings.clusters)) }
        case (.hosts(let name), .v3):
            path = "/v3/client/ns/instance/list"
            parameters += [("serviceName", name), ("healthyOnly", "true")]
            if !settings.clusters.isEmpty { parameters.append(("clusterName", settings.clusters)) }
        case (.services, _):
            path = "/v1/ns/service/list"
            // The order changes from page to page, so all must be on one.
            parameters += [("pageNo", "1"), ("pageSize", "1000000")]
        case (.adminServices(let page), _):
            path = "/v3/admin/ns/service/list"
            parameters += [("pageNo", String(page)), ("pageSize", String(Self.adminPageSize))]
        case (.config(let name), _): return Self.configTarget(name, api, settings)
        case (.register(let entry), .v1):
            path = "/v1/ns/instance"
            parameters += entry.parameters
        case (.register(let entry), .v3):
            path = "/v3/client/ns/instance"
            parameters += entry.parameters
        case (.beat(let entry), .v1):
            path = "/v1/ns/instance/beat"
            parameters += entry.address
        case (.beat(let entry), .v3):
            path = "/v3/client/ns/instance"
            parameters += entry.parameters + [("heartBeat", "true")]
        case (.deregister(let entry), .v1):
            path = "/v1/ns/instance"
            parameters += entry.address
        case (.deregister(let entry), .v3):
            path = "/v3/client/ns/instance"
            parameters += entry.address
        }
        parameters.append(("groupName", settings.group))
        if !settings.namespace.isEmpty { parameters.append(("namespaceId", settings.namespace)) }
        return path + "?" + PercentEncoding.form(parameters)
    }

    private static func configTarget(_ name: NacosConfig.Name, _ api: NacosAPI, _ settings: NacosSettings) -> String {
        var parameters = [("dataId", name.dataID), (api == .v1 ? "group" : "groupName", name.group)]
        // 2.x knows no configuration of a namespace "public".
        if !settings.namespace.isEmpty {
            parameters.append((api == .v1 ? "tenant" : "namespaceId", settings.namespace))
        }
        return (api == .v1 ? "/v1/cs/configs" : "/v3/client/cs/config") + "?" + PercentEncoding.form(parameters)
    }
}

/// Why a question has no answer.
struct NacosFailure: Error, Equatable, CustomStringConvertible {
    enum Kind: Equatable {
        /// The server cannot be reached or is not ready. Ask again at once: the client waits for a server.
        case away
        /// This question was refused or answered with nonsense. Ask again later.
        case refused
        /// Nobody may ask this here.
        case unsupported
    }

    let kind: Kind
    let description: String
}
