import Runtime
import WebServer

/// The subset of Nacos' v1 HTTP API: requests in, answers out, in the words of a 2.x server.
struct NamingAPI {
    var store = NamingStore()

    /// Answers a request.
    ///
    /// - Parameter now: monotonic nanoseconds.
    mutating func answer(_ request: Request, at now: Int64) -> Response {
        let path = request.path
        do {
            if let response = try answerNaming(request, path: path, at: now) { return response }
            if let response = answerServer(request, path: path) { return response }
        } catch {
            return refuse(error, path: path)
        }
        if path.hasPrefix("/nacos/v1/ns") {
            return .text("no such api:\(request.method):\(path)", status: 501)
        }
        return page(status: 404, message: "No message available", path: path)
    }

    // MARK: Naming

    private mutating func answerNaming(
        _ request: Request, path: String, at now: Int64
    ) throws(Refusal) -> Response? {
        let naming = NamingRequest(parameters: request.parameters)
        switch (request.method, path) {
        case ("POST", "/nacos/v1/ns/instance"): return try register(naming, at: now)
        case ("DELETE", "/nacos/v1/ns/instance"): return try deregister(naming, at: now)
        case ("PUT", "/nacos/v1/ns/instance"): return try update(naming)
        case ("PUT", "/nacos/v1/ns/instance/beat"): return try beat(naming, at: now)
        case ("GET", "/nacos/v1/ns/instance"): return try instance(naming)
        case ("GET", "/nacos/v1/ns/instance/list"): return try list(naming)
        case ("GET", "/nacos/v1/ns/service/list"): return try services(naming)
        default: return nil
        }
    }

    private mutating func register(_ request: NamingRequest, at now: Int64) throws(Refusal) -> Response {
        let service = try request.service()
        let instance = try request.instance()
        do {
            try store.register(instance, in: service, at: now)
        } catch {
            throw refusal(error, of: service)
        }
        return .text("ok")
    }

    private mutating func deregister(_ request: NamingRequest, at now: Int64) throws(Refusal) -> Response {
        let isEphemeral = request.flag("ephemeral", default: true)
        store.deregister(try request.key(), isEphemeral: isEphemeral, in: try request.service(), at: now)
        return .text("ok")
    }

    private mutating func update(_ request: NamingRequest) throws(Refusal) -> Response {
        let service = try request.service()
        let change = NamingOverride(
            weight: try request.weight(), enabled: request.enabled, metadata: try request.metadata())
        guard store.override(try request.key(), with: change, in: service) else {
            let name = "namespace: \(service.namespace), service: \(service.grouped)"
            throw Refusal(status: 400, text: "service not found, \(name)", isPage: true)
        }
        return .text("ok")
    }

    private mutating func beat(_ request: NamingRequest, at now: Int64) throws(Refusal) -> Response {
        let service = try request.service()
        var registration: NamingInstance?
        if let text = request.optional("beat") { registration = try instance(ofBeat: text, request) }
        let result: NamingStore.BeatResult
        do {
            let key = try registration?.key ?? request.key()
            result = try store.beat(key, registration: registration, in: service, at: now)
        } catch let refusal as Refusal {
            throw refusal
        } catch let mismatch as NamingStore.KindMismatch {
            throw refusal(mismatch, of: service)
        } catch {
            throw Refusal(status: 500, text: "\(error)", isPage: true)
        }
        let (code, interval) =
            switch result {
            case .accepted(let interval): (10200, interval)
            case .unknown: (20404, 5_000)
            }
        return .json(
            JSONText.object(["clientBeatInterval": "\(interval)", "code": "\(code)", "lightBeatEnabled": "true"]))
    }

    /// What a beat registers where the host is not known.
    private func instance(ofBeat text: String, _ request: NamingRequest) throws(Refusal) -> NamingInstance {
        guard let beat = try? BeatBody(parsing: text), (0...65535).contains(beat.port) else {
            throw Refusal(status: 500, text: "beat is not JSON of a beat: \(text)", isPage: true)
        }
        return NamingInstance(
            key: NamingInstance.Key(ip: beat.ip, port: beat.port),
            clusterName: beat.cluster ?? request.optional("clusterName") ?? "DEFAULT", weight: beat.weight ?? 1,
            metadata: (beat.metadata ?? [:]).mapValues(\.text))
    }

    private func instance(_ request: NamingRequest) throws(Refusal) -> Response {
        let service = try request.service()
        let key = try request.key()
        let cluster = request.optional("clusterName") ?? "DEFAULT"
        let found = store.instances(of: service).first { $0.key == key && $0.clusterName == cluster }
        guard let found else { throw Refusal(status: 404, text: "no matched ip found!") }
        return .json(
            JSONText.object([
                "service": JSONText.string(service.grouped), "ip": JSONText.string(found.key.ip),
                "port": "\(found.key.port)", "clusterName": JSONText.string(found.clusterName),
                "weight": "\(found.weight)", "healthy": "\(found.healthy)",
                "instanceId": JSONText.string(identifier(found, service)),
                "metadata": JSONText.metadata(found.metadata),
            ]))
    }

