import Configuration
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// What is made of answers: recorded ones of a real server in both kinds of JSON, and broken ones.
@Suite struct EurekaAnswerTests {
    static let settings = EurekaSettings(servers: ["http://x"])

    private func read(_ body: [UInt8], into table: inout EurekaTable, isChanges: Bool = false) throws -> String? {
        var reader = try EurekaReader(body)
        while true {
            switch try reader.step() {
            case .other: continue
            case .end: return reader.checksum
            case .instance(let range, let name):
                let found = EurekaInstance(body, range, application: name, Self.settings) { _ in true }
                guard let instance = found else { continue }
                if isChanges { table.apply(instance) } else { table.put(instance) }
            }
        }
    }

    private func table(_ text: String) throws -> EurekaTable {
        var table = EurekaTable()
        _ = try read(Array(text.utf8), into: &table)
        return table
    }

    /// Paths and answers of a recording.
    private func exchanges(_ name: String) throws -> [(path: String, body: [UInt8])] {
        let text = Array(try Fixture.resource(name).utf8)
        let list = try #require(JSONText.object(text)?["exchanges"].flatMap { JSONText.elements(text, in: $0) })
        return try list.compactMap { range in
            let exchange = try #require(JSONText.object(text, in: range))
            let request = try #require(exchange["request"].flatMap { JSONText.object(text, in: $0) })
            let response = try #require(exchange["response"].flatMap { JSONText.object(text, in: $0) })
            guard let json = response["json"], let path = request["path"].flatMap({ JSONText.string(text, $0) })
            else { return nil }
            return (path, Array(text[json]))
        }
    }

    private func hosts(_ table: EurekaTable) -> [String: [String: Result<ListedHost, DropReason>?]] {
        var all: [String: [String: Result<ListedHost, DropReason>?]] = [:]
        for name in table.names { all[name] = table[name].mapValues(\.host) }
        return all
    }

    @Test(arguments: ["eureka-delta.json", "eureka-legacy-json.json"])
    func recordedChangesLeadToTheRecordedLists(name: String) throws {
        var followed = EurekaTable()
        var compared = 0
        var full: EurekaTable?
        for (path, body) in try exchanges(name) {
            switch path {
            case "/eureka/apps":
                var table = EurekaTable()
                #expect(try read(body, into: &table) == table.checksum)
                full = table
            case "/eureka/apps/delta":
                let checksum = try read(body, into: &followed, isChanges: true)
                #expect(checksum == followed.checksum)
                if let full, full.checksum == followed.checksum {
                    #expect(hosts(full) == hosts(followed))
                    compared += 1
                }
            default: break
            }
        }
        // The other recording has whole lists only.
        #expect(name != "eureka-delta.json" || compared >= 5)
        #expect(try #require(full).count > 0)
    }

