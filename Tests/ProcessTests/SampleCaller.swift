import Foundation
import TestSupport

/// `greymesh-sample call` in the background: calls of `demo.Shop`.
final class SampleCaller {
    /// What it tells at its end.
    struct Tally: Decodable {
        /// How many of its calls a host has answered.
        struct Answer: Decodable {
            let host: String
            let count: Int
        }

        let answered: Int
        let failed: Int
        let answers: [Answer]

        /// Answers by host.
        var counts: [String: Int] { Dictionary(answers.map { ($0.host, $0.count) }) { $0 + $1 } }
    }

    private let child: ChildProcess

    /// - Parameters:
    ///   - kind: `dubbo` or `bolt`.
    ///   - target: an address of the program.
    init(_ kind: String, _ target: String, count: Int, _ options: [String] = []) throws {
        child = try ChildProcess(
            BuiltProgram.path("greymesh-sample"),
            ["call", kind, "--target", target, "--interface", "demo.Shop", "--count", "\(count)", "--json"] + options)
    }

    /// All that it has written.
    var output: String { child.output }

    /// Waits for its end.
    func tally() throws -> Tally {
        try child.waitForExit(within: .seconds(60))
        return try JSONDecoder().decode(Tally.self, from: Data(child.output.utf8))
    }
}
