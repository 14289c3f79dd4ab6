import Testing

@testable import Discovery

@Suite struct FifoTests {
    private final class Item {
        let number: Int

        init(_ number: Int) { self.number = number }
    }

    @Test func whatWasTakenOutIsNotKept() {
        var queue = Fifo<Item>()
        for number in 0..<3 { queue.append(Item(number)) }
        weak let first = queue.front
        #expect(first != nil)
        #expect(queue.popFirst()?.number == 0)
        #expect(first == nil)
        #expect(queue.count == 2)
    }

    @Test func orderIsKeptOverManyItems() {
        var queue = Fifo<Int>()
        var next = 0
        for round in 0..<1000 {
            queue.append(2 * round)
            queue.append(2 * round + 1)
            #expect(queue.front == next)
            #expect(queue.popFirst() == next)
            next += 1
        }
        while let number = queue.popFirst() {
            #expect(number == next)
            next += 1
        }
        #expect(next == 2000 && queue.isEmpty && queue.front == nil)
    }
}
