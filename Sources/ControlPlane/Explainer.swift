import Model
import Proxy
import Runtime

/// Has a worker explain decisions; services that are not known yet are waited for.
final class Explainer {
    /// Longest time that the worker's answer is waited for.
    static let patience = Duration.seconds(1)

    private struct Question {
        let request: ExplainRequest
        let completion: (Explanation?) -> Void
        var isAsked = false
        var timer: EventLoop.Timer?
    }

    private let loop: EventLoop
    private let ask: (UInt64, ExplainRequest) -> Void
    private var questions: [UInt64: Question] = [:]
    private var next: UInt64 = 1

    /// - Parameter ask: sends a question to a worker.
    init(loop: EventLoop, ask: @escaping (UInt64, ExplainRequest) -> Void) {
        self.loop = loop
        self.ask = ask
    }

    /// Calls `completion` with the worker's answer; nil when there is none in time.
    ///
    /// - Parameter patience: how long the service may take to become known; nil: it is known.
    func explain(
        _ request: ExplainRequest, waiting patience: Duration?, completion: @escaping (Explanation?) -> Void
    ) {
        let id = next
        next += 1
        questions[id] = Question(request: request, completion: completion)
        guard let patience else { return send(id) }
        questions[id]?.timer = loop.schedule(after: patience) { [weak self] in self?.send(id) }
    }

    /// A service's hosts have been told to the workers.
    func becameKnown(_ key: ServiceKey) {
        for (id, question) in questions where !question.isAsked && question.request.key == key { send(id) }
    }

    /// The worker's answer.
    func receive(_ explanation: Explanation, id: UInt64) { finish(id, explanation) }

    private func send(_ id: UInt64) {
        guard let question = questions[id], !question.isAsked else { return }
        loop.cancel(question.timer)
        questions[id]?.isAsked = true
        questions[id]?.timer = loop.schedule(after: Self.patience) { [weak self] in self?.finish(id, nil) }
        ask(id, question.request)
    }

    private func finish(_ id: UInt64, _ explanation: Explanation?) {
        guard let question = questions.removeValue(forKey: id) else { return }
        loop.cancel(question.timer)
        question.completion(explanation)
    }
}
