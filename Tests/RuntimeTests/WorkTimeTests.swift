import Runtime
import Testing

@Suite struct WorkTimeTests {
    @Test func countsByDuration() {
        var time = WorkTime()
        for nanoseconds in [0, 100_000, 100_001, 1_000_000, 1_000_001, 10_000_000, 10_000_001, Int64.max / 2] {
            time.add(nanoseconds: nanoseconds)
        }
        #expect(time.buckets == [2, 1, 0, 1, 1, 0, 1, 2])
        #expect(time.count == 8)
        #expect(time.longest == .max / 2)
        var sum = WorkTime()
        sum.add(nanoseconds: 300_000)
        sum.add(time)
        #expect(sum.buckets == [2, 1, 1, 1, 1, 0, 1, 2])
        #expect(sum.nanoseconds == time.nanoseconds + 300_000)
        #expect(sum.longest == time.longest)
    }
}
