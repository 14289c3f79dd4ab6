import Balancing
import Model
import Runtime

/// Counters of one service in one worker. Labels are those of the service's label table.
struct ServiceMetrics: ~Copyable {
    /// Upper bounds of the duration buckets are 0.5 ms, 1 ms, 2 ms … 8.192 s, then infinity.
    static let bucketCount = 16

    struct CodeCount {
        var code: Int32
        var count: UInt64
    }

    /// Requests that one version served.
    struct Version {
        let label: Int32
        /// By HTTP or Dubbo status: at most as many as there are statuses.
        private(set) var codes: UnsafeMutablePointer<CodeCount>
        private(set) var codeCount = 0
        private var codeRoom = 0
        let buckets: UnsafeMutablePointer<UInt64>
        var nanoseconds: UInt64 = 0
        /// What was refused, by the raw values of `RefusalReason`: further tries are among it.
        private(set) var refusals = InlineArray<6, UInt64>(repeating: 0)

        /// What was done on purpose, by the raw values of `FaultKind`.
        private(set) var faults = InlineArray<2, UInt64>(repeating: 0)

        /// What has become of copies that were meant for it, by the raw values of `MirrorResult`.
        private(set) var copies = InlineArray<5, UInt64>(repeating: 0)

        fileprivate init(label: Int32) {
            self.label = label
            codes = .allocate(capacity: 1)
            buckets = .allocate(capacity: ServiceMetrics.bucketCount)
            buckets.initialize(repeating: 0, count: ServiceMetrics.bucketCount)
        }

        fileprivate func free() {
            codes.deallocate()
            buckets.deallocate()
        }

        @inline(__always)
        fileprivate mutating func count(code: Int32, _ count: UInt64) {
            for index in 0..<codeCount where codes[index].code == code {
                codes[index].count &+= count
                return
            }
            addCode(CodeCount(code: code, count: count))
        }

        private mutating func addCode(_ code: CodeCount) {
            if codeCount == codeRoom { codes = ServiceMetrics.grow(codes, count: codeCount, room: &codeRoom) }
            (codes + codeCount).initialize(to: code)
            codeCount += 1
        }

        fileprivate mutating func add(_ other: Version) {
            for index in 0..<other.codeCount { count(code: other.codes[index].code, other.codes[index].count) }
            for index in 0..<ServiceMetrics.bucketCount { buckets[index] &+= other.buckets[index] }
            nanoseconds &+= other.nanoseconds
            for index in refusals.indices { refusals[index] &+= other.refusals[index] }
            for index in faults.indices { faults[index] &+= other.faults[index] }
            for index in copies.indices { copies[index] &+= other.copies[index] }
        }

        fileprivate mutating func count(_ reason: RefusalReason) { refusals[reason.rawValue] &+= 1 }

        fileprivate mutating func count(_ fault: FaultKind) { faults[fault.rawValue] &+= 1 }

        fileprivate mutating func count(_ result: MirrorResult) { copies[result.rawValue] &+= 1 }
    }

    /// Requests by what they asked for and what they got.
    struct Route {
        let requested: Int32
        let served: Int32
        var count: UInt64
    }

    private(set) var versions: UnsafeMutablePointer<Version>
    private(set) var versionCount = 0
    private var versionRoom = 0
    private(set) var routes: UnsafeMutablePointer<Route>
    private(set) var routeCount = 0
    private var routeRoom = 0

    /// Requests that no version served (refused or failed before) are counted under this label.
    static let nobody: Int32 = -1
    /// Versions that no host ever had, and those that have long gone.
    static let other: Int32 = -2

    init() {
        versions = .allocate(capacity: 1)
        routes = .allocate(capacity: 1)
    }

    deinit {
        for index in 0..<versionCount { versions[index].free() }
        versions.deallocate()
        routes.deallocate()
    }

