/// As `LinkedList`, in the order in which elements came.
public struct LinkedQueue<Place: ListPlace> {
    /// The element that came first.
    public private(set) var first: UnsafeMutablePointer<Place.Element>?
    private var last: UnsafeMutablePointer<Place.Element>?

    /// An empty queue.
    @inline(__always)
    public init() {}

    /// Puts an element at the end.
    @inline(__always)
    public mutating func append(_ element: UnsafeMutablePointer<Place.Element>) {
        let links = Place.links(element)
        precondition(!links.pointee.isLinked)
        links.pointee.isLinked = true
        links.pointee.previous = last
        links.pointee.next = nil
        if let last { Place.links(last).pointee.next = element } else { first = element }
        last = element
    }

    /// Puts an element at the front.
    @inline(__always)
    public mutating func prepend(_ element: UnsafeMutablePointer<Place.Element>) {
        let links = Place.links(element)
        precondition(!links.pointee.isLinked)
        links.pointee.isLinked = true
        links.pointee.previous = nil
        links.pointee.next = first
        if let first { Place.links(first).pointee.previous = element } else { last = element }
        first = element
    }

    /// Takes an element out; nothing happens when it is not in the queue.
    @inline(__always)
    public mutating func remove(_ element: UnsafeMutablePointer<Place.Element>) {
        let links = Place.links(element)
        guard links.pointee.isLinked else { return }
        let (previous, next) = (links.pointee.previous, links.pointee.next)
        if let previous { Place.links(previous).pointee.next = next } else { first = next }
        if let next { Place.links(next).pointee.previous = previous } else { last = previous }
        links.pointee.isLinked = false
    }

    /// The element behind one that is in the queue; nil: it is the last one.
    @inline(__always)
    public func next(after element: UnsafeMutablePointer<Place.Element>) -> UnsafeMutablePointer<Place.Element>? {
        Place.links(element).pointee.next
    }

    /// Takes the first element out; nil when there is none.
    @inline(__always)
    public mutating func popFirst() -> UnsafeMutablePointer<Place.Element>? {
        guard let element = first else { return nil }
        remove(element)
        return element
    }
}
