import Admin
import Configuration
import ControlPlane
import Discovery
import FoundationEssentials
import Model
import Runtime
import TestSupport
import Testing
import WebServer

/// A process with an admin API and one host of each of two versions, on the test's loop.
final class AdminMesh {
    let loop: EventLoop
    let control: ControlPlane
    let admin: AdminServer
    let address: SocketAddress
    let client: HTTPClient
    private let directory: TemporaryDirectory
    private var hosts: [WebServer] = []

    init() throws {
        let loop = try EventLoop()
        self.loop = loop
        directory = try TemporaryDirectory()
        var text = "services:\n  order-service:\n"
        for version in ["1.0", "2.0"] {
            let host = WebServer(loop: loop) { _, respond in respond(.text(version)) }
            let address = try host.listen(on: SocketAddress("127.0.0.1:0")!)
            hosts.append(host)
            text += "    - {address: \"\(address)\", metadata: {version: \"\(version)\"}}\n"
        }
        text += "    - {address: 127.0.0.1:1, weight: 0}\n"
        var configuration = Configuration()
        configuration.workers = 2
        configuration.registries = [
            RegistryConfiguration(url: "file:" + (try directory.write("services.yaml", text))),
            RegistryConfiguration(url: "nacos://reader:s3cret@127.0.0.1:1"),
        ]
        configuration.listeners = [
            ListenerConfiguration(name: "web", protocol: .http, address: SocketAddress("127.0.0.1:0")!)
        ]
        var section = ServiceConfiguration()
        section.hosts = ["o.example"]
        section.policy.split = [VersionWeight(version: "2.0", weight: 1)]
        configuration.services["order-service"] = section
        control = try ControlPlane(
            configuration: configuration, loop: loop, logger: Logger(minimum: .error) { _ in },
            reload: { [configuration] in configuration })
        admin = AdminServer(control: control, version: "9.9")
        address = try admin.listen(on: SocketAddress("127.0.0.1:0")!)
        client = try HTTPClient(loop: loop)
    }

    func stop() {
        client.close()
        admin.stop()
        control.stop()
        for host in hosts { host.stop() }
    }

    func ask(
        _ path: String, method: String = "GET", headers: [(name: String, value: String)] = [], body: [UInt8]? = nil
    ) throws -> HTTPResponse {
        try perform(HTTPRequest(method, "http://\(address)\(path)", headers: headers, body: body))
    }

    func request(version: String? = nil) throws -> HTTPResponse {
        let headers = [("Host", "order-service")] + (version.map { [("x-version", $0)] } ?? [])
        return try perform(HTTPRequest("GET", "http://\(control.listenerAddresses[0])/", headers: headers))
    }

    private func perform(_ request: HTTPRequest) throws -> HTTPResponse {
        var result: Result<HTTPResponse, HTTPError>?
        client.send(request) { result = $0 }
        guard loop.run(for: .seconds(10), until: { result != nil }), let result else { throw TestFailure("no answer") }
        return try result.get()
    }
}

