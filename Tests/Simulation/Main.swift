import Glibc
import Runtime

/// `simulate --runs N --seed S [--seconds T]`: runs one seed after the other until one fails.
@main
enum Main {
    static func main() throws {
        let options = Options(CommandLine.arguments)
        if let steps = options.steps {
            return finish(try Run.run(seed: options.seed, salt: options.salt, steps: steps), options.seed)
        }
        let begin = Clock.nanoseconds
        var requests = 0
        var kinds: [String: (count: Int, seed: UInt64, text: String)] = [:]
        var done = 0
        for number in 0..<options.runs {
            let seed = options.seed + UInt64(number)
            let result = try Run.run(seed: seed)
            requests += result.requests
            done += 1
            if let failure = result.failure {
                kinds[failure.kind, default: (0, seed, failure.text)].count += 1
                if !options.isCounting { break }
            }
            if Clock.nanoseconds - begin > options.seconds * 1_000_000_000 { break }
        }
        let seconds = Double(Clock.nanoseconds - begin) / 1e9
        print("\(done) runs, \(requests) requests, \(Int(Double(done) / seconds)) runs a second")
        for (kind, found) in kinds.sorted(by: { $0.value.count > $1.value.count }) {
            print("\(found.count) x \(kind), first seed \(found.seed): \(found.text)")
        }
        if !kinds.isEmpty { exit(1) }
    }

    private static func finish(_ result: Run.Result, _ seed: UInt64) {
        if let failure = result.failure {
            print("seed \(seed): \(failure.kind): \(failure.text)")
            exit(1)
        }
        print("seed \(seed): fine, \(result.requests) requests")
    }
}

struct Options {
    var runs = 1000
    var seed: UInt64 = 1
    var seconds: Int64 = 3600
    var salt: UInt64 = 0
    var steps: [Int]?
    /// Goes on after a failure and counts each kind.
    var isCounting = false

    init(_ arguments: [String]) {
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            switch name {
            case "--runs": runs = rest.popFirst().flatMap { Int($0) } ?? runs
            case "--seed": seed = rest.popFirst().flatMap { UInt64($0) } ?? seed
            case "--seconds": seconds = rest.popFirst().flatMap { Int64($0) } ?? seconds
            case "--salt": salt = rest.popFirst().flatMap { UInt64($0) } ?? salt
            case "--steps": steps = (rest.popFirst() ?? "").split(separator: ",").compactMap { Int($0) }
            case "--count": isCounting = true
            default: print("simulate: \(name) is not known")
            }
        }
    }
}
