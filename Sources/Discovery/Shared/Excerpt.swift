/// What an unexpected answer begins with, for a log line.
enum Excerpt {
    /// The first words of an answer.
    static func words(_ body: [UInt8]) -> String {
        let text = String(decoding: body.prefix(120), as: UTF8.self)
        let words = text.split(whereSeparator: { $0.isWhitespace || $0 == "\u{0}" }).joined(
            separator: " ")
        return words.isEmpty ? "nothing" : words
    }

    /// Status and first words of an answer.
    ///
    /// - Parameter secret: what must not be told, whatever the server makes of it; empty hides nothing.
    static func words(_ response: HTTPResponse, hiding secret: String = "") -> String {
        let said = words(response.body)
        return "status \(response.status): " + (isTold(secret, in: said) ? "…" : said)
    }

    /// The text was cut, and so may the secret at its end be.
    private static func isTold(_ secret: String, in text: String) -> Bool {
        guard !secret.isEmpty else { return false }
        return text.contains(secret) || (secret.utf8.count >= 8 && text.contains(secret.prefix(8)))
    }
}