    private func list(_ request: NamingRequest) throws(Refusal) -> Response {
        let service = try request.service()
        let clusters = request.clusters
        let healthyOnly = request.flag("healthyOnly", default: false)
        let hosts = store.instances(of: service).filter {
            $0.enabled && ($0.healthy || !healthyOnly) && (clusters.isEmpty || clusters.contains($0.clusterName))
        }
        return .json(
            JSONText.object([
                "name": JSONText.string(service.grouped), "groupName": JSONText.string(service.group),
                "clusters": JSONText.string(request.optional("clusters") ?? ""), "cacheMillis": "10000",
                "hosts": JSONText.array(hosts.map { host($0, service) }),
                "lastRefTime": "\(Clock.wallNanoseconds / 1_000_000)", "checksum": "\"\"", "allIPs": "false",
                "reachProtectionThreshold": "false", "valid": "true",
            ]))
    }

    private func host(_ instance: NamingInstance, _ service: ServiceName) -> String {
        let text = JSONText.object([
            "instanceId": JSONText.string(identifier(instance, service)), "ip": JSONText.string(instance.key.ip),
            "port": "\(instance.key.port)", "weight": "\(instance.weight)", "healthy": "\(instance.healthy)",
            "enabled": "\(instance.enabled)", "ephemeral": "\(instance.isEphemeral)",
            "clusterName": JSONText.string(instance.clusterName), "serviceName": JSONText.string(service.grouped),
            "metadata": JSONText.metadata(instance.metadata), "instanceHeartBeatInterval": "\(instance.beatInterval)",
            "instanceHeartBeatTimeOut": "\(instance.beatTimeout)", "ipDeleteTimeout": "\(instance.deleteTimeout)",
        ])
        // As in Nacos, which tells its way of making identifiers only where there is no metadata.
        return instance.metadata.isEmpty ? text.dropLast() + ",\"instanceIdGenerator\":\"simple\"}" : text
    }

    private func identifier(_ instance: NamingInstance, _ service: ServiceName) -> String {
        "\(instance.key.ip)#\(instance.key.port)#\(instance.clusterName)#\(service.grouped)"
    }

    private func services(_ request: NamingRequest) throws(Refusal) -> Response {
        let page = try request.number("pageNo")
        let size = try request.number("pageSize")
        let all = store.services(namespace: request.namespace, group: request.group)
        var names: ArraySlice<String> = []
        let (start, isHuge) = max(0, page - 1).multipliedReportingOverflow(by: max(0, size))
        if !isHuge { names = all.dropFirst(start).prefix(max(0, size)) }
        return .json(JSONText.object(["count": "\(all.count)", "doms": JSONText.array(names.map(JSONText.string))]))
    }

    // MARK: The server itself

    private func answerServer(_ request: Request, path: String) -> Response? {
        switch (request.method, path) {
        case ("POST", "/nacos/v1/auth/login"), ("POST", "/nacos/v1/auth/users/login"):
            let user = request.parameters["username"] ?? "nacos"
            return .json(
                JSONText.object([
                    "accessToken": "\"development\"", "tokenTtl": "18000", "globalAdmin": "true",
                    "username": JSONText.string(user),
                ]))
        case ("GET", "/nacos/v1/console/health/readiness"), ("GET", "/nacos/v1/console/health/liveness"):
            return .text("OK")
        case ("GET", "/nacos/v1/ns/operator/metrics"), ("GET", "/nacos/actuator/health"):
            return .json("{\"status\":\"UP\"}")
        case ("GET", "/nacos/v1/console/namespaces"):
            let others = store.namespaces.filter { $0 != "public" }
            let entries = ["public"] + others
            return .json(
                JSONText.object([
                    "code": "200", "message": "null", "data": JSONText.array(entries.map(namespaceEntry)),
                ]))
        default: return nil
        }
    }

    private func namespaceEntry(_ name: String) -> String {
        let isPublic = name == "public"
        return JSONText.object([
            "namespace": JSONText.string(isPublic ? "" : name), "namespaceShowName": JSONText.string(name),
            "quota": "200", "configCount": "0", "type": isPublic ? "0" : "2",
        ])
    }

    // MARK: Refusals

    private func refusal(_ mismatch: NamingStore.KindMismatch, of service: ServiceName) -> Refusal {
        let (kind, other) = mismatch.serviceIsEphemeral ? ("ephemeral", "persistent") : ("persistent", "ephemeral")
        let text =
            "errCode: 400, errMsg: Current service \(service.grouped) is \(kind) service, "
            + "can't register \(other) instance. "
        return Refusal(status: 400, text: text)
    }

    private func refuse(_ refusal: Refusal, path: String) -> Response {
        refusal.isPage
            ? page(status: refusal.status, message: refusal.text, path: path)
            : .text(refusal.text, status: refusal.status)
    }

    private func page(status: Int, message: String, path: String) -> Response {
        let time = Clock.wallNanoseconds / 1_000_000
        return .json(
            JSONText.object([
                "timestamp": "\(time)", "status": "\(status)",
                "error": JSONText.string(Response.reason(of: status)), "message": JSONText.string(message),
                "path": JSONText.string(path),
            ]), status: status)
    }
}
