import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Very many services in a real etcd.
@Suite(.enabled(if: EtcdServer.isAvailable)) struct EtcdScaleTests {
    /// Measures the longest time between two looks at a condition while the loop never waits long.
    final class Stopwatch {
        private(set) var longest: Int64 = 0
        private var last = Clock.nanoseconds
        private var processor = Stopwatch.processorTime()

        /// To be called in each turn: processor time of this thread, so that other programs do not count.
        func lap() {
            let now = Self.processorTime()
            longest = max(longest, now - processor)
            processor = now
        }

        static func processorTime() -> Int64 {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
        }
    }

    /// Sizes; the environment can ask for more.
    static func number(_ name: String, _ usual: Int) -> Int {
        getenv(name).flatMap { Int(String(cString: $0)) } ?? usual
    }

    @Test func readsManyServicesQuickly() throws {
        let fixture = try Fixture()
        let services = Self.number("ETCD_TEST_SERVICES", 1000)
        let hosts = Self.number("ETCD_TEST_HOSTS", 2)
        let server = try EtcdServer(["--quota-backend-bytes", "4294967296", "--unsafe-no-fsync"])
        try server.start()
        let tool = EtcdTool(server, fixture)
        try tool.waitUntilReady()
        try fill(tool, services: services, hosts: hosts)

        let registry = fixture.etcd([server.base])
        defer { registry.stop() }
        let start = Clock.nanoseconds
        for number in 0..<services { registry.subscribe(.dubbo("demo.S\(number)")) }
        let subscribed = Clock.nanoseconds
        let loading = Stopwatch()
        let before = Stopwatch.processorTime()
        let done = fixture.wait(.seconds(120)) {
            loading.lap()
            return fixture.told.count == services
        }
        #expect(done)
        let spent = Stopwatch.processorTime() - before
        #expect(registry.status.instances == services * hosts)
        let loaded = Clock.nanoseconds
        // Propagation of single changes.
        var delays: [Int64] = []
        let changing = Stopwatch()
        for round in 0..<Self.number("ETCD_TEST_CHANGES", 50) {
            let service = ServiceKey.dubbo("demo.S\(round * 7 % services)")
            let count = fixture.told[service]?.count ?? 0
            var putAt: Int64 = 0
            var told: Int64 = 0
            let record = Self.key(round * 7 % services, 50_000 + round)
            let body = #"{"key":"\#(Base64.encode(Array(record.utf8)))","value":"MQ=="}"#
            putAt = Clock.nanoseconds
            fixture.context.http.send(HTTPRequest("POST", server.base + "/v3/kv/put", body: Array(body.utf8))) { _ in }
            changing.lap()
            let came = fixture.wait {
                changing.lap()
                guard fixture.told[service]?.count ?? 0 > count else { return false }
                told = Clock.nanoseconds
                return true
            }
            #expect(came)
            delays.append(told - putAt)
        }
        delays.sort()
        let figures =
            "services \(services) hosts \(services * hosts): subscribe \(Self.milliseconds(subscribed - start)), "
            + "all told \(Self.milliseconds(loaded - start)), longest turn \(Self.milliseconds(loading.longest)), processor \(Self.milliseconds(spent)); "
            + "put to report p50 \(Self.milliseconds(delays[delays.count / 2])) "
            + "p99 \(Self.milliseconds(delays[delays.count * 99 / 100])) max \(Self.milliseconds(delays.last ?? 0)), "
            + "longest turn \(Self.milliseconds(changing.longest))"
        if getenv("ETCD_TEST_SERVICES") != nil { print(figures) }
    }

    private static func milliseconds(_ nanoseconds: Int64) -> String { "\(Double(nanoseconds / 1000) / 1000) ms" }

    private static func key(_ service: Int, _ port: Int) -> String {
        let url =
            "dubbo://127.0.0.1:\(port)/demo.S\(service)?anyhost=true&application=shop&deprecated=false&dubbo=2.0.2"
            + "&dynamic=true&generic=false&interface=demo.S\(service)&methods=one,two,three,four&pid=4711"
            + "&release=3.3.6&revision=1.0.0&side=provider&timestamp=1795260615559&version=1.0.0"
        return "/dubbo/demo.S\(service)/providers/" + PercentEncoding.encode(url)
    }

    /// Writes 100 keys at a time.
    private func fill(_ tool: EtcdTool, services: Int, hosts: Int) throws {
        var puts: [String] = []
        for service in 0..<services {
            for host in 0..<hosts {
                let key = Base64.encode(Array(Self.key(service, 10_000 + host).utf8))
                puts.append(#"{"request_put":{"key":"\#(key)","value":"MQ=="}}"#)
                guard puts.count == 100 || service == services - 1 && host == hosts - 1 else { continue }
                try tool.call("/v3/kv/txn", #"{"success":[\#(puts.joined(separator: ","))]}"#)
                puts = []
            }
        }
    }
}
