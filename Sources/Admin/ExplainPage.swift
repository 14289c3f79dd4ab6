import ControlPlane
import Model
import Runtime
import WebServer

extension AdminServer {
    func explain(_ request: Request, _ respond: @escaping (Response) -> Void) {
        switch Self.question(request.query) {
        case .failure(let problem): respond(.pretty(.object(["error": .text(problem.text)]), status: 400))
        case .success(let question):
            control.explain(question) { answer in respond(.pretty(Self.json(answer))) }
        }
    }

    struct Problem: Error {
        let text: String
    }

    static func question(_ query: Parameters) -> Result<ExplainQuestion, Problem> {
        var question = ExplainQuestion()
        for (name, value) in query.items {
            switch name {
            case "service": question.service = value
            case "path": question.path = value
            case "version": question.interfaceVersion = value
            case "group": question.group = value
            case "client":
                guard let address = SocketAddress(ip: value, port: 0) ?? SocketAddress(value) else {
                    return .failure(Problem(text: "client must be an IP address"))
                }
                question.client = address.unmapped.ip
            case "method": break  // No rule looks at it.
            case "protocol":
                guard let kind = ServiceKey.Kind(rawValue: value) else {
                    return .failure(Problem(text: "protocol must be http, dubbo or bolt"))
                }
                question.kind = kind
            case "header":
                let parts = value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, !parts[0].isEmpty else {
                    return .failure(Problem(text: "header must be NAME:VALUE"))
                }
                question.headers.append((String(parts[0]), Self.trimmed(parts[1])))
            default: return .failure(Problem(text: "the parameter \(name) is not known"))
            }
        }
        if question.service?.isEmpty ?? true, question.path == nil {
            return .failure(Problem(text: "service or path is missing"))
        }
        return .success(question)
    }

    /// As a value arrives: without the blanks around it.
    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    private static func json(_ answer: ExplainAnswer) -> JSON {
        .object([
            "service": .optional(answer.service?.name), "protocol": .optional(answer.service?.kind.rawValue),
            "version": .optional(answer.explanation.version), "cluster": .optional(answer.explanation.cluster),
            "hosts": .texts(answer.explanation.hosts), "dependsOn": .optional(answer.explanation.dependsOn),
            "steps": .texts(answer.explanation.steps),
        ])
    }
}
