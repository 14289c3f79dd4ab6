import Commands
import Configuration
import Runtime
import TestSupport
import Testing

@Suite struct RunConfigurationTests {
    private let nacos = RegistryConfiguration(url: "nacos://a")

    @Test func oneRegistryIsEnough() throws {
        var options = RunOptions()
        options.registries = ["nacos://a"]
        var expected = Configuration()
        expected.registries = [nacos]
        #expect(try options.configuration() == expected)
    }

    @Test func flagsWinOverTheFile() throws {
        let folder = try TemporaryDirectory()
        var options = RunOptions()
        options.file = try folder.write(
            "f.yaml",
            """
            registries: [nacos://file]
            workers: 7
            drain_timeout: 1s
            access_log: {path: x}
            admin: {listen: 127.0.0.1:1}
            log: {level: error}
            """)
        #expect(try options.configuration().workers == 7)
        options.registries = ["nacos://a"]
        options.workers = 2
        options.accessLog = "-"
        options.admin = SocketAddress("127.0.0.1:2")
        options.logLevel = .debug
        let settings = try options.configuration()
        #expect(settings.registries == [nacos])
        #expect(settings.workers == 2)
        #expect(settings.accessLog == AccessLogConfiguration(path: "-"))
        #expect(settings.admin == SocketAddress("127.0.0.1:2"))
        #expect(settings.logLevel == .debug)
        #expect(settings.drainTimeout == .seconds(1))
    }

    @Test func listenersOfAFlagReplaceThoseOfTheFile() throws {
        var settings = Configuration()
        settings.registries = [nacos]
        settings.listeners = [
            ListenerConfiguration(name: "d", protocol: .dubbo, address: SocketAddress("127.0.0.1:1")!),
            ListenerConfiguration(name: "web", protocol: .http, address: SocketAddress("127.0.0.1:2")!),
            ListenerConfiguration(name: "more", protocol: .http, address: SocketAddress("127.0.0.1:3")!),
        ]
        var options = RunOptions()
        options.http = .on(SocketAddress("127.0.0.1:9")!)
        let web = ListenerConfiguration(name: "web", protocol: .http, address: SocketAddress("127.0.0.1:9")!)
        #expect(try options.apply(to: settings).listeners == [settings.listeners[0], web])
        options.dubbo = .off
        #expect(try options.apply(to: settings).listeners == [web])
        options.bolt = .on(SocketAddress("127.0.0.1:12200")!)
        let bolt = ListenerConfiguration(name: "bolt", protocol: .bolt, address: SocketAddress("127.0.0.1:12200")!)
        #expect(try options.apply(to: settings).listeners == [web, bolt])
        options.bolt = nil
        settings.listeners = [
            ListenerConfiguration(name: "http", protocol: .dubbo, address: SocketAddress("127.0.0.1:1")!)
        ]
        options.dubbo = nil
        #expect(try options.apply(to: settings).listeners.map(\.name) == ["http", "http-2"])
    }

    @Test func refusesWhatLeavesNothingToDo() {
        var options = RunOptions()
        let message =
            "run: no registry to watch; pass --registry nacos://HOST:8848 or --registry file:services.yaml, "
            + "or set GREYMESH_REGISTRY, or list registries in the --config file"
        #expect(throws: UsageError(message)) { try options.configuration() }
        options.registries = ["nacos://a"]
        options.http = .off
        options.dubbo = .off
        #expect(throws: UsageError("run: all listeners are off, nothing is left to do")) {
            try options.configuration()
        }
        options.registrations = [RegistrationConfiguration(service: "shop", port: .application(8081))]
        #expect(throws: Never.self) { try options.configuration() }
    }

    @Test func refusesClashesAndRepetition() {
        var options = RunOptions()
        options.registries = ["nacos://u:p@a", "nacos://u:p@a"]
        #expect(throws: UsageError("the registry nacos://a:8848 is given twice")) { try options.configuration() }
        options.registries = ["nacos://a"]
        options.http = .on(SocketAddress("0.0.0.0:15000")!)
        let message = #"run: listener "http" on 0.0.0.0:15000 clashes with the admin API on 127.0.0.1:15000"#
        #expect(throws: UsageError(message)) { try options.configuration() }
    }

    @Test func registrationsOfFlagsReplaceThoseOfTheFile() throws {
        var settings = Configuration()
        settings.registries = [nacos]
        settings.registrations = [try RegistrationConfiguration("old@1")]
        var options = RunOptions()
        #expect(try options.apply(to: settings).registrations.map(\.service) == ["old"])
        options.registrations = [try RegistrationConfiguration("new@2?registry=nacos")]
        #expect(try options.apply(to: settings).registrations == options.registrations)
    }

    @Test(arguments: [
        ("web@http", "listener: the listener \"http\" is not an inbound one: it needs \"forward\""),
        ("web@intern", "listener: there is no listener \"intern\""),
        ("web@1?registry=nacso", "registries: \"nacso\" is none of the registries; did you mean \"nacos\"?"),
        ("web@1?group=a", "group: belongs to an interface, not to an HTTP application"),
    ])
    func refusesRegistrationsThatCannotBe(text: String, words: String) throws {
        var options = RunOptions()
        options.registries = ["nacos://a"]
        options.registrations = [try RegistrationConfiguration(text)]
        #expect(throws: UsageError("run: registration of web: \(words)")) { try options.configuration() }
    }
}
