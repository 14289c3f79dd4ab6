import Discovery
import FoundationEssentials
import Runtime

/// Something that a command could not do, in one line.
struct CommandError: Error, CustomStringConvertible {
    let description: String
}

/// Asks the admin API of a running process.
struct AdminClient {
    let options: ClientOptions

    /// The body of an answer.
    func get(_ path: String, _ parameters: [(String, String)] = []) throws -> String {
        let query = parameters.isEmpty ? "" : "?" + PercentEncoding.form(parameters)
        return try perform(
            path,
            HTTPRequest(
                "GET", "http://\(options.admin)\(path)\(query)", timeout: .seconds(70), maximumBody: 256 << 20))
    }

    /// Has something done; the body of the answer.
    func post(_ path: String) throws -> String {
        try perform(
            path,
            HTTPRequest(
                "POST", "http://\(options.admin)\(path)", headers: [("Content-Type", "application/json")],
                body: Array("{}".utf8), timeout: .seconds(300)))
    }

    private func perform(_ path: String, _ request: HTTPRequest) throws -> String {
        let response: HTTPResponse
        do throws(HTTPError) {
            response = try HTTPClient.perform(request)
        } catch {
            throw CommandError(description: "no running greymesh answers on \(options.admin): \(error)")
        }
        guard response.status == 200 else {
            let reason = (try? Self.decode(Refusal.self, response.text))?.error ?? "status \(response.status)"
            throw CommandError(description: "\(options.admin) refused \(path): \(reason)")
        }
        return response.text
    }

    /// Reads an answer.
    static func decode<Answer: Decodable>(_ type: Answer.Type, _ text: String) throws -> Answer {
        do {
            return try JSONDecoder().decode(type, from: Data(text.utf8))
        } catch {
            throw CommandError(description: "the answer is not what greymesh \(Program.version) understands")
        }
    }

    private struct Refusal: Decodable {
        let error: String
    }
}
