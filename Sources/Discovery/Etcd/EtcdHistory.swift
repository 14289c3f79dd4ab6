import Runtime

/// A key that is known, by which a cluster's history is recognised.
struct EtcdWitness: Equatable {
    let key: [UInt8]
    let revision: Int64
    let lease: Int64
}

/// Asks an etcd cluster as a whole whether it is the one that is known. A new one, or one put back to an older state, can have
/// the same address and higher revisions.
final class EtcdHistory {
    /// What a majority says.
    struct Answer {
        let header: EtcdHeader
        /// Nothing speaks against it.
        let isSame: Bool
    }

    /// What is known: the cluster's number and the highest revision; empty and 0 where nothing is.
    struct Known {
        var cluster = ""
        var revision: Int64 = 0

        func excludes(_ header: EtcdHeader) -> Bool {
            header.revision < revision || cluster != "" && cluster != header.cluster
        }

        mutating func add(_ header: EtcdHeader) {
            cluster = header.cluster
            revision = max(revision, header.revision)
        }
    }

    private let client: EtcdClient
    private var question: EtcdClient.Ticket?

    init(_ client: EtcdClient) { self.client = client }

    /// Asks once; `cancel` and a further question leave this one without an answer.
    ///
    /// - Parameter place: a key that may be read, where there are no witnesses.
    func ask(
        _ witnesses: [EtcdWitness], or place: [UInt8], known: Known,
        completion: @escaping (Result<Answer, EtcdFailure>) -> Void
    ) {
        let keys = witnesses.isEmpty ? [place] : witnesses.map(\.key)
        let ranges = keys.map { #"{"request_range":{"key":"\#(Base64.encode($0))"}}"# }
        send(ranges.joined(separator: ",")) { [weak self] result in
            switch result {
            case .failure(let failure): completion(.failure(failure))
            case .success(let answer):
                guard let header = EtcdHeader(answer), header.revision > 0, let pages = EtcdPage.list(answer) else {
                    return completion(.failure(EtcdFailure(.away, "the answer is not etcd's")))
                }
                if known.excludes(header) {
                    completion(.success(Answer(header: header, isSame: false)))
                } else if let newest = witnesses.max(by: { $0.revision < $1.revision }), !Self.isSame(witnesses, pages)
                {
                    // All of them have changed; whether that is another history shows the past.
                    self?.askForPast(newest, header, completion)
                } else {
                    completion(.success(Answer(header: header, isSame: true)))
                }
            }
        }
    }

    func cancel() {
        if let question { client.cancel(question) }
        question = nil
    }

    /// Asks how a known key was when it was written.
    private func askForPast(
        _ witness: EtcdWitness, _ header: EtcdHeader, _ completion: @escaping (Result<Answer, EtcdFailure>) -> Void
    ) {
        let range = #""key":"\#(Base64.encode(witness.key))","revision":"\#(witness.revision)""#
        send(#"{"request_range":{\#(range)}}"#) { result in
            switch result {
            case .failure(let failure) where failure.kind != .noHistory: completion(.failure(failure))
            case .failure: completion(.success(Answer(header: header, isSame: false)))
            case .success(let answer):
                let isSame = Self.isSame([witness], EtcdPage.list(answer) ?? [])
                completion(.success(Answer(header: header, isSame: isSame)))
            }
        }
    }

    private func send(_ ranges: String, _ completion: @escaping (Result<EtcdText, EtcdFailure>) -> Void) {
        question = client.post("/v3/kv/txn", #"{"success":[\#(ranges)]}"#) { [weak self] result in
            self?.question = nil
            completion(result)
        }
    }

    /// Whether at least one known key still is as it was. Revisions of a new history can be the same by chance, leases not.
    private static func isSame(_ witnesses: [EtcdWitness], _ pages: [EtcdPage]) -> Bool {
        if witnesses.isEmpty { return true }
        return zip(witnesses, pages).contains { witness, page in
            page.entries.contains { range in
                guard let record = EtcdText(page.text, in: range)?.record else { return false }
                return record.revision == witness.revision && record.lease == witness.lease
            }
        }
    }
}
