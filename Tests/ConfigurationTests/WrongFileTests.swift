import Configuration
import Testing

/// A file and exactly what is said about it.
struct WrongFile: CustomTestStringConvertible, Sendable {
    let text: String
    let expected: [String]

    init(_ text: String, _ expected: String...) {
        self.text = text
        self.expected = expected
    }

    var testDescription: String { String(text.prefix(60)) }
}

@Suite struct WrongFileTests {
    @Test(arguments: yaml) func refusesWhatIsNotPlainYAML(file: WrongFile) { expectErrors(file) }
    @Test(arguments: keys) func refusesUnknownAndRepeatedKeys(file: WrongFile) { expectErrors(file) }
    @Test(arguments: values) func refusesWrongValues(file: WrongFile) { expectErrors(file) }
    @Test(arguments: services) func refusesWrongServices(file: WrongFile) { expectErrors(file) }
    @Test(arguments: listeners) func refusesWrongListeners(file: WrongFile) { expectErrors(file) }
    @Test(arguments: registrations) func refusesWrongRegistrations(file: WrongFile) { expectErrors(file) }
    @Test(arguments: registries) func refusesWrongRegistries(file: WrongFile) { expectErrors(file) }

    private func expectErrors(_ file: WrongFile) {
        #expect(errors(file.text, file: "f") == file.expected.map { "f" + $0 })
    }

    static let yaml: [WrongFile] = [
        WrongFile("workers: [", ":1: not YAML: did not find expected node content (while parsing a flow node)"),
        WrongFile(
            "services:\n  a: {\n    mode: strict\n\n",
            ":4: not YAML: did not find expected ',' or '}' (while parsing a flow mapping that begins on line 2)"),
        WrongFile("log:\n\tlevel: info", ":2: not YAML: indent with spaces, not with tabs"),
        WrongFile("admin: @x", ":1: not YAML: a text that begins with @, `, % or a tab must be quoted"),
        WrongFile("services:\n  *: {mode: strict}", ":2: not YAML: quote a text that begins with \"*\""),
        WrongFile("workers: 2\n---\nworkers: 3", ":2: only one YAML document a file is allowed; remove the \"---\""),
        WrongFile(
            "services: {a: &x {mode: strict}, b: *x}",
            ":1: anchors (\"&x\") are not supported; quote a text that begins with \"&\"",
            ":1: aliases (\"*x\") are not supported; quote a text that begins with \"*\""),
        WrongFile(
            "services: {\"*\": {mode: !!str strict}}",
            ":1: tags (\"!…\") are not supported; quote a text that begins with \"!\""),
        WrongFile("workers: 2\n\u{7}", ":2: not YAML: control characters are not allowed"),
        WrongFile("? [a]\n: 1", ":1: a name must be a plain text"),
        WrongFile("- a", ":1: must be a mapping of names to values"),
        WrongFile("workers", ":1: must be a mapping of names to values"),
        WrongFile(
            String(repeating: "[", count: 200), ":1: nested deeper than 32 levels", ),
    ]

