import Configuration
import Runtime

/// Decides from checks, one after the other, whether an application is to be listed.
///
/// The first good check lists it; so many failed ones in a row take it out. One that comes back has to stay well for a while
/// first, longer each time it was taken out: consumers suffer more from a host that comes and goes than from one that is missing.
struct HealthGate: Equatable {
    /// Whether the application is to be listed.
    private(set) var isUp: Bool
    /// True when one check has ended, or none is needed.
    private(set) var isKnown = false
    /// Failed checks in a row.
    private(set) var failures = 0
    /// How often it was taken out of late.
    private(set) var falls = 0

    private let limit: Int
    private let interval: Int64
    private var goodSince: Int64?
    private var upSince: Int64?

    /// The longest time that an application has to stay well.
    private static let longestTrial: Int64 = 120_000_000_000
    /// After so many intervals in the registries nothing is held against it any more.
    private static let amnesty: Int64 = 60

    /// - Parameter startsUp: it is listed already.
    init(_ settings: HealthCheckConfiguration, startsUp: Bool = false) {
        limit = max(1, settings.failures)
        interval = settings.interval.nanoseconds
        isUp = startsUp
    }

    /// How long it has to stay well before it is listed.
    var trial: Duration {
        if falls == 0 { return .zero }
        let (long, overflow) = interval.multipliedReportingOverflow(by: 1 << min(falls - 1, 20))
        return .nanoseconds(overflow ? max(Self.longestTrial, interval) : min(long, max(Self.longestTrial, interval)))
    }

    /// A check was good. `now` is in monotonic nanoseconds.
    mutating func succeeded(at now: Int64) {
        isKnown = true
        failures = 0
        let since = goodSince ?? now
        goodSince = since
        if isUp {
            upSince = upSince ?? now
            if let upSince, (now - upSince) / Self.amnesty >= interval { falls = 0 }
        } else if now - since >= trial.nanoseconds {
            isUp = true
            upSince = now
        }
    }

    /// A check has failed.
    mutating func failed(at now: Int64) {
        isKnown = true
        goodSince = nil
        failures += 1
        guard isUp, failures >= limit else { return }
        isUp = false
        upSince = nil
        falls += 1
    }
}
