import Runtime
import Testing

@Suite("A list through its elements")
struct LinkedListTests {
    private struct Record {
        var number: Int
        var one = ListLinks<Record>()
        var other = ListLinks<Record>()
    }

    private enum OnePlace: ListPlace {
        static func links(_ element: UnsafeMutablePointer<Record>) -> UnsafeMutablePointer<ListLinks<Record>> {
            let offset = MemoryLayout<Record>.offset(of: \.one)!
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<Record>.self)
        }
    }

    private enum OtherPlace: ListPlace {
        static func links(_ element: UnsafeMutablePointer<Record>) -> UnsafeMutablePointer<ListLinks<Record>> {
            let offset = MemoryLayout<Record>.offset(of: \.other)!
            return (UnsafeMutableRawPointer(element) + offset).assumingMemoryBound(to: ListLinks<Record>.self)
        }
    }

    private func records(_ count: Int) -> UnsafeMutablePointer<Record> {
        let memory = UnsafeMutablePointer<Record>.allocate(capacity: count)
        for number in 0..<count { (memory + number).initialize(to: Record(number: number)) }
        return memory
    }

    private func numbers<Place: ListPlace>(_ list: LinkedList<Place>) -> [Int] where Place.Element == Record {
        var (numbers, item): ([Int], UnsafeMutablePointer<Record>?) = ([], list.first)
        while let element = item {
            numbers.append(element.pointee.number)
            item = list.next(after: element)
        }
        return numbers
    }

    @Test("Elements leave from wherever they stand, and the other list that they are on does not notice")
    func twoLists() {
        let records = records(4)
        defer { records.deallocate() }
        var one = LinkedList<OnePlace>()
        var other = LinkedList<OtherPlace>()
        for number in 0..<4 {
            one.insert(records + number)
            other.insert(records + (3 - number))
        }
        one.remove(records + 2)
        one.remove(records + 3)
        #expect(numbers(one) == [1, 0])
        #expect(numbers(other) == [0, 1, 2, 3])
        one.remove(records + 0)
        one.remove(records + 2)
        #expect(numbers(one) == [1])
        #expect(records[1].one.isLinked && !records[2].one.isLinked && records[2].other.isLinked)
        one.insert(records + 2)
        #expect(numbers(one) == [2, 1])
    }

    @Test("The first element is taken out until there is none")
    func popping() {
        let records = records(3)
        defer { records.deallocate() }
        var list = LinkedList<OnePlace>()
        for number in 0..<3 { list.insert(records + number) }
        var taken: [Int] = []
        while let element = list.popFirst() { taken.append(element.pointee.number) }
        #expect(taken == [2, 1, 0] && list.first == nil)
        #expect(!(0..<3).contains { records[$0].one.isLinked })
    }

    @Test("Random changes leave what a plain array would hold")
    func random() {
        let records = records(8)
        defer { records.deallocate() }
        var list = LinkedList<OnePlace>()
        var expected: [Int] = []
        var state: UInt64 = 11
        for _ in 0..<5000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let number = Int(state >> 61)
            if records[number].one.isLinked {
                list.remove(records + number)
                expected.removeAll { $0 == number }
            } else {
                list.insert(records + number)
                expected.insert(number, at: 0)
            }
            #expect(numbers(list) == expected)
        }
    }
}
