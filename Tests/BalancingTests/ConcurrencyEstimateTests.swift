import Balancing
import Testing

@Suite("A limit for requests in flight that is found from how long answers take")
struct ConcurrencyEstimateTests {
    /// A service that answers so many requests at a time in its best time; more of them only wait for each other.
    private struct Service {
        var capacity: Int
        var best: Int64 = 20_000_000

        func latency(_ active: Int) -> Int64 { best * Int64(max(active, capacity)) / Int64(capacity) }
    }

    /// Clients that want `demand` requests in flight, for a time in seconds. Returns the limits of the last ten seconds.
    private func run(
        _ estimate: inout ConcurrencyEstimate, _ service: Service, demand: Int, seconds: Int64, from start: Int64 = 0
    ) -> [Int] {
        var (now, limits) = (start, [Int]())
        while now < start + seconds * 1_000_000_000 {
            let active = min(demand, estimate.limit)
            now += estimate.note(average: service.latency(active), peak: active, now: now)
            if now > start + (seconds - 10) * 1_000_000_000 { limits.append(estimate.limit) }
        }
        return limits
    }

    @Test(
        "It stays between what the hosts can do at a time and a good two times that, for hours",
        arguments: [5, 40, 700])
    func overload(capacity: Int) throws {
        var estimate = ConcurrencyEstimate()
        let service = Service(capacity: capacity)
        for seconds in [20, 60, 3600] as [Int64] {
            let limits = run(&estimate, service, demand: 100_000, seconds: seconds)
            let inForce = limits.sorted()[limits.count / 2]
            #expect((capacity...capacity * 5 / 2 + 4).contains(inForce), "\(inForce) after \(seconds) s")
        }
    }

    @Test("It follows hosts that become slower, faster, fewer or more")
    func changes() {
        var estimate = ConcurrencyEstimate()
        var now: Int64 = 0
        for service in [
            Service(capacity: 50), Service(capacity: 50, best: 80_000_000), Service(capacity: 10),
            Service(capacity: 200),
        ] {
            let limits = run(&estimate, service, demand: 100_000, seconds: 90, from: now)
            now += 90_000_000_000
            let inForce = limits.sorted()[limits.count / 2]
            #expect((service.capacity...service.capacity * 5 / 2 + 4).contains(inForce), "\(inForce) for \(service)")
        }
    }

    @Test("What nobody makes use of does not grow, and few requests are never refused")
    func idle() {
        var estimate = ConcurrencyEstimate()
        let limits = run(&estimate, Service(capacity: 1000), demand: 10, seconds: 600)
        #expect(limits.allSatisfy { $0 == ConcurrencyEstimate.first })
        var stuck = ConcurrencyEstimate()
        _ = run(&stuck, Service(capacity: 1, best: 10_000_000_000), demand: 1_000, seconds: 600)
        #expect(stuck.limit >= ConcurrencyEstimate.least)
    }

    @Test("Extreme numbers are harmless")
    func extremes() {
        var estimate = ConcurrencyEstimate()
        for (average, peak) in [
            (Int64.max, Int.max), (Int64.min, Int.min), (0, 0), (1, Int.max), (Int64.max, 0), (-1, -1),
        ] {
            for now in [0, 1, Int64.max / 2] as [Int64] {
                #expect(estimate.note(average: average, peak: peak, now: now) > 0)
                #expect((ConcurrencyEstimate.least...ConcurrencyEstimate.most).contains(estimate.limit))
            }
        }
    }
}
