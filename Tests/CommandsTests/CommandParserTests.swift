import Commands
import Configuration
import Runtime
import Testing

private func parse(_ line: String, _ environment: [String: String] = [:]) throws -> Command {
    try Invocation(line.split(separator: " ").map(String.init), environment: environment).command
}

private func runOptions(_ line: String, _ environment: [String: String] = [:]) throws -> RunOptions {
    guard case .run(let options) = try parse(line, environment) else { throw UsageError("not run") }
    return options
}

@Suite struct CommandParserTests {
    @Test func readsAllFlagsOfRun() throws {
        let options = try runOptions(
            "run --config f.yaml --registry nacos://a --registry=file:///x --http 127.0.0.1:1 --dubbo=off "
                + "--admin=[::1]:3 --workers 4 --access-log - --log-level=debug")
        #expect(options.file == "f.yaml")
        #expect(options.registries == ["nacos://a", "file:/x"])
        #expect(options.http == .on(SocketAddress("127.0.0.1:1")!))
        #expect(options.dubbo == .off)
        #expect(options.admin == SocketAddress("[::1]:3"))
        #expect(options.workers == 4)
        #expect(options.accessLog == "-")
        #expect(options.logLevel == .debug)
        #expect(try runOptions("run") == RunOptions())
        let registering = try runOptions("run --register web@8081 --register dubbo://com.acme.A:1.0@inbound?weight=50")
        #expect(
            registering.registrations == [
                try RegistrationConfiguration("web@8081"),
                try RegistrationConfiguration("dubbo://com.acme.A:1.0@inbound?weight=50"),
            ])
    }

    @Test(arguments: [
        "--registry nacos://a --workers 2", "--registry=nacos://a --workers=2", "--workers 2 --registry nacos://a",
    ])
    func flagsWithoutACommandAreThoseOfRun(line: String) throws {
        #expect(try parse(line) == parse("run " + line))
        #expect(try runOptions(line).registries == ["nacos://a"])
        #expect(try parse(line + " --help") == .help(.run))
    }

    @Test(arguments: ["--config f", "--admin 127.0.0.1:9"]) func flagsOfSeveralCommandsMeanRunToo(line: String) throws {
        #expect(try parse(line) == parse("run " + line))
    }

    @Test(arguments: [
        ("http://shop@9001?health=off&registry=consul,etcd&address=10.0.0.5", [["consul", "etcd"]]),
        ("a@1?registry=consul,etcd,b@2?registry=nacos c@3", [["consul", "etcd"], ["nacos"], []]),
        ("a@1?registry=consul://:t@h:1,etcd,b@2", [["consul://:t@h:1", "etcd"], []]),
    ])
    func aCommaWithinAParameterIsNoNextRegistration(text: String, registries: [[String]]) throws {
        let options = try runOptions("run", ["GREYMESH_REGISTER": text])
        #expect(options.registrations.map(\.registries) == registries)
    }

    @Test func readsAllVariablesOfRun() throws {
        let variables = [
            "GREYMESH_CONFIG": "f.yaml", "GREYMESH_REGISTRY": "nacos://a,b:1 file:x,nacos://c,nacos:2 ",
            "GREYMESH_HTTP": "off", "GREYMESH_DUBBO": "127.0.0.1:2", "GREYMESH_ADMIN": "127.0.0.1:3",
            "GREYMESH_WORKERS": "4", "GREYMESH_ACCESS_LOG": "-", "GREYMESH_LOG_LEVEL": "error", "HOME": "/",
            "GREYMESH_REGISTER": "web@8081,api@10.0.0.5:8082?version=2  com.acme.A@20880",
        ]
        let options = try runOptions("run", variables)
        #expect(options.file == "f.yaml")
        #expect(options.registries == ["nacos://a,b:1", "file:x", "nacos://c,nacos:2"])
        #expect(options.registrations.map(\.service) == ["web", "api", "com.acme.A"])
        #expect(options.http == .off)
        #expect(options.dubbo == .on(SocketAddress("127.0.0.1:2")!))
        #expect(options.admin == SocketAddress("127.0.0.1:3"))
        #expect(options.workers == 4)
        #expect(options.accessLog == "-")
        #expect(options.logLevel == .error)
    }

    @Test func aFlagWinsOverItsVariable() throws {
        let variables = ["GREYMESH_REGISTRY": "nacos://a", "GREYMESH_WORKERS": "nonsense", "GREYMESH_HTTP": ""]
        let options = try runOptions("run --registry nacos://b --workers 2", variables)
        #expect(options.registries == ["nacos://b"])
        #expect(options.workers == 2)
        #expect(options.http == nil)
    }

    @Test func readsTheOtherCommands() throws {
        let admin = ClientOptions(admin: SocketAddress("127.0.0.1:9")!)
        #expect(try parse("check --config f") == .check(file: "f"))
        #expect(try parse("check", ["GREYMESH_CONFIG": "g"]) == .check(file: "g"))
        #expect(try parse("services") == .services(ClientOptions()))
        #expect(ClientOptions().admin == SocketAddress("127.0.0.1:15000"))
        #expect(try parse("services", ["GREYMESH_ADMIN": "127.0.0.1:9"]) == .services(admin))
        #expect(try parse("clusters") == .clusters(ClientOptions(), service: nil))
        #expect(try parse("registries --admin 127.0.0.1:9") == .registries(admin))
        #expect(try parse("clusters a --admin 127.0.0.1:9") == .clusters(admin, service: "a"))
        #expect(try parse("services --json") == .services(ClientOptions(json: true)))
        #expect(try parse("explain --service a") == .explain(ClientOptions(), ExplainOptions(service: "a")))
        #expect(try parse("clusters --admin 127.0.0.1:9 -- --odd") == .clusters(admin, service: "--odd"))
        #expect(try parse("registry --listen 127.0.0.1:8848") == .registry(listen: SocketAddress("127.0.0.1:8848")!))
    }

    @Test func readsTheRequestToExplain() throws {
        var http = ExplainOptions(service: "order")
        http.headers = [
            HeaderOption(name: "X-Version", value: "v2"), HeaderOption(name: "a", value: ""),
            HeaderOption(name: "b", value: "c=d"),
        ]
        http.method = "POST"
        http.path = "/x"
        http.protocol = .http
        let line = "explain --service order --header X-Version=v2 --header a= --header=b=c=d --method POST --path /x"
        #expect(try parse(line) == .explain(ClientOptions(), http))
        var dubbo = ExplainOptions(service: "com.acme.A")
        dubbo.protocol = .dubbo
        #expect(try parse("explain --service com.acme.A --protocol dubbo") == .explain(ClientOptions(), dubbo))
        dubbo.version = "1.0"
        dubbo.group = "g"
        var call = dubbo
        call.protocol = nil
        #expect(try parse("explain --service com.acme.A --version 1.0 --group g") == .explain(ClientOptions(), call))
        call.protocol = .bolt
        let bolt = "explain --service com.acme.A --protocol bolt --version 1.0 --group g"
        #expect(try parse(bolt) == .explain(ClientOptions(), call))
        let variables = ["GREYMESH_SERVICE": "other", "GREYMESH_VERSION": "9"]
        #expect(
            try parse("explain --service com.acme.A --protocol dubbo --version 1.0 --group g", variables)
                == .explain(ClientOptions(), dubbo))
    }

    @Test(arguments: [
        ("--help", Command.help(nil)), ("-h", .help(nil)), ("help", .help(nil)), ("help run", .help(.run)),
        ("run --help", .help(.run)), ("explain -h", .help(.explain)), ("check --config x --help", .help(.check)),
        ("--version", .version), ("services too many --help", .help(.services)),
    ])
    func givesHelpEverywhere(line: String, expected: Command) throws {
        #expect(try parse(line) == expected)
    }

    static let wrong: [(String, String)] = [
        ("", "a command is missing; see greymesh --help"),
        ("rnu", #"unknown command "rnu"; did you mean "run"?"#),
        ("frobnicate", #"unknown command "frobnicate"; see greymesh --help"#),
        ("help rnu", #"unknown command "rnu"; did you mean "run"?"#),
        ("--listen 127.0.0.1:1", "--listen belongs after a command: greymesh registry --listen"),
        ("--service=a", "--service=a belongs after a command: greymesh explain --service=a"),
        ("--regstry x", "run: unknown flag --regstry; did you mean --registry?"),
        ("--registry nacos://a check", #"run: unexpected "check"; see greymesh run --help"#),
        ("-- run", #"run: unexpected "run"; see greymesh run --help"#),
        ("-w 2", #"unknown command "-w"; see greymesh --help"#),
        ("run --regstry x", "run: unknown flag --regstry; did you mean --registry?"),
        ("run --zzz", "run: unknown flag --zzz; see greymesh run --help"),
        ("run -w 2", "run: unknown flag -w; see greymesh run --help"),
        ("run --workers", "--workers needs a value: --workers N"),
        ("run --workers=", "--workers needs a value: --workers N"),
        ("run --workers --http off", "--workers needs a value: --workers N"),
        ("run --workers 2 --workers 3", "--workers is given twice"),
        ("run --workers two", #"--workers: "two" is not a whole number"#),
        ("run --workers 0", "--workers: 0 is out of range; 1 to 1024"),
        ("run now", #"run: unexpected "now"; see greymesh run --help"#),
        ("clusters a b", #"clusters: unexpected "b"; see greymesh clusters --help"#),
        (
            "run --http 8080",
            #"--http: "8080" is not an IP address with a port; write it like 127.0.0.1:8080 or [::1]:8080"#
        ),
        ("run --registry nacos://u:secret@a:x", #"--registry: "a:x" has no valid port; 1 to 65535"#),
        ("run --registry etcd://a?tls=on&ca=/none", "--registry: /none cannot be read: No such file or directory"),
        (
            "run --log-level warn",
            #"--log-level: "warn" is not one of debug, info, warning, error; did you mean "warning"?"#
        ),
        ("check", "check: --config FILE is missing"),
        ("registry", "registry: --listen ADDR is missing, for example --listen 127.0.0.1:8848"),
        ("explain", "explain: --service NAME is missing"),
        ("explain --service a --header x", #"--header: "x" is not NAME=VALUE"#),
        ("explain --service a --header =x", #"--header: "" is not a header name"#),
        ("explain --service a --path x", #"--path: "x" must begin with "/""#),
        (
            "explain --service a --protocol htp",
            #"--protocol: "htp" is not one of http, dubbo, bolt; did you mean "http"?"#
        ),
        (
            "explain --service a --protocol http --group g",
            "explain: --version and --group belong to a Dubbo or Bolt call, not to --protocol http"
        ),
        (
            "explain --service a --version 1 --path /",
            "explain: --path belongs to an HTTP request, not to a Dubbo or Bolt call"
        ),
    ]

    @Test(arguments: wrong) func refuses(line: String, message: String) {
        #expect(throws: UsageError(message)) { try parse(line) }
    }

    @Test func namesTheVariableThatIsWrong() {
        #expect(throws: UsageError(#"GREYMESH_WORKERS: "two" is not a whole number"#)) {
            try parse("run", ["GREYMESH_WORKERS": "two"])
        }
    }

    @Test func warnsOfVariablesThatNobodyReads() throws {
        let variables = [
            "GREYMESH_REGISTRI": "x", "GREYMESH_ZZZ": "x", "GREYMESH_LISTEN": "127.0.0.1:1", "GREYMES": "x",
            "GREYMESH_WORKERS": "2",
        ]
        let expected = [
            "the environment variable GREYMESH_REGISTRI is not known and ignored; did you mean GREYMESH_REGISTRY?",
            "the environment variable GREYMESH_ZZZ is not known and ignored",
        ]
        #expect(try Invocation(["run"], environment: variables).warnings == expected)
        #expect(try Invocation(["--version"], environment: variables).warnings == [])
    }
}