@Suite("Admin API")
struct AdminServerTests {
    @Test("Health and readiness tell how it is")
    func health() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        #expect(try mesh.ask("/healthz").status == 200)
        #expect(try waits(mesh) { try mesh.ask("/readyz").status == 200 })
        mesh.control.drain()
        let draining = try mesh.ask("/readyz")
        #expect(draining.status == 503 && draining.text == "draining\n")
        #expect(try mesh.ask("/healthz").status == 200)
    }

    @Test("Wrong paths and methods are answered with what there is")
    func refusals() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        let unknown = try mesh.ask("/nope")
        #expect(unknown.status == 404 && unknown.text.contains("/metrics") && unknown.text.contains("/explain"))
        let post = try mesh.ask("/services", method: "POST")
        #expect(post.status == 405 && post.header("allow") == "GET, HEAD")
        #expect(try mesh.ask("/").text == unknown.text.replacing("not found\n\n", with: ""))
    }

    @Test("Metrics follow the text format: every series has a type, no series stands twice, buckets grow")
    func metrics() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        for version in ["1.0", "2.0", "2.0"] { #expect(try mesh.request(version: version).text == version) }
        #expect(try mesh.request().text == "2.0")
        let answer = try mesh.ask("/metrics")
        #expect(answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
        let metrics = try Metrics(answer.text)
        let service = #"service="order-service",protocol="http""#
        #expect(metrics.values[#"greymesh_requests_total{\#(service),requested="2.0",version="2.0"}"#] == 2)
        #expect(metrics.values[#"greymesh_requests_total{\#(service),requested="",version="2.0"}"#] == 1)
        #expect(metrics.values[#"greymesh_responses_total{\#(service),version="2.0",code="200"}"#] == 3)
        #expect(metrics.values[#"greymesh_request_duration_seconds_count{\#(service),version="2.0"}"#] == 3)
        #expect(
            metrics.values[#"greymesh_request_duration_seconds_bucket{\#(service),version="2.0",le="+Inf"}"#] == 3)
        #expect(metrics.values[#"greymesh_connections{listener="web"}"#] != nil)
        #expect(metrics.values[#"greymesh_connections_accepted_total{listener="web"}"#] != 0)
        #expect(metrics.values["greymesh_services"] == 1)
        for thread in ["control", "worker"] {
            #expect(metrics.values[#"greymesh_update_duration_seconds_count{thread="\#(thread)"}"#] != 0)
        }
        #expect(metrics.values[#"greymesh_registry_up{registry="nacos://127.0.0.1:1"}"#] == 0)
        #expect(metrics.values[#"greymesh_build_info{version="9.9"}"#] == 1)
        #expect((metrics.values["process_resident_memory_bytes"] ?? 0) > 1e6)
        #expect((metrics.values["process_cpu_seconds_total"] ?? 0) > 0)
        #expect((metrics.values["process_start_time_seconds"] ?? 0) > 1.7e9)
        let hosts = metrics.values.filter { $0.key.hasPrefix("greymesh_host_requests_total{") }
        #expect(hosts.values.sorted() == [1, 3])
    }

    @Test("Services and clusters show hosts, weights and counters")
    func clusters() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        _ = try mesh.request(version: "1.0")
        let services = try JSONDecoder().decode(Services.self, from: Data(try mesh.ask("/services").body)).services
        #expect(
            services == [.init(service: "order-service", hosts: 3, usable: 2, versions: ["1.0", "2.0"], requests: 1)])
        for path in ["/clusters", "/clusters?service=order-service"] {
            let body = try mesh.ask(path).body
            let clusters = try JSONDecoder().decode(Clusters.self, from: Data(body)).services[0].clusters
            #expect(clusters.map(\.name) == ["unversioned", "1.0", "2.0"])
            #expect(clusters[1].hosts.map(\.requests) == [1] && clusters[2].hosts.map(\.weight) == [100])
            #expect(clusters[0].hosts[0].weight == 0 && clusters[0].hosts[0].available)
        }
        #expect(try mesh.ask("/clusters?service=other").text.contains(#""services": []"#))
    }

    @Test("The configuration and the registries are told without passwords")
    func configuration() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        for path in ["/config", "/registries", "/metrics"] {
            let text = try mesh.ask(path).text
            #expect(text.contains("nacos://"))
            #expect(!text.contains("s3cret"))
        }
        let text = try mesh.ask("/config").text
        #expect(text.contains(#""listen": "\#(mesh.control.listenerAddresses[0])""#))
        #expect(text.contains(#""discovery_timeout": "3s""#))
        #expect(try mesh.ask("/config").text == text)
    }

    @Test("Explain answers with steps, and what is no question with what is wrong")
    func explain() throws {
        let mesh = try AdminMesh()
        defer { mesh.stop() }
        let answer = try mesh.ask("/explain?service=o.example&header=x-version:%201.0&method=GET&path=/x")
        #expect(answer.status == 200)
        let document = try JSONDecoder().decode(Explained.self, from: Data(answer.body))
        #expect(document.service == "order-service" && document.version == "1.0" && document.hosts.count == 1)
        #expect(document.steps.contains("x-version asks for version 1.0"))
        for wrong in [
            "/explain", "/explain?service=a&protocol=ftp", "/explain?service=a&header=x", "/explain?servce=a",
        ] {
            let answer = try mesh.ask(wrong)
            #expect(answer.status == 400 && answer.text.contains("error"), "\(wrong)")
        }
    }

    private func waits(_ mesh: AdminMesh, _ condition: () throws -> Bool) throws -> Bool {
        let deadline = Clock.nanoseconds + 10_000_000_000
        while try !condition() { if Clock.nanoseconds > deadline { return false } }
        return true
    }
}

private struct Services: Decodable {
    struct Service: Decodable, Equatable {
        let service: String
        let hosts: Int
        let usable: Int
        let versions: [String]
        let requests: Int
    }

    let services: [Service]
}

private struct Clusters: Decodable {
    struct Service: Decodable { let clusters: [Cluster] }
    struct Cluster: Decodable {
        let name: String
        let hosts: [Host]
    }
    struct Host: Decodable {
        let weight: Int
        let available: Bool
        let requests: Int
    }

    let services: [Service]
}

private struct Explained: Decodable {
    let service: String
    let version: String
    let hosts: [String]
    let steps: [String]
}

/// Reads the text format as strictly as a scraper does.
private struct Metrics {
    private(set) var values: [String: Double] = [:]

    init(_ text: String) throws {
        var types: [String: String] = [:]
        var lastBucket: (series: String, value: Double)?
        guard text.hasSuffix("\n") else { throw TestFailure("no line end at the end") }
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# HELP ") { continue }
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                guard words.count == 4, types.updateValue(String(words[3]), forKey: String(words[2])) == nil else {
                    throw TestFailure("bad or second type: \(line)")
                }
                continue
            }
            guard let blank = line.lastIndex(of: " "), let value = Double(line[line.index(after: blank)...]) else {
                throw TestFailure("no value: \(line)")
            }
            let series = String(line[..<blank])
            let name = String(series.prefix { $0 != "{" })
            var base = name
            for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) && types[name] == nil {
                base = String(name.dropLast(suffix.count))
            }
            guard let type = types[base], (base == name) != (type == "histogram") else {
                throw TestFailure("no fitting type: \(line)")
            }
            guard values.updateValue(value, forKey: series) == nil else { throw TestFailure("twice: \(series)") }
            if name.hasSuffix("_bucket"), let end = series.firstRange(of: ",le=") {
                let stem = String(series[..<end.lowerBound])
                if let last = lastBucket, last.series == stem, last.value > value {
                    throw TestFailure("buckets shrink: \(line)")
                }
                lastBucket = (stem, value)
            }
        }
    }
}
