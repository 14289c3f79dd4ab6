import Runtime

/// Counters of one service in one worker. Labels are those of the service's label table.
struct ServiceMetrics: ~Copyable {
    /// Upper bounds of the duration buckets are 0.5 ms, 1 ms, 2 ms … 8.192 s, then infinity.
    static let bucketCount = 16
    private static let codeCapacity = 32

    struct CodeCount {
        var code: Int32
        var count: UInt64
    }

    /// Requests that one version served.
    struct Version {
        let label: Int32
        var codeCount: Int32 = 0
        let codes: UnsafeMutablePointer<CodeCount>
        let buckets: UnsafeMutablePointer<UInt64>
        var nanoseconds: UInt64 = 0
    }

    /// Requests by what they asked for and what they got.
    struct Route {
        let wished: Int32
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

    init() {
        versions = .allocate(capacity: 1)
        routes = .allocate(capacity: 1)
    }

    deinit {
        for index in 0..<versionCount {
            versions[index].codes.deallocate()
            versions[index].buckets.deallocate()
        }
        versions.deallocate()
        routes.deallocate()
    }

    /// Counts a request that has ended.
    @inline(__always)
    mutating func count(wished: Int32, served: Int32, code: Int32, nanoseconds: Int64) {
        countRoute(wished: wished, served: served)
        let version = find(served)
        countCode(code, in: version)
        let taken = UInt64(max(0, nanoseconds))
        version.pointee.nanoseconds &+= taken
        let steps = (taken &+ 499_999) / 500_000
        let bucket = steps <= 1 ? 0 : 64 - (steps - 1).leadingZeroBitCount
        version.pointee.buckets[min(bucket, Self.bucketCount - 1)] &+= 1
    }

    @inline(__always)
    private mutating func countRoute(wished: Int32, served: Int32) {
        for index in 0..<routeCount where routes[index].served == served && routes[index].wished == wished {
            routes[index].count &+= 1
            return
        }
        addRoute(Route(wished: wished, served: served, count: 1))
    }

    @inline(__always)
    private mutating func find(_ label: Int32) -> UnsafeMutablePointer<Version> {
        for index in 0..<versionCount where versions[index].label == label { return versions + index }
        return addVersion(label)
    }

    @inline(__always)
    private func countCode(_ code: Int32, in version: UnsafeMutablePointer<Version>) {
        for index in 0..<Int(version.pointee.codeCount) where version.pointee.codes[index].code == code {
            version.pointee.codes[index].count &+= 1
            return
        }
        let index = Int(version.pointee.codeCount)
        if index < Self.codeCapacity {
            version.pointee.codes[index] = CodeCount(code: code, count: 1)
            version.pointee.codeCount += 1
        } else {
            version.pointee.codes[index - 1].count &+= 1
        }
    }

    private mutating func addVersion(_ label: Int32) -> UnsafeMutablePointer<Version> {
        if versionCount == versionRoom { versions = Self.grow(versions, count: versionCount, room: &versionRoom) }
        let buckets = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.bucketCount)
        buckets.initialize(repeating: 0, count: Self.bucketCount)
        let version = Version(label: label, codes: .allocate(capacity: Self.codeCapacity), buckets: buckets)
        (versions + versionCount).initialize(to: version)
        versionCount += 1
        return versions + versionCount - 1
    }

    private mutating func addRoute(_ route: Route) {
        if routeCount == routeRoom { routes = Self.grow(routes, count: routeCount, room: &routeRoom) }
        (routes + routeCount).initialize(to: route)
        routeCount += 1
    }

    private static func grow<Item: BitwiseCopyable>(
        _ items: UnsafeMutablePointer<Item>, count: Int, room: inout Int
    ) -> UnsafeMutablePointer<Item> {
        room = max(4, room * 2)
        let larger = UnsafeMutablePointer<Item>.allocate(capacity: room)
        larger.update(from: items, count: count)
        items.deallocate()
        return larger
    }
}
