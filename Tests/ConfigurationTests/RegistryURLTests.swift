import Configuration
import Testing

@Suite struct RegistryURLTests {
    @Test func readsAllParts() throws {
        let url = try RegistryURL("nacos://me:p%40s:s%2F@a.example,[::1]:8849,10.0.0.1/nacos/?namespace=n%201&group=g")
        #expect(url.scheme == .nacos)
        #expect(url.user == "me")
        #expect(url.password == "p@s:s/")
        #expect(url.servers.map(\.description) == ["a.example:8848", "[::1]:8849", "10.0.0.1:8848"])
        #expect(url.servers[1].host == "::1")
        #expect(url.path == "/nacos")
        #expect(url.parameters == ["namespace": "n 1", "group": "g"])
        #expect(url.description == "nacos://a.example:8848,[::1]:8849,10.0.0.1:8848/nacos?group=g&namespace=n 1")
    }

    @Test(arguments: [("file:a b.yaml", "a b.yaml"), ("file:/x/y", "/x/y"), ("file:///x/y", "/x/y")])
    func readsFiles(text: String, path: String) throws {
        let url = try RegistryURL(text)
        #expect(url.scheme == .file)
        #expect(url.path == path)
        #expect(url.description == "file:\(path)")
    }

    @Test(arguments: ["consul://:t%40k@a?dc=x", "consul://a?token=t%40k&dc=x"])
    func consulsTokenIsAPassword(text: String) throws {
        let url = try RegistryURL(text)
        #expect(url.user.isEmpty && url.password == "t@k" && url.parameters == ["dc": "x"])
        #expect(url.description == "consul://a:8500?dc=x")
    }

    static let wrong: [(String, String)] = [
        ("consul://u:p@a", "credentials must be an ACL token, :TOKEN@, with %XX for special characters"),
        ("consul://:@a", "credentials must be an ACL token, :TOKEN@, with %XX for special characters"),
        ("consul://:t@a?token=u", "the ACL token is given twice"),
        ("", #""" is not a registry URL; write nacos://HOST:8848 or file:PATH"#),
        ("host", #""host" is not a registry URL; write nacos://HOST:8848 or file:PATH"#),
        ("http://host:8848", #""http" is not a kind of registry; for Nacos write nacos://HOST:8848"#),
        (
            "polaris://h",
            #""polaris" is not a kind of registry; known are nacos, zookeeper, consul, eureka, etcd, file"#
        ),
        ("nacos:host", "write nacos://HOST:PORT, with two slashes"),
        ("nacos://", "a server is missing"),
        ("nacos://a,", "a server is missing"),
        ("nacos://a,a:8848", "the server a:8848 is given twice"),
        ("nacos://a:0", #""a:0" has no valid port; 1 to 65535"#),
        ("nacos://a:+1", #""a:+1" has no valid port; 1 to 65535"#),
        ("nacos://a:65536", #""a:65536" has no valid port; 1 to 65535"#),
        ("nacos://::1", "an IPv6 address stands in brackets: nacos://[::1]:8848"),
        (
            "nacos://u:p/q@a",
            "a \"/\", \"?\" or \"@\" of credentials and parameters is written %2F, %3F, %40"
        ),
        ("nacos://[::g]", #""[::g]" is not an IPv6 address"#),
        ("nacos://[1.2.3.4]", #""[1.2.3.4]" is not an IPv6 address"#),
        ("nacos://a..b", #""a..b" is not a host name"#),
        ("nacos://a b", "a registry URL cannot have blanks; write them as %20"),
        ("nacos://a/x//y", "the context path after the servers is wrong; write it like /nacos"),
        ("nacos://a#b", "a registry URL has no \"#\" part; write %23 for a \"#\""),
        ("nacos://u@a", "credentials must be USER:PASSWORD@ with %XX for special characters"),
        ("nacos://u:%zz@a", "credentials must be USER:PASSWORD@ with %XX for special characters"),
        ("nacos://u:%0a@a", "credentials must be USER:PASSWORD@ with %XX for special characters"),
        ("nacos://u:%ff@a", "credentials must be USER:PASSWORD@ with %XX for special characters"),
        ("nacos://a?group=", "the parameter \"group\" needs a value, with %XX for special characters"),
        ("nacos://a?group", "the parameter \"group\" needs a value, with %XX for special characters"),
        ("nacos://a?group=a&group=b", "the parameter \"group\" is given twice"),
        ("file:", "the path of the file is missing; write file:PATH"),
        ("file://host/x", "a file URL has no host; write file:PATH"),
    ]

    @Test(arguments: wrong) func refuses(text: String, message: String) {
        #expect(throws: InvalidValue(message)) { try RegistryURL(text) }
    }

    @Test(arguments: [
        "nacos://user:hunter2@a:x", "nacos://user:hunter2@", "nacos:user:hunter2@a", "user:hunter2@a",
        "nacos://user:hunter2/@a", "nacos://user:hunter2?x@a", "nacos://user:x@hunter2/y@a", "nacos://us er:hunter2@a",
        "nacos://user:hunter2#@a",
        "nacos://user:hunter2@a?x=y", "nacos://:hunter2@a", "nacos://user:hunter2@a@b", "nacos://user:hunter2,@a",
        "consul://:hunter2@a:x", "consul://a?token=hunter2&token=x", "consul://a?tken=hunter2",
        "consul://:x@a?token=hunter2", "consul://a?token=hunter2%",
        "nacos:/user:hunter2@a", "nacos://user:hunter2%@a", "nacos://user:hunter2@a,a", "//user:hunter2@a",
    ])
    func neverTellsThePassword(text: String) {
        #expect(!RegistryConfiguration(url: text).displayURL.contains("hunter2"))
        do throws(InvalidValue) {
            #expect(!(try RegistryURL(text)).description.contains("hunter2"))
        } catch {
            #expect(!error.message.contains("hunter2"), "\(error.message)")
        }
    }
}

@Suite struct NearestNameTests {
    static let candidates = ["balancer", "timeout", "mode", "idle_timeout", "services"]

    @Test(arguments: [
        ("balancr", "balancer"), ("Balancer", "balancer"), ("blaancer", "balancer"), ("idle-timeout", "idle_timeout"),
        ("time", "timeout"), ("mod", "mode"), ("service", "services"), ("timeuot", "timeout"),
    ])
    func findsWhatIsClose(name: String, expected: String) {
        #expect(NearestName.to(name, among: Self.candidates) == expected)
    }

    @Test(arguments: ["", "x", "port", "address", "zzzzzzzzzzzzzzzz"])
    func findsNothingWhereNothingIsClose(name: String) {
        #expect(NearestName.to(name, among: Self.candidates) == nil)
    }

    @Test func findsNothingForAVeryLongName() {
        #expect(NearestName.to(String(repeating: "balancer", count: 10_000), among: Self.candidates) == nil)
    }
}
