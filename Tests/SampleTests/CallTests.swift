import DevelopmentRegistry
import Runtime
import Testing
import WebServer

@testable import sample

/// Traffic against sample services, and the answers' checks.
struct CallTests {
    private let loop: EventLoop
    private let service: HTTPService
    private let server: WebServer
    private let address: SocketAddress

    init() throws {
        loop = try EventLoop()
        let sample = HTTPService(
            loop: loop, identity: Identity(service: "order", version: "1.0", host: "h\"1"), delay: .zero)
        service = sample
        server = WebServer(loop: loop) { sample.answer($0, respond: $1) }
        address = try server.listen(on: SocketAddress("127.0.0.1:0")!)
    }

    private func get(
        _ target: String, method: String = "GET", headers: [(key: String, value: String)] = [], body: [UInt8] = [],
        on client: HTTPClient? = nil
    ) throws -> HTTPAnswer {
        let client = client ?? HTTPClient(loop: loop, address: address, timeout: .seconds(5))
        var result: Result<HTTPAnswer, CallFailure>?
        client.send(method, target, host: "order", headers: headers, body: body) { result = $0 }
        #expect(loop.run(for: .seconds(10)) { result != nil })
        client.close()
        return try #require(result).get()
    }

    private func text(_ answer: HTTPAnswer) -> String { String(decoding: answer.body, as: UTF8.self) }

    @Test func endpoints() throws {
        #expect(
            try text(get("/a%20b?c=1")) == #"{"service":"order","version":"1.0","host":"h\"1","path":"/a%20b?c=1"}"#)
        #expect(try get("/status/503").status == 503)
        #expect(try get("/status/204").body.isEmpty)
        #expect(try text(get("/headers", headers: [("X-A", "b")])) == "GET /headers HTTP/1.1\nHost: order\nX-A: b\n")
        #expect(try text(get("/echo", method: "POST", body: Array("hello".utf8))) == "hello")
        #expect(try get("/x", method: "HEAD").body.isEmpty)
        let close = try get("/close")
        #expect(close.header("Connection") == "close" && text(close).contains("order"))
        let stream = try get("/stream?n=3&ms=1")
        #expect(stream.header("Transfer-Encoding") == "chunked" && text(stream) == "piece 1\npiece 2\npiece 3\n")
        let events = try get("/events?n=2&ms=0")
        #expect(events.header("Content-Type") == "text/event-stream")
        #expect(text(events) == "id: 1\ndata: event 1\n\nid: 2\ndata: event 2\n\n" && service.inFlight == 0)
    }

