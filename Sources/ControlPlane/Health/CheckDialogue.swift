import Codecs
import Model

/// What a check asks.
enum CheckQuestion: Hashable, CustomStringConvertible {
    /// `GET`, answered with 200 to 399.
    case http(path: String)
    /// A connection.
    case tcp
    /// A heartbeat.
    case dubbo
    /// A heartbeat.
    case bolt

    init?(_ policy: HealthCheckPolicy) {
        switch policy.kind {
        case .http: self = .http(path: policy.path)
        case .tcp: self = .tcp
        case .dubbo: self = .dubbo
        case .bolt: self = .bolt
        case nil: return nil
        }
    }

    /// `GET /health`, `tcp`, `dubbo heartbeat`
    var description: String {
        switch self {
        case .http(let path): "GET \(path)"
        case .tcp: "tcp"
        case .dubbo: "dubbo heartbeat"
        case .bolt: "bolt heartbeat"
        }
    }
}

/// What is sent, and what an answer means: bytes in, verdict out.
struct CheckDialogue {
    enum Step: Equatable {
        case more
        case good
        case bad(String)
    }

    let question: CheckQuestion
    /// Nothing: a connection is enough.
    let request: [UInt8]
    private var received: [UInt8] = []

    /// The id of heartbeats.
    private static let id: UInt32 = 1
    /// Longest answer that is waited for.
    private static let limit = 65_536

    init(_ question: CheckQuestion, host: String) {
        self.question = question
        switch question {
        case .http(let path):
            request = Array(
                "GET \(path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: greymesh\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                    .utf8)
        case .tcp: request = []
        case .dubbo:
            request = Array(unsafeUninitializedCapacity: Dubbo.heartbeatRequestSize) { buffer, count in
                count = Dubbo.writeHeartbeatRequest(id: Int64(Self.id), into: buffer.baseAddress!)
            }
        case .bolt:
            request = Array(unsafeUninitializedCapacity: Bolt.largestHeadSize) { buffer, count in
                count = Bolt.writeHeartbeatRequest(id: Self.id, .version1, into: buffer.baseAddress!)
            }
        }
    }

    /// More of the answer has come.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> Step {
        received += bytes
        let step: Step =
            switch question {
            case .http: status()
            case .tcp: .good
            case .dubbo:
                frames(next: { Dubbo.nextFrame($0, count: $1, used: &$2, skip: &$3, limit: Self.limit) }) {
                    $0.isEvent && $0.id == Int64(Self.id) ? $0.status == Dubbo.Status.ok : nil
                }
            case .bolt:
                frames(next: { Bolt.nextFrame($0, count: $1, used: &$2, skip: &$3, limit: Self.limit) }) {
                    $0.isHeartbeat && $0.id == Self.id ? $0.status == Bolt.Status.success : nil
                }
            }
        if step == .more && received.count > Self.limit { return .bad("the answer does not end") }
        return step
    }

    /// By the first line; answers of 100 to 199 come before the one that counts.
    private mutating func status() -> Step {
        while true {
            guard let end = received.firstIndex(of: 0x0a) else {
                return received.count > 1024 ? .bad("what comes is no HTTP") : .more
            }
            let words = String(decoding: received[..<end], as: UTF8.self).split(separator: " ", maxSplits: 2)
            guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1].prefix(3)), status >= 100
            else { return .bad("what comes is no HTTP") }
            if status >= 200 { return status < 400 ? .good : .bad("answers \(status)") }
            guard let next = endOfHead() else { return .more }
            received.removeFirst(next)
        }
    }

    private func endOfHead() -> Int? {
        let end: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a]
        return received.indices.dropLast(3).first { received[$0..<$0 + 4].elementsEqual(end) }.map { $0 + 4 }
    }

    /// Hosts may send other frames first: heartbeats of their own, or that they are going.
    ///
    /// - Parameter isGood: nil for a frame that is not the heartbeat's answer.
    private mutating func frames<Head: FrameHeading, Failure>(
        next: (UnsafePointer<UInt8>, Int, inout Int, inout Int) -> Frames.Step<Head, Failure>,
        isGood: (Head) -> Bool?
    ) -> Step {
        var (used, skip) = (0, 0)
        while true {
            let step = received.withUnsafeBufferPointer { bytes -> Frames.Step<Head, Failure>? in
                bytes.baseAddress.map { next($0, bytes.count, &used, &skip) }
            }
            switch step {
            case nil, .incomplete: return .more
            case .oversized, .invalid: return .bad("what comes is no frame")
            case .frame(let head):
                if !head.isRequest, let isGood = isGood(head) { return isGood ? .good : .bad("the answer is an error") }
                used += head.frameLength
            }
        }
    }
}
