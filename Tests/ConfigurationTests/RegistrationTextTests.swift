import Configuration
import Testing

@Suite struct RegistrationTextTests {
    private func registration(
        _ service: String, _ port: PublishedPort, _ change: (inout RegistrationConfiguration) -> Void = { _ in }
    ) -> RegistrationConfiguration {
        var registration = RegistrationConfiguration(service: service, port: port)
        change(&registration)
        return registration
    }

    @Test func readsTheShortForms() throws {
        #expect(try RegistrationConfiguration("web@8081") == registration("web", .application(8081)))
        #expect(try RegistrationConfiguration("web@inbound") == registration("web", .listener("inbound")))
        let expected = registration("web", .application(80)) { $0.address = .named("eth0") }
        #expect(try RegistrationConfiguration("web@eth0:80") == expected)
        #expect(try RegistrationConfiguration("web@[::1]:80").address == .named("::1"))
        #expect(try RegistrationConfiguration("web@auto:80").address == .detected)
    }

    @Test func readsEverything() throws {
        let text =
            "dubbo://com.acme.A:1.0.0:blue@10.0.0.5:20880?weight=50&registry=nacos,zookeeper&meta.dubbo.tag=gray"
            + "&meta.x%3Dy=a%26b&health=off"
        let expected = registration("com.acme.A", .application(20880)) {
            $0.protocol = .dubbo
            ($0.version, $0.group, $0.weight) = ("1.0.0", "blue", 50)
            $0.address = .named("10.0.0.5")
            $0.registries = ["nacos", "zookeeper"]
            $0.metadata = ["dubbo.tag": "gray", "x=y": "a&b"]
            $0.health = nil
        }
        #expect(try RegistrationConfiguration(text) == expected)
        let web = registration("web", .listener("in")) {
            $0.protocol = .http
            $0.version = "2.0"
            $0.address = .named("host.example.com")
            $0.health?.path = "/up?x=1"
        }
        #expect(
            try RegistrationConfiguration("http://web@in?version=2.0&address=host.example.com&health=/up%3Fx%3D1")
                == web)
        #expect(try RegistrationConfiguration("com.acme.A:0.0.0@1").version == "")
    }

    @Test(arguments: [
        ("web", "\"web\" does not say where; write SERVICE@PORT or SERVICE@LISTENER"),
        ("@1", "\"\" is not a service's name"),
        ("web@0", "0 is out of range; 1 to 65535"),
        ("web@x:70000", "70000 is out of range; 1 to 65535"),
        ("tri://web@1", "\"tri\" is not one of http, dubbo, bolt"),
        ("web@1?versio=2", "unknown parameter \"versio\" of a registration; did you mean \"version\"?"),
        ("web@1?version", "\"version\" is not NAME=VALUE, with %XX for special characters"),
        ("web@1?weight=1&weight=2", "\"weight\" is given twice"),
        ("com.acme.A:1@1?version=2", "\"version\" is given twice"),
        ("web@h:1?address=x", "\"address\" is given twice"),
        ("web@1?weight=-1", "-1 is out of range; 0 to 1000000"),
        ("web@1?health=up", "\"up\" must begin with \"/\""),
        ("web @1", "\"web @1\" has blanks; write them as %20"),
        (
            "order-service:2.0@1",
            "\"order-service:2.0\" is not a service's name; only an interface has :VERSION:GROUP behind it"
        ),
        ("web@1?address=::", "\"::\" is no address that others reach; \"auto\" finds one"),
        ("web@1?meta.a=%zz", "\"meta.a=%zz\" is not NAME=VALUE, with %XX for special characters"),
    ])
    func refusesInWords(text: String, words: String) {
        #expect(throws: InvalidValue(words)) { try RegistrationConfiguration(text) }
    }

    @Test(arguments: [
        ("com.acme.OrderService", ListenerProtocol.dubbo), ("order-service", .http), ("orders.example.com", .http),
    ])
    func theNameTellsTheProtocol(name: String, kind: ListenerProtocol) {
        #expect(Configuration().kind(of: registration(name, .application(1))) == kind)
        var configuration = Configuration()
        configuration.listeners[0].name = "in"
        #expect(configuration.kind(of: registration(name, .listener("in"))) == .http)
    }

    @Test func registriesAreChosenBySchemeOrURL() {
        var configuration = Configuration()
        configuration.registries = ["nacos://u:p@a", "file:x", "zookeeper://b", "nacos://c"].map {
            RegistryConfiguration(url: $0)
        }
        func chosen(_ names: String...) -> [Int] {
            configuration.registries(of: registration("a", .application(1)) { $0.registries = names })
        }
        #expect(chosen() == [0, 2, 3])
        #expect(chosen("nacos") == [0, 3])
        #expect(chosen("nacos://a:8848", "zookeeper") == [0, 2])
        #expect(chosen("nacos://u:p@a") == [0])
        #expect(chosen("file") == [])
    }
}
