import FoundationEssentials
import Runtime

@testable import Discovery

/// The registering half of a fake agent: checks with a time to live, and all that Consul refuses.
final class FakeConsulAgent {
    let consul: FakeConsul
    /// Says 500 with words where new versions say 404.
    var isOld = false
    /// Answers instead of the usual ones, while there is one.
    var refusal: FakeServer.Answer?
    private(set) var bodies: [String] = []
    private(set) var registrations = 0
    private(set) var renewals = 0
    private(set) var expiries = 0
    private let loop: EventLoop
    private var services: [String: Service] = [:]

    private struct Service {
        let name: String
        var entry: FakeConsul.Entry
        let lifetime: Duration
        var expiry: EventLoop.Timer?
    }

    /// The body of a registration; what is missing, of a wrong type or unknown to this is refused as Consul does.
    private struct Body: Decodable {
        struct Check: Decodable {
            let CheckID: String
            let TTL: String
            let Status: String
            let DeregisterCriticalServiceAfter: String
        }
        struct Weights: Decodable {
            let Passing: Int
            let Warning: Int
        }
        let ID: String
        let Name: String
        let Address: String
        let Port: Int
        let Tags: [String]
        let Meta: [String: String]
        let Weights: Weights
        let Check: Check
    }

    init(loop: EventLoop) throws {
        self.loop = loop
        consul = try FakeConsul(loop: loop)
        consul.register = { [unowned self] in take($0) }
    }

    /// Ids that are registered.
    var ids: [String] { services.keys.sorted() }

    /// As an agent that was made anew.
    func forget() {
        for service in services.values { loop.cancel(service.expiry) }
        services.removeAll()
    }

    private func take(_ request: FakeServer.Request) -> FakeServer.Answer? {
        guard request.method == "PUT" else { return nil }
        if let refusal { return refusal }
        let path = request.path
        if path == "/v1/agent/service/register" { return register(request) }
        let id = PercentEncoding.decode(path.split(separator: "/").last ?? "") ?? ""
        if path.hasPrefix("/v1/agent/check/pass/service") {
            let service = String(id.dropFirst("service:".count))
            guard services[service] != nil else {
                return isOld
                    ? .status(500, "CheckID \"\(id)\" does not have associated TTL")
                    : .status(404, "Unknown check ID \"\(id)\"")
            }
            renewals += 1
            arm(service)
            return .ok("")
        }
        if path.hasPrefix("/v1/agent/service/deregister/") {
            guard let service = services.removeValue(forKey: id) else { return .status(404, "Unknown service ID") }
            loop.cancel(service.expiry)
            publish(service.name)
            return .ok("")
        }
        return nil
    }

    private func register(_ request: FakeServer.Request) -> FakeServer.Answer {
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(request.body.utf8)) else {
            return .status(400, "Request decode failed")
        }
        let isMeta =
            body.Meta.count <= 64
            && body.Meta.allSatisfy { key, value in
                key.count <= 128 && value.count <= 512
                    && key.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) }
            }
        guard isMeta, body.Weights.Passing > 0 else { return .status(400, "Invalid Service Meta") }
        guard body.Check.TTL.hasSuffix("ms"), let time = Int64(body.Check.TTL.dropLast(2)),
            body.Check.CheckID == "service:\(body.ID)", body.Check.Status == "passing",
            request.headers["content-type"] == "application/json"
        else { return .status(400, "Invalid check") }
        bodies.append(request.body)
        registrations += 1
        var entry = FakeConsul.Entry(id: body.ID, address: body.Address, port: "\(body.Port)")
        entry.tags = JSONWriter.array(body.Tags)
        entry.meta = JSONWriter.object(body.Meta)
        entry.weights = #"{"Passing":\#(body.Weights.Passing),"Warning":\#(body.Weights.Warning)}"#
        loop.cancel(services[body.ID]?.expiry)
        services[body.ID] = Service(name: body.Name, entry: entry, lifetime: .milliseconds(time))
        arm(body.ID)
        publish(body.Name)
        return .ok("")
    }

    private func arm(_ id: String) {
        guard let service = services[id] else { return }
        loop.cancel(service.expiry)
        services[id]?.expiry = loop.schedule(after: service.lifetime) { [weak self] in
            self?.expiries += 1
            self?.services[id]?.entry.checks = [("service:x", "critical")]
            self?.publish(service.name)
        }
    }

    private func publish(_ name: String) {
        consul.set(name, services.values.filter { $0.name == name }.map(\.entry))
    }
}
