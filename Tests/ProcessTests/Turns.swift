import Synchronization
import TestSupport

/// Where the scripts of several hosts wait until the test lets all of them go on.
final class Turns: Sendable {
    private let state = Mutex((entered: 0, isOpen: false))

    /// How many have come.
    var entered: Int { state.withLock(\.entered) }
    /// How many wait now.
    var waiting: Int { state.withLock { $0.isOpen ? 0 : $0.entered } }

    func enter() {
        state.withLock { $0.entered += 1 }
        _ = waitUntil(within: .seconds(20)) { state.withLock(\.isOpen) }
    }

    func release() { state.withLock { $0.isOpen = true } }
}
