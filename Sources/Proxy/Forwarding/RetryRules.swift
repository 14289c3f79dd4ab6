import Codecs
import Glibc
import Model
import Runtime

/// A service's retry policy as plain values, for one worker.
struct RetryRules {
    /// Tries beside the first.
    var attempts: UInt8 = 2
    /// A request of which nothing was sent goes to another host.
    var onConnect = true
    /// A request whose connection broke before a byte of the answer does, if it may be repeated.
    var onReset = false
    /// Some status has another host asked.
    var hasStatuses = false
    /// Further tries after something was sent, in percent of the requests in flight.
    var budget: UInt8 = 20
    /// HTTP's methods that may be repeated once something was sent: one bit for each raw value of `HTTP1.Method`.
    var httpMethods: UInt16 = 0
    /// In nanoseconds; 0 is none.
    var perTryTimeout: Int64 = 0
    /// In nanoseconds; 0 is none.
    var hedge: Int64 = 0
    /// In nanoseconds; 0: none.
    private var backoff: Int64 = 0
    /// One bit for each status from the first one on.
    private var lowStatuses: UInt64 = 0
    private var highStatuses: UInt64 = 0
    private var firstStatus: Int32 = 0

    /// The defaults.
    init() {}

    init(_ policy: RetryPolicy, for kind: ServiceKey.Kind) {
        attempts = UInt8(clamping: policy.attempts)
        onConnect = policy.onConnect
        onReset = policy.onReset
        budget = UInt8(clamping: policy.budget)
        backoff = policy.backoff.nanoseconds
        hedge = policy.hedge?.nanoseconds ?? 0
        // Without `reset` nothing is done when it is over.
        if policy.onReset { perTryTimeout = policy.perTryTimeout?.nanoseconds ?? 0 }
        firstStatus = kind == .http ? 500 : 0
        for status in policy.statuses where kind.hasErrorStatus(status) {
            let place = status - Int(firstStatus)
            if place < 64 { lowStatuses |= 1 << UInt64(place) } else { highStatuses |= 1 << UInt64(place - 64) }
            hasStatuses = true
        }
        let patterns = (policy.methods ?? HTTPMethods.idempotent).map { NamePattern($0) }
        for (name, method) in zip(HTTPMethods.all, HTTP1.Method.named)
        where patterns.contains(where: { $0.matches(name) }) {
            httpMethods |= 1 << UInt16(method.rawValue)
        }
    }

    /// Whether another host is asked after an answer with this status.
    @inline(__always)
    func names(_ status: Int32) -> Bool {
        if !hasStatuses { return false }
        let place = status - firstStatus
        if place < 0 || place > 127 { return false }
        return (place < 64 ? lowStatuses >> UInt64(place) : highStatuses >> UInt64(place - 64)) & 1 == 1
    }

    /// Something is done before the whole time is over.
    @inline(__always)
    var hasTryTime: Bool { perTryTimeout | hedge != 0 }

    /// How long a request waits on average that was with so many hosts, in nanoseconds. The first further try is made at once.
    func backoff(afterTrying count: UInt8) -> Int64 {
        if count < 2 { return 0 }
        return backoff << Int64(min(count, UInt8(RetryPolicy.mostAttempts)) - 2)
    }

    /// A request is sent again that met a connection which the host had closed.
    @inline(__always)
    var repeatsStale: Bool { onConnect && attempts > 0 }

    @inline(__always)
    func mayRepeat(_ method: HTTP1.Method) -> Bool { httpMethods >> UInt16(method.rawValue) & 1 == 1 }
}

extension HTTP1.Method {
    /// In the order of `HTTPMethods.all`.
    fileprivate static var named: [HTTP1.Method] { [.get, .head, .post, .put, .delete, .options, .patch, .trace] }
}

/// Methods of a multiplexed protocol that may be repeated once something was sent. They are compared only after a failure.
struct RepeatableMethods: ~Copyable {
    private struct Pattern {
        let text: ByteString
        let isOpenAtStart: Bool
        let isOpenAtEnd: Bool
    }

    private let patterns: UnsafeMutablePointer<Pattern>
    /// 0: nothing may be repeated.
    let count: Int

    init(_ names: [String] = []) {
        count = names.count
        patterns = .allocate(capacity: max(1, names.count))
        for (index, name) in names.enumerated() {
            let pattern = NamePattern(name)
            (patterns + index).initialize(
                to: Pattern(
                    text: ByteString(copying: pattern.text), isOpenAtStart: pattern.isOpenAtStart,
                    isOpenAtEnd: pattern.isOpenAtEnd))
        }
    }

    deinit {
        for index in 0..<count { patterns[index].text.free() }
        patterns.deallocate()
    }

    func contains(_ name: ByteString) -> Bool {
        for index in 0..<count where Self.matches(name, patterns[index]) { return true }
        return false
    }

    private static func matches(_ name: ByteString, _ pattern: Pattern) -> Bool {
        let text = pattern.text
        if name.count < text.count { return false }
        switch (pattern.isOpenAtStart, pattern.isOpenAtEnd) {
        case (false, false): return name.equals(text)
        case (false, true): return memcmp(name.base, text.base, text.count) == 0
        case (true, false): return memcmp(name.base + (name.count - text.count), text.base, text.count) == 0
        case (true, true):
            return (0...name.count - text.count).contains { memcmp(name.base + $0, text.base, text.count) == 0 }
        }
    }
}

/// Why a request was sent to a further host, as metrics tell it.
public enum RetryCause: Int, CaseIterable, Sendable {
    /// Nothing was sent, or the host had closed a kept connection.
    case connect
    /// The connection broke before a byte of the answer.
    case reset
    /// A status that the policy names.
    case status
    /// One try took too long.
    case timeout
    /// Beside a host that had not answered yet.
    case hedge
    /// The host said that it has not executed it.
    case refused
}

/// A service's further tries in one worker.
struct FurtherTries {
    /// Requests in flight that were repeated after something was sent.
    private(set) var inFlight = 0
    /// By the raw values of `RetryCause`.
    private var counts = InlineArray<6, UInt64>(repeating: 0)

    /// Whether a request may be repeated after something was sent.
    ///
    /// - Parameters:
    ///   - active: the service's requests in flight.
    ///   - percent: how many of them may be further tries; three always may.
    ///   - isOne: the request itself is one already, so that the next try takes the place of the last.
    func hasRoom(active: Int, percent: UInt8, isOne: Bool) -> Bool {
        inFlight - (isOne ? 1 : 0) < max(3, Int(percent) * active / 100)
    }

    /// Counts a further try.
    mutating func begin(_ cause: RetryCause, of state: inout RequestState) {
        counts[cause.rawValue] &+= 1
        reserve(cause, for: &state)
    }

    /// Takes the room of a further try that is still to begin.
    mutating func reserve(_ cause: RetryCause, for state: inout RequestState) {
        if cause.needsRoom && !state.isRepeated {
            state.isRepeated = true
            inFlight += 1
        }
    }

    /// The request has ended.
    mutating func end(_ state: inout RequestState) {
        if state.isRepeated { inFlight -= 1 }
        state.isRepeated = false
    }

    /// By the raw values of `RetryCause`.
    var byCause: [UInt64] { counts.indices.map { counts[$0] } }
}

extension RetryCause {
    /// Something was sent: the next host does the work once more.
    var needsRoom: Bool {
        switch self {
        case .connect, .refused: false
        case .reset, .status, .timeout, .hedge: true
        }
    }
}
