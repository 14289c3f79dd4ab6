import FoundationEssentials
import Runtime
import Synchronization
import TestSupport
import WebServer

/// The part of a Consul agent that takes registrations, as its documentation describes it: a service whose check was not
/// renewed in time is not listed.
final class ConsulThread: Sendable {
    let port: UInt16
    private let book = Book()
    private let web = Mutex<WebThread?>(nil)

    /// What an agent is told of a service, as far as it must be there.
    struct Service: Decodable, Sendable {
        struct Weights: Decodable { let Passing: Int }
        struct Check: Decodable {
            let CheckID: String
            let TTL: String
            let Status: String
        }
        let ID: String
        let Name: String
        let Address: String
        let Port: Int
        let Meta: [String: String]
        let Weights: Weights
        let Check: Check
    }

    private final class Book: Sendable {
        struct Entry {
            let service: Service
            let lifetime: Int64
            var endsAt: Int64
        }
        let entries = Mutex<[String: Entry]>([:])
    }

    init() throws { port = try FreePort.next() }

    func start() throws {
        let book = book
        let server = try WebThread(port: port) { Self.answer($0, book) }
        web.withLock { $0 = server }
    }

    /// Ends it; it has forgotten everything.
    func stop() {
        let server = web.withLock { server in
            defer { server = nil }
            return server
        }
        server?.stop()
        book.entries.withLock { $0.removeAll() }
    }

    /// Services whose check passes.
    var passing: [Service] {
        book.entries.withLock { entries in
            entries.values.filter { $0.endsAt > Clock.nanoseconds }.map(\.service)
        }
    }

    private static func answer(_ request: Request, _ book: Book) -> Response {
        guard request.method == "PUT" else { return .text("", status: 404) }
        if request.path == "/v1/agent/service/register" {
            guard let service = try? JSONDecoder().decode(Service.self, from: Data(request.body)),
                service.Check.Status == "passing", service.Check.TTL.hasSuffix("ms"),
                let milliseconds = Int64(service.Check.TTL.dropLast(2))
            else { return .text("Request decode failed", status: 400) }
            let lifetime = milliseconds * 1_000_000
            book.entries.withLock {
                $0[service.ID] = .init(service: service, lifetime: lifetime, endsAt: Clock.nanoseconds + lifetime)
            }
            return .text("")
        }
        let last = request.path.split(separator: "/").last ?? ""
        let name = Parameters.decode(last.utf8, plusIsBlank: false)
        let isKnown = book.entries.withLock { entries in
            if request.path.hasPrefix("/v1/agent/service/deregister/") {
                return entries.removeValue(forKey: name) != nil
            }
            guard let id = entries.first(where: { $0.value.service.Check.CheckID == name })?.key,
                let lifetime = entries[id]?.lifetime
            else { return false }
            entries[id]?.endsAt = Clock.nanoseconds + lifetime
            return true
        }
        return isKnown ? .text("") : .text("Unknown check or service ID \(name)", status: 404)
    }
}
