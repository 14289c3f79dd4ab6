import Runtime

/// A place and how far it is known.
final class EtcdFollower {
    var folder: EtcdFolder
    var users = 1
    var needsRead = true
    /// It was asked for again while it was being read.
    var isWantedAgain = false
    var isQueued = false
    var isUnderWay = false
    /// Where the next page begins.
    var next: [UInt8]?
    /// That page waits to be asked for.
    var isPageDue = false
    /// Its span is watched by itself: the user may not watch the whole root.
    var isAlone = false
    var isRefused = false
    /// The next read is not held to the client's rate: there is news to be read.
    var isFree = true
    /// History was gone while it was read.
    var hasRestarted = false
    var pageSize: Int
    var failure: String?
    var backoff = Backoff(first: .seconds(2), cap: .seconds(60))
    var retry: EventLoop.Timer?

    init(_ place: EtcdPlace, pageSize: Int) {
        folder = EtcdFolder(place)
        self.pageSize = pageSize
    }
}
