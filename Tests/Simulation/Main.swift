import Glibc
import Runtime

/// Runs one seed after the other until one fails, or one of them with some of its steps. `scripts/simulate` is what people start.
@main
enum Main {
    static func main() throws {
        let options = Options(CommandLine.arguments)
        if options.isDescribing { return describe(options) }
        if let steps = options.steps { return try replay(options, steps) }
        let begin = Clock.nanoseconds
        var tally = Tally()
        for number in 0..<options.runs {
            let seed = options.seed &+ UInt64(number) &* options.stride
            options.progress?.write(seed)
            // A run that does not end by itself ends with the process.
            alarm(options.hangSeconds)
            tally.add(try Run.run(seed: seed, ignoring: options.ignored), seed)
            if !tally.failures.isEmpty && !options.isCounting { break }
            if Clock.nanoseconds - begin > options.seconds * 1_000_000_000 { break }
        }
        tally.tell(seconds: Double(Clock.nanoseconds - begin) / 1e9)
        if !tally.failures.isEmpty { exit(1) }
    }

    private static func replay(_ options: Options, _ steps: [Int]) throws {
        alarm(options.hangSeconds)
        let trace: ((String) -> Void)? = options.isTracing ? { print($0) } : nil
        let result = try Run.run(
            seed: options.seed, salt: options.salt, steps: steps, ignoring: options.ignored, trace: trace)
        guard let failure = result.failure else { return print("fine: \(result.requests) requests") }
        print("\(failure.kind): \(failure.text)")
        exit(1)
    }

    private static func describe(_ options: Options) {
        let plan = Generator.plan(seed: options.seed)
        for (number, service) in plan.services.enumerated() {
            print("service \(number): \(service.kind.rawValue) \(service.name), hosts \(service.hosts)")
        }
        for index in options.steps ?? Array(plan.steps.indices) where plan.steps.indices.contains(index) {
            print("\(index)".padded(4) + "\(plan.steps[index])")
        }
    }
}

/// What many runs have found.
struct Tally {
    struct Found {
        var count = 0
        let seed: UInt64
        let text: String
    }

    private(set) var failures: [String: Found] = [:]
    private var runs = 0
    private var requests = 0

    mutating func add(_ result: Run.Result, _ seed: UInt64) {
        runs += 1
        requests += result.requests
        guard let failure = result.failure else { return }
        failures[failure.kind, default: Found(seed: seed, text: failure.text)].count += 1
    }

    func tell(seconds: Double) {
        print("\(runs) runs, \(requests) requests, \(Int(Double(runs) / seconds)) runs a second")
        for (kind, found) in failures.sorted(by: { $0.value.count > $1.value.count }) {
            print(
                "seed \(found.seed): \(kind): \(found.text)" + (found.count > 1 ? " (and \(found.count - 1) more)" : "")
            )
        }
    }
}

/// Tells another process which seed is run, in case that this one ends on the way.
struct Progress {
    private let descriptor: Int32

    init?(path: String) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        if descriptor < 0 { return nil }
    }

    func write(_ seed: UInt64) {
        let text = Array("\(seed)".padded(24).utf8)
        pwrite(descriptor, text, text.count, 0)
    }
}

struct Options {
    var runs = Int.max
    var seed: UInt64 = 1
    /// From one seed to the next.
    var stride: UInt64 = 1
    var seconds: Int64 = 60
    /// Seconds after which a run will not end.
    let hangSeconds: UInt32 = 20
    var salt: UInt64 = 0
    var steps: [Int]?
    /// Goes on after a failure and counts each kind.
    var isCounting = false
    var isDescribing = false
    var isTracing = false
    /// Kinds of failures that are known and not looked for.
    var ignored: Set<String> = []
    var progress: Progress?

    init(_ arguments: [String]) {
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            switch name {
            case "--runs": runs = rest.popFirst().flatMap { Int($0) } ?? runs
            case "--seed": seed = rest.popFirst().flatMap { UInt64($0) } ?? seed
            case "--stride": stride = rest.popFirst().flatMap { UInt64($0) } ?? stride
            case "--seconds": seconds = rest.popFirst().flatMap { Int64($0) } ?? seconds
            case "--salt": salt = rest.popFirst().flatMap { UInt64($0) } ?? salt
            case "--steps": steps = (rest.popFirst() ?? "").split(separator: ",").compactMap { Int($0) }
            case "--progress": progress = rest.popFirst().flatMap { Progress(path: $0) }
            case "--count": isCounting = true
            case "--trace": isTracing = true
            case "--ignore": ignored = Set((rest.popFirst() ?? "").split(separator: ",").map(String.init))
            case "--describe": isDescribing = true
            default: print("simulate: \(name) is not known")
            }
        }
    }
}

extension String {
    fileprivate func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