    @Test func anEchoIsFramedAsItCame() throws {
        let chunked = "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
        let client = try Stream(loop: loop, connectingTo: address)
        client.send(Array("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(chunked)".utf8))
        var parser = HTTPAnswerParser()
        var answer: HTTPAnswer?
        #expect(
            loop.run(for: .seconds(10)) {
                answer = (try? parser.parse(&client.input)) ?? nil
                return answer != nil
            })
        #expect(answer.map(text) == "hello!" && answer?.header("transfer-encoding") == "chunked")
    }

    private func run(_ caller: any Caller, count: Int, rate: Double? = nil) -> Tally {
        let run = Run(loop: loop, caller: caller, pace: Run.Pace(count: count, time: nil, rate: rate))
        run.run()
        caller.close()
        return run.tally
    }

    private func caller(service: String? = "order", path: String = "/p") -> HTTPCaller {
        HTTPCaller(
            loop: loop, address: address, connections: 3, timeout: .seconds(5),
            plan: HTTPCaller.Plan(host: "order", service: service, path: path, headers: []))
    }

    @Test func callsAreCountedByVersionAndHost() {
        let tally = run(caller(path: "/p?q=1"), count: 200)
        #expect(tally.answered == 200 && tally.failed == 0)
        #expect(tally.answers == [Answer(version: "1.0", host: "h\"1"): 200] && tally.share(of: "1.0") == 100)
        #expect(tally.share(of: "2.0") == 0 && tally.percentile(0.99) >= tally.percentile(0.5))
        #expect(run(caller(), count: 40, rate: 1000).answered == 40)
    }

    @Test func wrongAnswersAreFailures() {
        #expect(run(caller(service: "stock"), count: 2).failures == ["answered by order": 2])
        #expect(run(caller(path: "/status/500"), count: 2).failures == ["status 500: Internal Server Error": 2])
        #expect(run(caller(path: "/headers"), count: 1).failures == ["an answer that is not from a sample service": 1])
        let lying = WebServer(loop: loop) { request, respond in
            let target = request.path == "/swapped" ? "/other" : request.target
            var response = Response.json(#"{"service":"order","version":"1.0","host":"h","path":"\#(target)"}"#)
            response.headers.append(HeaderField("X-Greymesh-Version", "2.0"))
            respond(response)
        }
        guard let other = try? lying.listen(on: SocketAddress("127.0.0.1:0")!) else { return #expect(Bool(false)) }
        for (path, failure) in [
            ("/p", "version 1.0 answered, the header says 2.0"), ("/swapped", "the answer to another request"),
        ] {
            let caller = HTTPCaller(
                loop: loop, address: other, connections: 1, timeout: .seconds(5),
                plan: HTTPCaller.Plan(host: "order", service: nil, path: path, headers: []))
            #expect(run(caller, count: 1).failures == [failure: 1])
        }
    }

    @Test func aServerThatIsNotThereIsAFailure() {
        server.stop()
        let failures = run(caller(), count: 3).failures
        #expect(failures == ["connect to \(address): Connection refused": 3])
    }

    @Test func tallyTellsSharesAndTimes() {
        var tally = Tally()
        for number in 1...100 {
            let answer = Answer(version: number <= 30 ? "1.0" : "2.0", host: number % 2 == 0 ? "a" : "b")
            tally.add(.success(answer), nanoseconds: Int64(number) * 1_000_000)
        }
        tally.add(.failure(CallFailure(description: "boom \"x\"")), nanoseconds: 5)
        #expect(tally.share(of: "1.0") == 30 && tally.share(of: "2.0") == 70)
        #expect(tally.percentile(0.5) == 51_000 && tally.percentile(1) == 100_000 && tally.percentile(0) == 1000)
        #expect(tally.table.hasPrefix("VERSION  HOST  ANSWERS  SHARE\n1.0      a     15       15.0%\n"))
        #expect(tally.table.contains("100 answered, 1 failed; latency p50 51.0 ms, p99 100.0 ms"))
        #expect(
            tally.json.contains(#"{"version":"1.0","host":"a","count":15}"#)
                && tally.json.contains(#"{"boom \"x\"":1}"#))
    }

    // MARK: Registration

    @Test func aHostRegistersAgainWhenTheRegistryForgetsAndLeavesAtTheEnd() throws {
        let registry = DevelopmentRegistry(loop: loop)
        let at = try registry.listen(on: SocketAddress("127.0.0.1:0")!)
        let reader = HTTPClient(loop: loop, address: at, timeout: .seconds(5))
        let registrar = try Registrar(
            loop: loop, logger: Logger { _ in },
            registry: RegistryAddress("nacos://u:p%40@\(at)?group=g&namespace=dev"),
            registration: Registration(
                service: "providers:a.B:1.0:", address: SocketAddress("127.0.0.1:9001")!, weight: 2.5,
                metadata: [("version", "1.0"), ("preserved.heart.beat.interval", "100")]))
        var isRegistered = false
        registrar.start { isRegistered = true }
        #expect(loop.run(for: .seconds(10)) { isRegistered })

        func hosts() -> String {
            var body: String?
            let query = "serviceName=providers%3Aa.B%3A1.0%3A&groupName=g&namespaceId=dev"
            reader.send("GET", "/nacos/v1/ns/instance/list?\(query)", host: "r") { body = (try? $0.get()).map(text) }
            _ = loop.run(for: .seconds(5)) { body != nil }
            return body ?? ""
        }
        #expect(hosts().contains(#""weight":2.5"#) && hosts().contains(#""port":9001"#))
        registry.forgetAll()
        #expect(hosts().contains(#""hosts":[]"#))
        #expect(loop.run(for: .seconds(15)) { hosts().contains(#""port":9001"#) })
        var isGone = false
        registrar.stop { isGone = true }
        #expect(loop.run(for: .seconds(10)) { isGone } && hosts().contains(#""hosts":[]"#))
    }

    @Test func registryAddresses() throws {
        let full = try RegistryAddress("nacos://me:p%3Aw@nacos.local/?namespace=dev&group=G%20")
        #expect(full.server == "nacos.local:8848" && full.user == "me" && full.password == "p:w")
        #expect(full.namespace == "dev" && full.group == "G ")
        let plain = try RegistryAddress("nacos://127.0.0.1:18848")
        #expect(plain.server == "127.0.0.1:18848" && plain.user == nil && plain.group == "DEFAULT_GROUP")
        #expect(throws: UsageError.self) { try RegistryAddress("zookeeper://x") }
    }

    // MARK: Options

    @Test func options() throws {
        let options = try Options(
            ["--a", "1", "--b=x=y", "--b", "z=", "--flag", "--a=2"], values: ["a", "b"], flags: ["flag"])
        #expect(options.text("a") == "2" && options.has("flag") && !options.has("other"))
        #expect(try options.pairs("b").map { "\($0.key)>\($0.value)" } == ["x>y", "z>"])
        #expect(try options.number("a", in: 0...5) == 2 && options.number("none", in: 0...5) == nil)
        #expect(throws: UsageError.self) { try options.number("a", in: 3...5) }
        #expect(throws: UsageError.self) { try options.required("none") }
        for wrong in [["x"], ["--unknown", "1"], ["--a"], ["--flag=1"]] {
            #expect(throws: UsageError.self) { try Options(wrong, values: ["a"], flags: ["flag"]) }
        }
    }
}
