import Glibc
import Runtime

/// The command `call`: sends traffic, checks every answer, and tells who answered.
enum CallCommand {
    private static let values: Set<String> = [
        "target", "service", "path", "interface", "version", "group", "unique-id", "method", "header", "count", "rate",
        "seconds",
        "connections", "concurrency", "timeout-ms", "expect", "tolerance",
    ]

    /// Returns the exit status: 1 when a call failed or a share is not as expected.
    static func run(_ words: [String]) throws -> Int32 {
        let kinds = ["http": http, "dubbo": dubbo, "bolt": bolt]
        guard let kind = words.first, let makeCaller = kinds[kind] else {
            throw UsageError(description: "call what? http, dubbo or bolt")
        }
        let options = try Options(Array(words.dropFirst()), values: values, flags: ["json"])
        let expected = try expectations(options)
        let loop = try EventLoop()
        let caller = try makeCaller(options, loop)
        defer { caller.close() }
        var pace = Run.Pace(
            count: try options.number("count", in: 1...100_000_000),
            time: try options.decimal("seconds").map { .nanoseconds(Int64(min($0, 1e9) * 1e9)) },
            rate: try options.decimal("rate"))
        if pace.count == nil && pace.time == nil { pace.count = 1 }
        let run = Run(loop: loop, caller: caller, pace: pace)
        try Signals.watch([SIGTERM, SIGINT], on: loop) { _ in run.stop() }
        run.run()
        print(options.has("json") ? run.tally.json : run.tally.table, terminator: "")
        let surprises = try surprises(run.tally, expected, tolerance: try options.decimal("tolerance") ?? 5)
        for surprise in surprises { print("UNEXPECTED \(surprise)") }
        fflush(nil)
        return run.tally.failed == 0 && run.tally.answered > 0 && surprises.isEmpty ? 0 : 1
    }

    private static func http(_ options: Options, _ loop: EventLoop) throws -> any Caller {
        let target = try options.required("target")
        let service = options.text("service")
        return HTTPCaller(
            loop: loop, address: try Addresses.resolve(target), connections: try connections(options),
            timeout: try timeout(options),
            plan: HTTPCaller.Plan(
                host: service ?? target, service: service, path: options.text("path") ?? "/",
                headers: try options.pairs("header")))
    }

    private static func dubbo(_ options: Options, _ loop: EventLoop) throws -> any Caller {
        let (interface, version) = (try options.required("interface"), options.text("version") ?? "")
        let (group, method) = (options.text("group") ?? "", options.text("method") ?? "say")
        let attachments = Dictionary(try options.pairs("header").map { ($0.key, $0.value) }) { $1 }
        return try framed(options, loop) { number, argument in
            let invocation = DubboInvocation(
                path: interface, version: version, group: group, method: method, argument: argument,
                attachments: attachments)
            return DubboFrame(request: number, body: invocation.body)
        }
    }

    private static func bolt(_ options: Options, _ loop: EventLoop) throws -> any Caller {
        let service = SofaCall.uniqueName(
            try options.required("interface"), version: options.text("version") ?? "",
            uniqueID: options.text("unique-id") ?? "")
        let (method, headers) = (options.text("method") ?? "say", try options.pairs("header"))
        let timeout = Int32(try milliseconds(options))
        return try framed(options, loop) { number, argument in
            SofaCall(
                service: service, method: method, argument: argument, headers: headers, timeout: timeout
            ).frame(UInt32(truncatingIfNeeded: number))
        }
    }

    private static func framed<Frame: CallFrame>(
        _ options: Options, _ loop: EventLoop, request: @escaping (_ number: Int64, _ argument: String) -> Frame
    ) throws -> FramedCaller<Frame> {
        let connections = try connections(options)
        return FramedCaller(
            loop: loop, address: try Addresses.resolve(try options.required("target")), connections: connections,
            concurrency: try options.number("concurrency", in: 1...100_000) ?? connections * 8,
            timeout: try timeout(options), request: request)
    }

    private static func connections(_ options: Options) throws -> Int {
        try options.number("connections", in: 1...10_000) ?? 4
    }

    private static func timeout(_ options: Options) throws -> Duration { .milliseconds(try milliseconds(options)) }

    /// How long one call may take.
    private static func milliseconds(_ options: Options) throws -> Int {
        try options.number("timeout-ms", in: 1...600_000) ?? 5000
    }

    // MARK: Expectations

    private static func expectations(_ options: Options) throws -> [(version: String, percent: Double)] {
        try options.pairs("expect").map { pair in
            guard let percent = Double(pair.value), (0...100).contains(percent) else {
                throw UsageError(description: "--expect is VERSION=PERCENT, not '\(pair.key)=\(pair.value)'")
            }
            return (pair.key, percent)
        }
    }

    /// What of the shares is not as expected. 0 and 100 are meant exactly: a tolerance is for what chance decides.
    private static func surprises(
        _ tally: Tally, _ expected: [(version: String, percent: Double)], tolerance: Double
    ) throws -> [String] {
        expected.compactMap { version, percent in
            let share = tally.share(of: version)
            let allowed = percent == 0 || percent == 100 ? 0 : tolerance
            if abs(share - percent) <= allowed { return nil }
            return "version \(version) answered \(Tally.decimal(share))%, expected \(Tally.decimal(percent))%"
        }
    }
}
