import Proxy
import Runtime

/// A question how a request would be decided, and what became of that request. Time stands still meanwhile and nothing else happens,
/// so that both must agree.
struct Inquiry {
    enum Phase {
        case connecting
        case asked
        case sent
    }

    let request: Request
    var phase = Phase.connecting
    var explanation: Explanation?
    /// Where the request went first.
    private(set) var touched: SocketAddress?

    mutating func touch(_ address: SocketAddress) {
        if phase == .sent && touched == nil { touched = address }
    }
}

extension World {
    private static var firstClient: Int { 2_000_000 }

    /// Begins with a client of its own.
    func inquire(_ number: Int, _ plan: RequestPlan) {
        if drainedAt != nil || !kernel.connectFailures.isEmpty || !kernel.acceptFailures.isEmpty { return }
        if isShortOfDescriptors || upgrade.isUnderWay { return }
        let client = Self.firstClient + number
        addClient(client, self.plan.door(plan.service))
        let request = Request(number: number, plan: plan, client: client)
        requests[number] = request
        inquiry = Inquiry(request: request)
        kernel.isTimeStopped = true
    }

    /// Nothing else is to happen: does the next part. False: the inquiry is over.
    func advanceInquiry() -> Bool {
        guard let inquiry else { return false }
        switch inquiry.phase {
        case .connecting:
            post(.explain(id: 1, question(inquiry.request.plan)))
            self.inquiry?.phase = .asked
            return true
        case .asked:
            if inquiry.explanation == nil {
                fail("explain", "no answer", inquiry.request)
                return false
            }
            self.inquiry?.phase = .sent
            clients[inquiry.request.client]?.send(inquiry.request)
            return true
        case .sent:
            compare(inquiry)
            self.inquiry = nil
            kernel.isTimeStopped = false
            return false
        }
    }

    private func question(_ plan: RequestPlan) -> ExplainRequest {
        var headers: [(name: String, value: String)] = []
        if plan.version > 0 { headers.append(("x-version", Listing.versions[plan.version])) }
        if plan.user > 0 { headers.append((RequestPlan.stickyName, "\(plan.user)")) }
        return ExplainRequest(key: key(plan.service), headers: headers, client: "127.0.0.1")
    }

    private func compare(_ inquiry: Inquiry) {
        guard let explanation = inquiry.explanation else { return }
        let words = explanation.steps.joined(separator: "; ")
        // What depends on chance, or on the registries, may go either way.
        if words.contains("by chance") || words.contains("is not known") { return }
        if words.contains("circuit breaker") || words.contains("rate limit") || words.contains("fault") { return }
        if let touched = inquiry.touched {
            if !explanation.hosts.contains(touched.description) {
                fail("explain", "it went to \(touched), explained was: \(words)", inquiry.request)
            }
        } else if case .answered(_, nil)? = inquiry.request.outcome, !explanation.hosts.isEmpty {
            fail("explain", "it was refused, explained was: \(words)", inquiry.request)
        }
    }
}