    /// Counts a request that has ended.
    @inline(__always)
    mutating func count(requested: Int32, served: Int32, code: Int32, nanoseconds: Int64) {
        countRoute(requested: requested, served: served, 1)
        let version = find(served)
        version.pointee.count(code: code, 1)
        let taken = UInt64(max(0, nanoseconds))
        version.pointee.nanoseconds &+= taken
        let steps = (taken &+ 499_999) / 500_000
        let bucket = steps <= 1 ? 0 : 64 - (steps - 1).leadingZeroBitCount
        version.pointee.buckets[min(bucket, Self.bucketCount - 1)] &+= 1
    }

    /// Counts what a limit has refused.
    ///
    /// - Parameter version: the one that would have served.
    mutating func countRefusal(_ version: Int32, _ reason: RefusalReason) { find(version).pointee.count(reason) }

    /// Counts what was done to a request on purpose.
    mutating func count(_ fault: FaultKind, _ version: Int32) { find(version).pointee.count(fault) }

    /// Counts what has become of a copy that was meant for a version.
    mutating func count(_ result: MirrorResult, _ version: Int32) { find(version).pointee.count(result) }

    /// Puts what was counted for labels that are not in the table any more under `other`.
    mutating func fold(keeping labels: borrowing LabelTable) {
        func folded(_ label: Int32, _ labels: borrowing LabelTable) -> Int32 {
            label < 0 || labels.contains(Int(label)) ? label : Self.other
        }
        var old = ServiceMetrics()
        swap(&self, &old)
        for index in 0..<old.routeCount {
            let route = old.routes[index]
            countRoute(requested: folded(route.requested, labels), served: folded(route.served, labels), route.count)
        }
        for index in 0..<old.versionCount {
            find(folded(old.versions[index].label, labels)).pointee.add(old.versions[index])
        }
    }

    @inline(__always)
    private mutating func countRoute(requested: Int32, served: Int32, _ count: UInt64) {
        for index in 0..<routeCount where routes[index].served == served && routes[index].requested == requested {
            routes[index].count &+= count
            return
        }
        addRoute(Route(requested: requested, served: served, count: count))
    }

    @inline(__always)
    private mutating func find(_ label: Int32) -> UnsafeMutablePointer<Version> {
        for index in 0..<versionCount where versions[index].label == label { return versions + index }
        return addVersion(label)
    }

    private mutating func addVersion(_ label: Int32) -> UnsafeMutablePointer<Version> {
        if versionCount == versionRoom { versions = Self.grow(versions, count: versionCount, room: &versionRoom) }
        (versions + versionCount).initialize(to: Version(label: label))
        versionCount += 1
        return versions + versionCount - 1
    }

    private mutating func addRoute(_ route: Route) {
        if routeCount == routeRoom { routes = Self.grow(routes, count: routeCount, room: &routeRoom) }
        (routes + routeCount).initialize(to: route)
        routeCount += 1
    }

    fileprivate static func grow<Item: BitwiseCopyable>(
        _ items: UnsafeMutablePointer<Item>, count: Int, room: inout Int
    ) -> UnsafeMutablePointer<Item> {
        room = max(4, room * 2)
        let larger = UnsafeMutablePointer<Item>.allocate(capacity: room)
        larger.update(from: items, count: count)
        items.deallocate()
        return larger
    }
}

/// Counters of requests for names that no registry lists.
struct UnlistedMetrics: ~Copyable {
    private(set) var http = ServiceMetrics()
    private(set) var dubbo = ServiceMetrics()
    private(set) var bolt = ServiceMetrics()

    mutating func count(_ kind: ServiceKey.Kind, requested: Int32, code: Int32, nanoseconds: Int64) {
        let nobody = ServiceMetrics.nobody
        switch kind {
        case .http: http.count(requested: requested, served: nobody, code: code, nanoseconds: nanoseconds)
        case .dubbo: dubbo.count(requested: requested, served: nobody, code: code, nanoseconds: nanoseconds)
        case .bolt: bolt.count(requested: requested, served: nobody, code: code, nanoseconds: nanoseconds)
        }
    }
}