    @Test func readsTheJSONOfOldServers() throws {
        let table = try table(
            #"""
            {"applications":{"versions__delta":1,"apps__hashcode":"DOWN_1_UP_1_","application":[
            {"name":"ORDER","instance":{"instanceId":"a","hostName":"h","app":"ORDER","ipAddr":"10.0.0.1","status":"UP",
            "overriddenstatus":"UNKNOWN","port":{"@enabled":true,"$":"8080"},"securePort":{"@enabled":false,"$":"443"},
            "metadata":{"version":2,"a":true,"b":1.5,"c":null,"d":{"x":1}},"lastUpdatedTimestamp":1795259372805}},
            {"name":"USER","instance":{"hostName":"h2","ipAddr":"10.0.0.2","status":"DOWN"}}]}}
            """#)
        let host = try #require(try table["order"]["a"]?.host?.get())
        #expect(host.host == "10.0.0.1" && host.port == 8080)
        #expect(host.instance.metadata == ["version": "2", "a": "true", "b": "1.5"])
        #expect(table["order"]["a"]?.updated == 1_795_259_372_805)
        #expect(table["user"]["h2"]?.host == .failure(.unhealthy))
        #expect(table.checksum == "DOWN_1_UP_1_" && table.count == 2)
        let one = #"{"applications":{"application":{"name":"A","instance":{"instanceId":"x","status":"UP"}}}}"#
        #expect(try self.table(one).checksum == "UP_1_")
        #expect(try self.table(#"{"applications":{"versions__delta":1,"apps__hashcode":""}}"#).count == 0)
    }

    @Test(
        arguments: [
            (.init(), "10.0.0.1:8080", nil), (.init(status: "DOWN"), nil, .unhealthy),
            (.init(status: "STARTING"), nil, .unhealthy), (.init(status: "NEW"), nil, .unhealthy),
            (.init(status: "OUT_OF_SERVICE"), nil, .disabled), (.init(ip: ""), "host-1:8080", nil),
            (.init(ip: "", name: ""), nil, .unreadable), (.init(port: "8080"), nil, .unreadable),
            (.init(port: #"{"$":0,"@enabled":"true"}"#), nil, .unreadable),
            (.init(port: #"{"$":70000,"@enabled":"true"}"#), nil, .unreadable),
            (
                .init(
                    port: #"{"$":80,"@enabled":"false"}"#, securePort: #"{"$":8443,"@enabled":"true"}"#), nil,
                .unsupportedProtocol
            ),
            (.init(securePort: #"{"$":8443,"@enabled":"true"}"#), "10.0.0.1:8080", nil),
            (.init(port: #"{"$":80,"@enabled":"false"}"#), nil, .unreadable),
        ] as [(FakeEureka.Host, String?, DropReason?)])
    func readsAnInstance(host: FakeEureka.Host, address: String?, reason: DropReason?) throws {
        let text = #"{"application":{"name":"A","instance":[\#(host.json("A"))]}}"#
        switch try #require(try table(text)["a"].values.first?.host) {
        case .success(let found): #expect("\(found.host):\(found.port)" == address)
        case .failure(let found): #expect(found == reason)
        }
    }

    @Test(arguments: [
        ("3", 3.0), ("0", 1), ("-1", 1), ("x", 1), ("", 1), ("nan", 1), ("1e300", 1), ("2.5", 2.5),
    ])
    func readsWeightAndLabels(text: String, weight: Double) throws {
        let metadata = #"{"@class":"java.util.Map","management.port":"1","weight":"\#(text)","zone":"z"}"#
        let app = #"{"application":{"name":"A","instance":[\#(FakeEureka.Host(metadata: metadata).json("A"))]}}"#
        let host = try #require(try table(app)["a"]["i1"]?.host?.get())
        #expect(host.instance.weight == weight && host.instance.metadata == ["weight": text, "zone": "z"])
    }

    @Test(arguments: [
        "", "null", "[]", "{}", "<html/>", "{\"applications\":", "{\"applications\":[]}", "{\"applications\":null}",
        "{\"applications\":{\"application\":[1]}}", "{\"applications\":{\"application\":[{]}}",
        "{\"applications\":{\"application\":[{\"instance\":[{\"a\":1]}]}}", "{\"applications\":{}} x", "{\"error\":1}",
        "{\"applications\":{\"application\":[{\"name\":\"A\",\"instance\":[{}", "{\"applications\":{},}", "{\"a\\",
    ])
    func refusesWhatIsNoAnswer(text: String) {
        #expect(throws: EurekaReader.Unreadable.self) { try table(text) }
    }

    @Test func refusesVeryDeepAnswers() {
        let text = String(repeating: "{\"applications\":", count: 50_000)
        #expect(throws: EurekaReader.Unreadable.self) { try table(text) }
    }

    @Test func xmlIsRefusedInWords() {
        do {
            _ = try table("<applications>\n <versions__delta>1</versions__delta></applications>")
            Issue.record("it was read")
        } catch { #expect("\(error)".contains("XML")) }
    }

    @Test func anOlderChangeDoesNotUndoANewerState() throws {
        var table = EurekaTable()
        func instance(_ updated: Int, _ action: String, _ status: String = "UP") throws -> EurekaInstance {
            let host = FakeEureka.Host(status: status, updated: updated)
            let text = Array(host.json("A", action: action).utf8)
            return try #require(
                EurekaInstance(text, 0..<text.count, application: "", Self.settings) { _ in true })
        }
        table.apply(try instance(5, "ADDED"))
        table.apply(try instance(4, "DELETED"))
        #expect(table.checksum == "UP_1_")
        table.apply(try instance(6, "MODIFIED", "DOWN"))
        #expect(table.checksum == "DOWN_1_")
        table.apply(try instance(6, "DELETED", "DOWN"))
        #expect(table.checksum == "" && table.count == 0 && table.names.isEmpty)
        table.apply(try instance(6, "DELETED", "DOWN"))
        #expect(table.count == 0)
    }

    @Test func theAddressOfARegistryIsRead() throws {
        let url = try RegistryURL("eureka://me:p%40s@a,b:9000?address=hostname&heartbeat=5s")
        let settings = try EurekaSettings(url, poll: .seconds(2))
        #expect(settings.servers == ["http://a:8761/eureka", "http://b:9000/eureka"])
        #expect(settings.authorization == "Basic bWU6cEBz" && settings.usesHostName && settings.poll == .seconds(5))
        #expect(settings.heartbeat == .seconds(5))
        let plain = try EurekaSettings(RegistryURL("eureka://a/x/eureka/v2"), poll: .seconds(30))
        #expect(plain.servers == ["http://a:8761/x/eureka/v2"] && plain.authorization == nil)
        #expect(plain.poll == .seconds(30) && plain.heartbeat == .seconds(30))
        for wrong in ["address=dns", "heartbeat=0s", "heartbeat=31s", "heartbeat=soon"] {
            #expect(throws: InvalidValue.self) {
                try EurekaSettings(RegistryURL("eureka://a?\(wrong)"), poll: .seconds(2))
            }
        }
    }
}
