import Model
import Runtime
import Testing

@testable import Discovery

@Suite struct NacosLoginTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
        nacos.set("order", "10.0.0.1")
        nacos.tokens = []
    }

    private var logins: [FakeServer.Request] { nacos.server.requests.filter { $0.path.contains("/auth/") } }

    /// Every login makes the token good that it returns, and no other.
    private func letIn(lifetime: Int = 18_000, path: String = "/nacos/v1/auth/login") {
        nacos.fault = { [nacos] request in
            guard request.path == path else { return nil }
            let token = "token\(nacos.server.requests.count)"
            nacos.tokens = [token]
            return .ok(#"{"accessToken":"\#(token)","tokenTtl":\#(lifetime),"globalAdmin":true}"#)
        }
    }

    @Test func logsInFirstAndOnce() throws {
        letIn()
        let registry = fixture.nacos(nacos, user: "na cos")
        for number in 0..<5 { registry.subscribe(.http("s\(number)")) }
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] && nacos.server.requests.count > 20 })
        #expect(logins.count == 1)
        #expect(logins.first?.method == "POST")
        #expect(logins.first?.form == ["username": "na cos", "password": "s3cret&"])
        // Neither password nor token stand where servers write access logs.
        #expect(nacos.server.requests.allSatisfy { $0.query["accessToken"] == nil && $0.query["password"] == nil })
        registry.stop()
    }

    @Test func renewsBeforeTheEnd() throws {
        letIn(lifetime: 1)
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(order)
        #expect(fixture.wait { logins.count >= 2 })
        #expect(nacos.server.requests.allSatisfy { $0.path.contains("auth") || $0.headers["authorization"] != nil })
        #expect(registry.status.failures == 0)
        registry.stop()
    }

    @Test func logsInAgainOnceWhenTheTokenIsRefused() throws {
        letIn()
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        nacos.tokens = ["another"]
        nacos.set("order", "10.0.0.2")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:8080"] })
        #expect(logins.count == 2)
        #expect(registry.status.failures == 0)
        registry.stop()
    }

    @Test func doesNotLogInAgainAndAgainForAUserWithoutPermission() throws {
        letIn()
        let login = nacos.fault
        nacos.fault = { login($0) ?? .status(403, #"{"status":403,"message":"token invalid!"}"#) }
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(order)
        #expect(fixture.wait { registry.status.failures >= 3 })
        #expect(logins.count <= 1 + Int(registry.status.failures) + 1)
        nacos.fault = {
            login($0) ?? .status(403, #"{"status":403,"message":"Code: 403, Message: authorization failed!."}"#)
        }
        let before = logins.count
        let failures = registry.status.failures
        #expect(fixture.wait { registry.status.failures >= failures + 2 })
        #expect(logins.count <= before + 1)
        #expect(fixture.failures[order]?.contains("403") == true)
        registry.stop()
    }

    @Test func usesTheNewLoginWhereTheOldOneIsGone() throws {
        letIn(path: "/nacos/v3/auth/user/login")
        nacos.hasV1 = false
        nacos.hasV3 = true
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        registry.stop()
    }

    @Test(arguments: [
        FakeServer.Answer.status(403, "user not found!"), .status(500, "caused: User nobody not found;"), .ok("{}"),
        .status(404, ""), .status(400, "no"),
    ])
    func aRefusedLoginIsToldWithoutSecrets(answer: FakeServer.Answer) throws {
        nacos.fault = { $0.path.contains("/auth/") ? answer : nil }
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[order]?.contains("login refused") == true })
        #expect(registry.status.state == .failed)
        #expect(!fixture.log.contains("s3cret"))
        #expect(registry.status.lastError?.contains("s3cret") == false)
        // Not asked in a hurry.
        let before = logins.count
        #expect(!fixture.wait(.milliseconds(300)) { logins.count > before })
        registry.stop()
    }

    @Test func aServerThatWantsNoLoginIsAskedAllTheSame() throws {
        nacos.tokens = nil
        nacos.fault = { $0.path.contains("/auth/") ? .status(500, "caused: User nacos not found;") : nil }
        let registry = fixture.nacos(nacos, user: "nacos")
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        #expect(registry.status.state == .connected && fixture.failures.isEmpty)
        registry.stop()
    }

    @Test func withoutCredentialsTheRemedyIsTold() throws {
        let registry = fixture.nacos(nacos)
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[order]?.contains("USER:PASSWORD@") == true })
        #expect(logins.isEmpty)
        registry.stop()
    }
}
