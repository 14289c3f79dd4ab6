/// A queue in which taking from the front does not move the rest.
struct Fifo<Element> {
    /// Nil where one was taken out: what it holds must not wait until the places are given back.
    private var items: [Element?] = []
    private var first = 0

    init() {}

    var isEmpty: Bool { first == items.count }
    var count: Int { items.count - first }
    var front: Element? { isEmpty ? nil : items[first] }

    mutating func append(_ item: Element) { items.append(item) }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let item = items[first].take()
        first += 1
        if first == items.count {
            items.removeAll(keepingCapacity: first <= 1024)
            first = 0
        } else if first > 64 && 2 * first > items.count {
            items.removeFirst(first)
            first = 0
        }
        return item
    }
}
