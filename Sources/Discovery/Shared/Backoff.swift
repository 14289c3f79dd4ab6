/// Growing waits between attempts, spread by chance so that a fleet does not come back in step.
struct Backoff: Equatable {
    /// Around what the first wait lies.
    var first: Duration = .milliseconds(500)
    /// What no wait exceeds.
    var cap: Duration = .seconds(30)
    /// Failures since the last success.
    private(set) var failures = 0

    init(first: Duration = .milliseconds(500), cap: Duration = .seconds(30)) {
        self.first = first
        self.cap = cap
    }

    /// The next attempt may follow at once again.
    mutating func succeeded() { failures = 0 }

    /// Counts a failure and returns how long to wait: half to all of `first` doubled with each failure.
    mutating func failed() -> Duration {
        failures += 1
        let doublings = min(failures - 1, 20)
        let limit = min(cap, first * (1 << doublings))
        return limit * Double.random(in: 0.5...1)
    }
}

extension Duration {
    /// This duration, 10 % less to 10 % more.
    var jittered: Duration { self * Double.random(in: 0.9...1.1) }
}
