import Balancing
import Testing

@testable import Proxy

@Suite struct ServiceMetricsTests {
    @Test func everyCodeHasItsOwnCounter() {
        var metrics = ServiceMetrics()
        for code in 200..<600 as Range<Int32> {
            for _ in 0..<Int(code % 3) + 1 { metrics.count(requested: -1, served: 1, code: code, nanoseconds: 1) }
        }
        let version = metrics.versions[0]
        #expect(version.codeCount == 400)
        for index in 0..<version.codeCount {
            #expect(version.codes[index].count == UInt64(version.codes[index].code % 3) + 1)
        }
    }

    @Test func everyReasonOfARefusalHasItsOwnCounter() {
        var metrics = ServiceMetrics()
        for reason in RefusalReason.allCases { metrics.countRefusal(1, reason) }
        let counted = metrics.versions[0].refusals
        #expect(counted.indices.map { counted[$0] } == RefusalReason.allCases.map { _ in 1 })
    }

    @Test func whatIsCountedForGoneVersionsIsSummedUp() {
        var labels = LabelTable()
        var metrics = ServiceMetrics()
        var requests: UInt64 = 0
        for build in 0..<1000 {
            let number = Int32(labels.intern("build-\(build)"))
            metrics.count(requested: number, served: number, code: 200, nanoseconds: 1000)
            metrics.count(requested: -1, served: number, code: Int32(200 + build % 50), nanoseconds: 1000)
            requests += 2
            if labels.settle() { metrics.fold(keeping: labels) }
            #expect(metrics.versionCount <= LabelTable.spare + 2)
            #expect(metrics.routeCount <= 2 * (LabelTable.spare + 2))
        }
        let versions = (0..<metrics.versionCount).map { metrics.versions[$0] }
        #expect(versions.contains { $0.label == ServiceMetrics.other })
        #expect(versions.reduce(0) { $0 + $1.nanoseconds } == requests * 1000)
        #expect((0..<metrics.routeCount).reduce(0) { $0 + metrics.routes[$1].count } == requests)
        let codes = versions.flatMap { version in (0..<version.codeCount).map { version.codes[$0].count } }
        #expect(codes.reduce(0, +) == requests)
        let buckets = versions.flatMap { version in (0..<ServiceMetrics.bucketCount).map { version.buckets[$0] } }
        #expect(buckets.reduce(0, +) == requests)
    }
}