    static let keys: [WrongFile] = [
        WrongFile("workerz: 2", #":1: unknown key "workerz"; did you mean "workers"?"#),
        WrongFile("access-log: {path: x}", #":1: unknown key "access-log"; did you mean "access_log"?"#),
        WrongFile(
            "admin: {port: 1}", #":1: unknown key "port" in admin; valid are listen"#),
        WrongFile(
            "limits:\n  http_heads: 1KiB\n  1: 2\n",
            #":2: unknown key "http_heads" in limits; did you mean "http_head"?"#,
            ":3: unknown key \"1\" in limits; valid are http_head, dubbo_body, bolt_body, head_timeout, idle_timeout, "
                + "connect_timeout, discovery_timeout, services, service_idle"),
        WrongFile("workers: 2\nlog:\nworkers: 3", #":3: "workers" is given twice; first on line 1"#),
        WrongFile(
            "services:\n  a: {mode: strict,\n    mode: fallback}", #":3: "mode" is given twice; first on line 2"#),
        WrongFile(
            "services: {<<: {mode: strict}}\n<<: x",
            ":2: unknown key \"<<\"; valid are admin, workers, registries, state, listeners, trusted_proxies, version, services, "
                + "access_log, limits, register, withdraw_wait, drain_timeout, log",
        ),
    ]

    static let values: [WrongFile] = [
        WrongFile("workers: two", #":1: workers: "two" is not a whole number"#),
        WrongFile("workers: 2.0", #":1: workers: "2.0" is not a whole number"#),
        WrongFile("workers: 0", ":1: workers: 0 is out of range; 1 to 1024"),
        WrongFile("workers: -1", ":1: workers: -1 is out of range; 1 to 1024"),
        WrongFile(
            "workers: 99999999999999999999", ":1: workers: 99999999999999999999 is out of range; 1 to 1024"),
        WrongFile("workers: \"2\"", #":1: workers: "2" must stand without quotes"#),
        WrongFile("workers:", ":1: workers: a value is missing"),
        WrongFile("workers: ~", ":1: workers: a value is missing"),
        WrongFile("workers: [2]", ":1: workers: must be one value, not a list"),
        WrongFile("workers: {a: 2}", ":1: workers: must be one value, not a mapping"),
        WrongFile("admin: 127.0.0.1:1", ":1: admin: must be a mapping of names to values"),
        WrongFile("version: {tell: yes}", #":1: version.tell: "yes" is neither true nor false; did you mean "true"?"#),
        WrongFile("version: {tell: \"true\"}", #":1: version.tell: "true" must stand without quotes"#),
        WrongFile(
            "version: {request: x-version}", ":1: version.request: must be a list; did you mean [x-version]?"),
        WrongFile("version: {request: {a: b}}", ":1: version.request: must be a list"),
        WrongFile("version: {request: [a, A]}", #":1: version.request: "a" is given twice"#),
        WrongFile("version: {request: [\"a b\"]}", #":1: version.request[0]: "a b" is not a header name"#),
        WrongFile("version: {instance: []}", ":1: version.instance: needs at least one name"),
        WrongFile("version: {instance: }", ":1: version.instance: needs at least one name"),
        WrongFile("state: \"\"", ":1: state: \"\" is not a path"),
        WrongFile(
            "register: [{service: a, port: 80, registries: }]",
            ":1: register[0].registries: needs at least one; leave the key out for all"),
        WrongFile("version: {instance: [[a]]}", ":1: version.instance[0]: must be one value, not a list"),
        WrongFile(
            "version: {instance: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]}",
            ":1: version.instance: has more than 16 entries"),
        WrongFile("drain_timeout: 3", #":1: drain_timeout: "3" has no unit; did you mean "3s"?"#),
        WrongFile("drain_timeout: 2h", #":1: drain_timeout: "2h" is out of range; 0s to 1h"#),
        WrongFile(
            "drain_timeout: 3sec", #":1: drain_timeout: "3sec" is not a duration; the units are ms, s, m and h"#),
        WrongFile(
            "drain_timeout: soon",
            ":1: drain_timeout: \"soon\" is not a duration; write a whole number and ms, s, m or h, for example 500ms"),
        WrongFile(
            "drain_timeout: 9223372036854775807h",
            #":1: drain_timeout: "9223372036854775807h" is out of range; 0s to 1h"#),
        WrongFile(
            "limits: {http_head: 65536}",
            #":1: limits.http_head: "65536" has no unit; write B, KiB, MiB or GiB after it"#),
        WrongFile(
            "limits: {http_head: 64k}", #":1: limits.http_head: "64k" is not a size; did you mean "64KiB"?"#),
        WrongFile(
            "limits: {http_head: 1MiB}", #":1: limits.http_head: "1MiB" is out of range; 1KiB to 64KiB"#),
        WrongFile(
            "limits: {dubbo_body: 9223372036854775807GiB}",
            #":1: limits.dubbo_body: "9223372036854775807GiB" is out of range; 1KiB to 256MiB"#),
        WrongFile("limits: {bolt_body: 1B}", #":1: limits.bolt_body: "1B" is out of range; 1KiB to 256MiB"#),
        WrongFile(
            "log: {level: warn}",
            #":1: log.level: "warn" is not one of debug, info, warning, error; did you mean "warning"?"#),
        WrongFile(
            "version: {request: [\(String(repeating: "a,", count: 1001))]}",
            ":1: version.request: has more than 1000 entries"),
        WrongFile(
            "access_log: {}", ":1: access_log: the key \"path\" is missing; leave access_log out to write none"),
        WrongFile("access_log: {path: \"\"}", #":1: access_log.path: "" is not a path"#),
    ]

    static let services: [WrongFile] = [
        WrongFile(
            "services:\n  a: {sticky: client-address}", ":2: services.a.sticky: has no effect without \"split\""),
        WrongFile(
            "services: {\"*\": {sticky: header:a}, b: {}}",
            ":1: services.*.sticky: has no effect, no service has a \"split\""),
        WrongFile(
            "services: {a: {split: {x: 1}, sticky: cookie:a}}",
            #":1: services.a.sticky: "cookie:a" is neither header:NAME nor client-address"#),
        WrongFile(
            "services: {a: {split: {x: 1}, sticky: \"header:\"}}", #":1: services.a.sticky: "" is not a header name"#),
        WrongFile(
            "services:\n  a:\n    split: {x: 0, y: 0}",
            ":3: services.a.split: all weights are 0, no version is left to choose"),
        WrongFile(
            "services:\n  a:\n    split: {x: 1000001,\n     y: -1, z: a}",
            ":3: services.a.split.x: 1000001 is out of range; 0 to 1000000",
            ":4: services.a.split.y: -1 is out of range; 0 to 1000000",
            #":4: services.a.split.z: "a" is not a whole number"#),
        WrongFile("services: {a: {split: [x]}}", ":1: services.a.split: must be a mapping of names to values"),
        WrongFile(
            "services: {a: {split: {a b: 1}}}",
            #":1: services.a.split.a b: "a b" is not a version; 1 to 128 characters without blanks"#),
        WrongFile("services: {a: {stable: }}", ":1: services.a.stable: a value is missing"),
        WrongFile(
            "services: {a: {balancer: least_request}}",
            ":1: services.a.balancer: \"least_request\" is not one of round-robin, least-request, random; did you mean "
                + "\"least-request\"?"),
        WrongFile(
            "services: {\"*\": {hosts: [a], paths: [/b]}}",
            #":1: services.*.hosts: belongs to a named service, not to "*""#,
            #":1: services.*.paths: belongs to a named service, not to "*""#),
        WrongFile(
            "services:\n  a: {hosts: [x, X.y]}\n  b: {hosts: [x.Y, a]}",
            #":3: services.b.hosts: "x.y" means a already"#, #":3: services.b.hosts: "a" means a already"#),
        WrongFile(
            "services:\n  a: {paths: [/x]}\n  b: {paths: [/x, /x/y]}", #":3: services.b.paths: "/x" means a already"#),
        WrongFile(
            "services: {a: {hosts: [\"x:80\", \"*.x\"]}}",
            #":1: services.a.hosts[0]: "x:80" must stand without a port; did you mean "x"?"#,
            #":1: services.a.hosts[1]: "*.x" is not a host name"#),
        WrongFile(
            "services: {a: {paths: [x, /y/, /a//b, \"/c?d\", /e/..]}}",
            #":1: services.a.paths[0]: "x" must begin with "/""#,
            #":1: services.a.paths[1]: "/y/" must not end with "/"; did you mean "/y"?"#,
            #":1: services.a.paths[2]: "/a//b" has an empty, "." or ".." segment, which no request has"#,
            ":1: services.a.paths[3]: \"/c?d\" is not a path; no blanks, no \"?\", no \"#\", %XX for other characters",
            #":1: services.a.paths[4]: "/e/.." has an empty, "." or ".." segment, which no request has"#),
        WrongFile(
            "services: {\"com.acme.A:1.0\": {}}",
            ":1: services: \"com.acme.A:1.0\" must be the interface alone, all its versions and groups or unique ids share "
                + "the settings; did you mean \"com.acme.A\"?"),
        WrongFile("services: {a b: {}}", #":1: services: "a b" is not a service's name"#),
        WrongFile(
            "services: {\"a*\": {}}", #":1: services: "a*" is not a pattern; only "*" stands for all services"#),
    ]

    static let listeners: [WrongFile] = [
        WrongFile(
            "listeners: []",
            ":1: listeners: needs at least one listener; leave the key out to have the usual two"),
        WrongFile(
            "listeners:\n  - {name: a}",
            ":2: listeners[0]: the key \"protocol\" is missing", ":2: listeners[0]: the key \"listen\" is missing"),
        WrongFile(
            "listeners:\n  - {name: a, protocol: http, listen: 127.0.0.1:80, forward: 127.0.0.1:80}",
            ":2: listeners[0].forward: 127.0.0.1:80 is the listener \"a\", not an application: requests would go in a circle"
        ),
        WrongFile(
            "listeners:\n  - {name: a, protocol: http, listen: 127.0.0.1:80, forward: 127.0.0.1:0}",
            ":2: listeners[0].forward: needs the application's port"),
        WrongFile(
            "listeners:\n  - {name: a, protocol: http, listen: 127.0.0.1:80,\n     bolt_goaway: true}\n"
                + "  - {name: b, protocol: bolt, listen: 127.0.0.1:81, bolt_goaway: yes}",
            ":3: listeners[0].bolt_goaway: has no effect with protocol http; leave it out, or did you mean "
                + "\"protocol: bolt\"?",
            #":4: listeners[1].bolt_goaway: "yes" is neither true nor false; did you mean "true"?"#),
        WrongFile("listeners: [x]", ":1: listeners[0]: must be a mapping of names to values"),
        WrongFile(
            "listeners:\n  - {name: a, protocol: http, listen: 127.0.0.1:80}\n"
                + "  - {name: a, protocol: dubbo, listen: 0.0.0.0:80}",
            #":3: listeners[1].name: "a" is given twice"#,
            #":3: listener "a" on 0.0.0.0:80 clashes with listener "a" on 127.0.0.1:80"#),
        WrongFile(
            "listeners:\n  - {name: a, protocol: http, listen: 127.0.0.1:15000}",
            #":2: listener "a" on 127.0.0.1:15000 clashes with the admin API on 127.0.0.1:15000"#),
        WrongFile(
            "admin: {listen: 0.0.0.0:8080}",
            #":1: listener "http" on 127.0.0.1:8080 clashes with the admin API on 0.0.0.0:8080"#),
        WrongFile(
            "listeners: [{name: a/b, protocol: htp, listen: localhost:80}]",
            #":1: listeners[0].name: "a/b" is not a listener's name; letters, digits, - _ . up to 64"#,
            #":1: listeners[0].protocol: "htp" is not one of http, dubbo, bolt; did you mean "http"?"#,
            #":1: listeners[0].listen: "localhost:80" is a name; did you mean "127.0.0.1:80"?"#),
        WrongFile(
            "admin: {listen: \":80\"}",
            ":1: admin.listen: \":80\" is not an IP address with a port; write it like 127.0.0.1:8080 or [::1]:8080"),
        WrongFile(
            "admin: {listen: 127.0.0.1:65536}",
            ":1: admin.listen: \"127.0.0.1:65536\" is not an IP address with a port; write it like 127.0.0.1:8080 or "
                + "[::1]:8080"),
    ]

    static let registries: [WrongFile] = [
        WrongFile("registries: nacos://a", ":1: registries: must be a list; did you mean [nacos://a]?"),
        WrongFile("registries: [{poll: 1s}]", ":1: registries[0]: the key \"url\" is missing"),
        WrongFile("registries: [{}]", ":1: registries[0]: the key \"url\" is missing"),
        WrongFile(
            "registries: [{url: nacos://a, poll: 1ms}]",
            #":1: registries[0].poll: "1ms" is out of range; 500ms to 1h"#),
        WrongFile(
            "registries:\n  - url: file:x\n    poll: 1s",
            ":3: registries[0].poll: has no effect on a file, which is watched and believed"),
        WrongFile(
            "registries: [nacos://u:pw@a, nacos://u:pw@a]", ":1: registries[1]: nacos://a:8848 is given twice"),
        WrongFile(
            "registries: [nacso://u:pw@a]",
            #":1: registries[0]: "nacso" is not a kind of registry; known are nacos, zookeeper, consul, eureka, etcd, file; did you mean "nacos"?"#
        ),
        WrongFile(
            "registries:\n  - {url: \"nacos://u:pw@a?grup=b\"}",
            ":2: registries[0].url: unknown parameter \"grup\" of a nacos URL; did you mean \"group\"?"),
    ]

    static let registrations: [WrongFile] = [
        WrongFile("register: web@1", ":1: register: must be a list; did you mean [web@1]?"),
        WrongFile(
            "register:\n  - {port: 1}\n  - {service: a}\n  - {service: a, port: 1, listener: x}\n  - {}",
            ":2: register[0]: the key \"service\" is missing",
            ":3: register[1]: one of the keys \"listener\" and \"port\" is needed",
            ":4: register[2].port: has no effect with \"listener\", whose port is published",
            ":5: register[3]: the key \"service\" is missing"),
        WrongFile(
            "register: [{service: a b, port: 0, address: 0.0.0.0, weight: \"5\", protocol: tri, helth: x}]",
            #":1: register[0].service: "a b" is not a service's name"#,
            ":1: register[0].port: 0 is out of range; 1 to 65535",
            #":1: register[0].address: "0.0.0.0" is no address that others reach; "auto" finds one"#,
            #":1: register[0].weight: "5" must stand without quotes"#,
            #":1: register[0].protocol: "tri" is not one of http, dubbo, bolt"#,
            #":1: unknown key "helth" in register[0]; did you mean "health"?"#),
        WrongFile(
            "register: [{service: a, port: 1, health: on}, {service: b, port: 2, health: {path: x, interval: 1ms}}]",
            #":1: register[0].health: "on" is neither off nor a mapping"#,
            #":1: register[1].health.path: "x" must begin with "/""#,
            #":1: register[1].health.interval: "1ms" is out of range; 100ms to 1h"#),
        WrongFile(
            "register: [{service: a, port: 1, address: 10.0.0.1:80}, {service: b, port: 2, address: 10.0.0}]",
            #":1: register[0].address: "10.0.0.1:80" must stand without a port; "port" says it"#,
            ":1: register[1].address: \"10.0.0\" is not an address; write auto, an IP address, a host name or the name of a "
                + "network interface"),
        WrongFile(
            "register:\n  - service: com.acme.A:1.0:g\n    port: 1\n    version: 2.0\n    group: h",
            #":4: register[0].version: "2.0" is not what "service" says"#,
            #":5: register[0].group: "h" is not what "service" says"#),
        WrongFile(
            "register:\n  - {service: web, listener: http}\n  - {service: web, listener: nope}\n"
                + "  - service: order-service\n    port: 1\n    protocol: dubbo",
            #":2: register[0].listener: the listener "http" is not an inbound one: it needs "forward""#,
            #":3: register[1].listener: there is no listener "nope""#,
            #":4: register[2].service: "order-service" is not the name of a Dubbo interface"#),
        WrongFile(
            "listeners: [{name: in, protocol: dubbo, listen: 127.0.0.1:1, forward: 127.0.0.1:2}]\n"
                + "register: [{service: com.acme.A, listener: in, protocol: http}, {service: com.acme.A, listener: im}]",
            #":2: register[0].protocol: the listener "in" speaks dubbo"#,
            #":2: register[1].listener: there is no listener "im"; did you mean "in"?"#),
        WrongFile(
            "registries: [file:x]\nregister:\n  - a@1\n  - b@2?registry=file\n  - c@3?registry=nacos",
            ":3: register[0].registries: there is no registry that takes it; nacos, zookeeper, consul, eureka, etcd do",
            #":4: register[1].registries: "file" takes no http services; nacos, zookeeper, consul, eureka, etcd do"#,
            #":5: register[2].registries: "nacos" is none of the registries"#),
        WrongFile(
            "registries: [nacos://u:pw@a, zookeeper://b]\nregister:\n  - {service: a, port: 1, registries: [nacos]}\n"
                + "  - {service: a, port: 1, registries: [zookeeper]}\n  - {service: a, port: 1, version: 2}\n"
                + "  - {service: a, port: 2}\n  - {service: c, port: 3, registries: [\"nacos://u:pw@c\"]}",
            #":5: register[2]: "a" is register[0] already, with the same port and registries"#,
            #":7: register[4].registries: "nacos://c:8848" is none of the registries"#),
        WrongFile(
            "register:\n  - {service: a, port: 1, group: g, version: 1, metadata: {version: 2}}\n"
                + "  - {service: com.acme.A, port: 1, metadata: {group: g}, health: {path: /h}}",
            #":2: register[0].group: belongs to an interface, not to an HTTP application"#,
            #":2: register[0].metadata: says version "2", "version" says "1""#,
            #":3: register[1].metadata: "group" is said by the key "group""#,
            #":3: register[1].health.path: needs "port": an interface is not asked over HTTP"#),
        WrongFile(
            "registries: [eureka://e]\nregister: [com.acme.A@1, web@1, com.acme.B@1?registry=eureka]",
            ":2: register[0].registries: there is no registry that takes it; nacos, zookeeper, consul, etcd do",
            #":2: register[2].registries: "eureka" takes no dubbo services; nacos, zookeeper, consul, etcd do"#),
        WrongFile(
            "registries: [nacos://n, zookeeper://z]\nregister:\n  - bolt://com.acme.A@1?registry=nacos\n"
                + "  - {service: com.acme.B, protocol: bolt, port: 1, metadata: {uniqueId: g, version: v2}}\n"
                + "  - bolt://com.acme.C:1.0@2\n  - bolt://com.acme.C@2\n  - bolt://com.acme.C:2.0@2",
            #":3: register[0].registries: "nacos" takes no bolt services; zookeeper does"#,
            #":4: register[1].metadata: "uniqueId" is said by the key "group""#,
            #":6: register[3]: "com.acme.C" is register[2] already, with the same port and registries"#),
        WrongFile(
            "registries: [nacos://n]\nregister: [bolt://order-service@1]",
            #":2: register[0].service: "order-service" is not the name of a SOFA RPC interface"#,
            ":2: register[0].registries: there is no registry that takes it; zookeeper does"),
        WrongFile("register: [a]", #":1: register[0]: "a" does not say where; write SERVICE@PORT or SERVICE@LISTENER"#),
        WrongFile("withdraw_wait: 2h", #":1: withdraw_wait: "2h" is out of range; 0s to 1h"#),
    ]
}
