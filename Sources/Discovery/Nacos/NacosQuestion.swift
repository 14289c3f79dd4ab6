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

    /// Most names on a page of the administrators' list.
    static let adminPageSize = 500

    /// Path and query behind a server's base. Only instances can be asked for in both APIs.
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
        }
        parameters.append(("groupName", settings.group))
        if !settings.namespace.isEmpty { parameters.append(("namespaceId", settings.namespace)) }
        return path + "?" + PercentEncoding.form(parameters)
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
