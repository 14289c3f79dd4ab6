import ControlPlane
import FoundationEssentials
import Runtime
import WebServer

/// What applications ask to be published and watched: `POST /pub`, `/unpub`, `/sub`, `/unsub`, with the requests and answers of
/// MOSN's Dubbo discovery, so that applications made for that work unchanged.
///
/// Every answer has status 200 and says in `err_no` whether it was done: 0 is success.
struct PublishingAPI {
    private let control: ControlPlane

    /// More than any application has to say.
    private static let largestBody = 65_536
    private static let mostMethods = 1000

    init(control: ControlPlane) { self.control = control }

    func publish(_ request: Request, _ respond: @escaping (Response) -> Void) {
        attempt("publish", respond) {
            try control.registrations.publish(try Self.publication(request)) { problem in
                respond(Self.outcome("publish", problem.map { "\($0); it is tried on" }))
            }
        }
    }

    func unpublish(_ request: Request, _ respond: @escaping (Response) -> Void) {
        attempt("unpub", respond) {
            try control.registrations.unpublish(try Self.publication(request)) { problem in
                respond(Self.outcome("unpub", problem))
            }
        }
    }

    func subscribe(_ request: Request, _ respond: @escaping (Response) -> Void) {
        attempt("subscribe", respond) {
            try control.subscribe(try Self.publication(request))
            respond(Self.outcome("subscribe", nil))
        }
    }

    func unsubscribe(_ request: Request, _ respond: @escaping (Response) -> Void) {
        attempt("unsubscribe", respond) {
            try control.unsubscribe(try Self.publication(request))
            respond(Self.outcome("unsubscribe", nil))
        }
    }

    private func attempt(_ name: String, _ respond: (Response) -> Void, _ action: () throws -> Void) {
        do {
            try action()
        } catch {
            respond(Self.outcome(name, "\(error)"))
        }
    }

    private static func outcome(_ name: String, _ problem: String?) -> Response {
        let message = problem.map { "\(name) fail, err: \($0)" } ?? "\(name) success"
        return .json(
            "{\"err_no\":\(problem == nil ? 0 : 1),\"err_msg\":\(JSONString.quoted(message))}")
    }

    // MARK: Requests

    private struct Message: Decodable {
        struct Registry: Decodable {
            let type: String?
            let addr: String?
        }

        struct Service: Decodable {
            let interface: String?
            let version: String?
            let group: String?
            let methods: [String]?
            let port: Port?
            let host: String?
        }

        let registry: Registry?
        let service: Service
    }

    /// `"20880"` or `20880`; an empty text is none.
    private struct Port: Decodable {
        let number: UInt16?

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            let text = try (try? value.decode(Int.self)).map(String.init) ?? value.decode(String.self)
            if text.isEmpty {
                number = nil
            } else if let port = UInt16(text), port > 0 {
                number = port
            } else {
                throw PublicationError("\"\(text.prefix(80))\" is not a port")
            }
        }
    }

    private static func publication(_ request: Request) throws(PublicationError) -> Publication {
        // Without it any page in a browser of this machine could send one.
        guard request.header("content-type")?.lowercased().hasPrefix("application/json") == true else {
            throw PublicationError("the request must have the header Content-Type: application/json")
        }
        if request.body.count > largestBody {
            throw PublicationError("the request is larger than \(largestBody) bytes")
        }
        let message: Message
        do {
            message = try JSONDecoder().decode(Message.self, from: Data(request.body))
        } catch let error as PublicationError {
            throw error
        } catch {
            throw PublicationError("the request is not JSON with an object \"service\" of texts")
        }
        let service = message.service
        guard let interface = service.interface, !interface.isEmpty else {
            throw PublicationError("service.interface is missing")
        }
        var publication = Publication(interface: interface)
        publication.version = service.version ?? ""
        publication.group = service.group ?? ""
        publication.methods = (service.methods ?? []).filter { !$0.isEmpty }
        if publication.methods.count > mostMethods { throw PublicationError("more than \(mostMethods) methods") }
        publication.port = service.port?.number
        publication.host = service.host.flatMap { $0.isEmpty ? nil : $0 }
        if let registry = message.registry {
            let reference = RegistryReference(type: registry.type ?? "", address: registry.addr ?? "")
            if !reference.description.isEmpty { publication.registry = reference }
        }
        return publication
    }
}
