/// A record's place on one list. A record has one for each list that it can be on.
public struct ListLinks<Element> {
    /// The element before it; only while it is on the list.
    var previous: UnsafeMutablePointer<Element>?
    /// The element behind it; only while it is on the list.
    var next: UnsafeMutablePointer<Element>?
    /// Whether it is on the list.
    public internal(set) var isLinked = false

    /// On no list.
    @inline(__always)
    public init() {}
}

/// Which of a record's links a kind of list goes through. One kind of list, one place.
public protocol ListPlace {
    /// The record.
    associatedtype Element

    /// Where the links stand in a record.
    static func links(_ element: UnsafeMutablePointer<Element>) -> UnsafeMutablePointer<ListLinks<Element>>
}

/// A list through its elements: no memory of its own, and an element leaves it from wherever it stands. Plain bits, for one thread;
/// elements stay where they are in memory.
///
/// An element is on at most one list of a kind: putting it on a second one, or twice, ends the process.
public struct LinkedList<Place: ListPlace> {
    /// The element that came last.
    public private(set) var first: UnsafeMutablePointer<Place.Element>?

    /// An empty list.
    @inline(__always)
    public init() {}

    /// A list whose first element is kept elsewhere; that place must be given `first` after each change.
    @inline(__always)
    public init(first: UnsafeMutablePointer<Place.Element>?) { self.first = first }

    /// Puts an element at the front.
    @inline(__always)
    public mutating func insert(_ element: UnsafeMutablePointer<Place.Element>) {
        let links = Place.links(element)
        precondition(!links.pointee.isLinked)
        links.pointee.isLinked = true
        links.pointee.previous = nil
        links.pointee.next = first
        if let first { Place.links(first).pointee.previous = element }
        first = element
    }

    /// Takes an element out; nothing happens when it is not on the list.
    @inline(__always)
    public mutating func remove(_ element: UnsafeMutablePointer<Place.Element>) {
        let links = Place.links(element)
        guard links.pointee.isLinked else { return }
        let (previous, next) = (links.pointee.previous, links.pointee.next)
        if let previous { Place.links(previous).pointee.next = next } else { first = next }
        if let next { Place.links(next).pointee.previous = previous }
        links.pointee.isLinked = false
    }

    /// Takes the first element out; nil when there is none.
    @inline(__always)
    public mutating func popFirst() -> UnsafeMutablePointer<Place.Element>? {
        guard let element = first else { return nil }
        remove(element)
        return element
    }

    /// The element behind another.
    @inline(__always)
    public func next(after element: UnsafeMutablePointer<Place.Element>) -> UnsafeMutablePointer<Place.Element>? {
        Place.links(element).pointee.next
    }
}
