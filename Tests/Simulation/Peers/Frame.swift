/// A frame of a multiplexed protocol as peers see it, whatever its bytes are.
struct Frame {
    enum Meaning: Equatable {
        case request
        case oneWay
        /// With a status of the protocol.
        case answer(status: Int)
        case heartbeat
        case heartbeatAnswer
        /// No new requests, please; nobody answers.
        case readonly
        /// Anything else that is not answered.
        case other
    }

    var meaning: Meaning
    var id: Int64
    var body: [UInt8]
    /// The variant of the protocol.
    var lane = 0

    /// The number behind a word like `token:` in the body.
    func number(after word: StaticString) -> Int? {
        let count = word.utf8CodeUnitCount
        return body.withUnsafeBufferPointer { body in
            var at = 0
            while at + count < body.count {
                if body[at] == word.utf8Start[0] && (1..<count).allSatisfy({ body[at + $0] == word.utf8Start[$0] }) {
                    var (number, digits) = (0, at + count)
                    while digits < body.count, body[digits] >= 0x30, body[digits] <= 0x39, digits - at < 30 {
                        number = number &* 10 &+ Int(body[digits] - 0x30)
                        digits += 1
                    }
                    return digits > at + count ? number : nil
                }
                at += 1
            }
            return nil
        }
    }

    func contains(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        return body.count >= count
            && (0...body.count - count).contains { at in
                (0..<count).allSatisfy { body[at + $0] == word.utf8Start[$0] }
            }
    }

    /// Letters of a filler in the body.
    func count(of letter: UInt8) -> Int { body.reduce(0) { $0 &+ ($1 == letter ? 1 : 0) } }

    /// What requests and answers are filled up with.
    static let requestFiller: UInt8 = 0x61
    static let answerFiller: UInt8 = 0x62
}

/// The bytes of one multiplexed protocol, or of a variant of it, as its peers write and read them; on purpose without the codec under
/// test.
protocol Wire {
    /// The variant.
    var lane: Int { get }
    /// The same protocol in another variant.
    func variant(_ lane: Int) -> Self
    /// The next whole frame; nil when there is none, and `isBad` when these are no frames.
    func next(_ bytes: inout ByteQueue, isBad: inout Bool) -> Frame?
    /// A request with the text `token:N;size:S;` and so many fillers in it.
    func request(_ plan: RequestPlan, number: Int, service: String, id: Int64) -> [UInt8]
    /// An answer with the text `token:N;host:H;size:S;` and so many fillers in it.
    func answer(number: Int, host: Int, size: Int, id: Int64) -> [UInt8]
    /// An answer of a host with a status of the protocol.
    func error(_ status: Int, number: Int, host: Int, id: Int64) -> [UInt8]
    /// The status that says that the request was not executed and others may take it.
    var exhausted: Int { get }
    /// Any other status of an error.
    var failed: Int { get }
    func heartbeat(id: Int64) -> [UInt8]
    func heartbeatAnswer(id: Int64) -> [UInt8]
    /// No new requests, or again; nil when the protocol has no word for it.
    func readonly(_ isReadonly: Bool) -> [UInt8]?
    /// A request that a host sends to its client.
    func callback(id: Int64) -> [UInt8]
    /// What an error of ours means, as a status of HTTP.
    func meaning(ofError status: Int) -> Int
    /// The status of results, which some errors of ours have as well.
    var success: Int { get }
    /// The id that the worker gives to a request, by its record and how often that was used.
    func workersID(record: Int64, use: Int64) -> Int64
}
