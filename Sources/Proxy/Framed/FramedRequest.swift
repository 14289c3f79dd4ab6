import Balancing
import Runtime

/// A request in flight: what is needed to answer it, to send it again, and to count it.
struct FramedRequest {
    /// First: a timer's address is its record's. Ends waiting for the registries or for the answer.
    var timer: WheelTimer
    /// It is on its service's list of requests that wait for the registries.
    var isWaiting: Bool { waiting.isLinked }
    /// A one-way request is never answered, not even with an error.
    var isTwoWay = true
    /// It says itself how long it may take.
    var hasOwnTimeout = false
    var form = FrameForm()
    /// The id that hosts see: finds the record again, and tells which use of it this is.
    var upstreamID: UInt64
    /// The id that the downstream has chosen.
    var downstreamID: UInt64 = 0
    var state = RequestState()
    /// Where it counts for limits.
    var limits = RequestLimits()
    /// Who waits for the answer; nil for one-way requests.
    var downstream: UnsafeMutablePointer<FramedDownstream>?
    /// Whom it comes from where nobody waits for the answer.
    var client = SocketAddress(ipv4: 0, port: 0)
    /// Where the request is; nil while it waits for the registries.
    var upstream: UnsafeMutablePointer<FramedUpstream>?
    /// The other try of a request that two hosts have: this record's is the first one, or the second one.
    var partner: UnsafeMutablePointer<FramedRequest>?
    /// It is the second try of its partner, and no more: no downstream knows it.
    var isHedge = false
    /// Label of the interface version in `frame`, and in what was sent last.
    var frameVersion = 0
    var sentVersion = 0
    /// Hosts may have to be told another group or path than the request names, as the terms say, which are not set otherwise.
    var isAdapted = false
    var frameTerms = CallTerms()
    var sentTerms = CallTerms()
    /// Where `state.asked.isWide`: the groups that it may go to.
    var groups = CallGroups()
    /// The request while it may have to be sent again; otherwise empty.
    var frame = Buffer()
    /// Where the frame begins and ends in its connection's stream.
    var position: UInt64 = 0
    var end: UInt64 = 0
    /// In the queue of its upstream connection.
    var queue = ListLinks<FramedRequest>()
    /// On the list of its downstream connection.
    var siblings = ListLinks<FramedRequest>()
    /// On the list of requests that wait for the same service.
    var waiting = ListLinks<FramedRequest>()

    init(_ kind: RecordKind, upstreamID: UInt64) {
        timer = WheelTimer(kind: kind.rawValue)
        self.upstreamID = upstreamID
    }

    /// Begins another use of the record. Its last one has left all lists and given all buffers back.
    @inline(__always)
    mutating func renew(upstreamID: UInt64) {
        self.upstreamID = upstreamID
        state.asked = Asked()
        if state.tried.count > 0 {
            state.tried = TriedEndpoints()
            state.backoff = Backoff()
        }
        state.served = ServiceMetrics.nobody
        state.fault = .open
        state.isHedged = false
        state.mirror = .open
        downstream = nil
        isTwoWay = true
    }

    enum QueuePlace: ListPlace {
        @inline(__always)
        static func links(
            _ element: UnsafeMutablePointer<FramedRequest>
        ) -> UnsafeMutablePointer<ListLinks<FramedRequest>> {
            element.links(at: MemoryLayout<FramedRequest>.offset(of: \.queue).unsafelyUnwrapped)
        }
    }

    enum DownstreamPlace: ListPlace {
        @inline(__always)
        static func links(
            _ element: UnsafeMutablePointer<FramedRequest>
        ) -> UnsafeMutablePointer<ListLinks<FramedRequest>> {
            element.links(at: MemoryLayout<FramedRequest>.offset(of: \.siblings).unsafelyUnwrapped)
        }
    }

    enum WaitingPlace: ListPlace {
        @inline(__always)
        static func links(
            _ element: UnsafeMutablePointer<FramedRequest>
        ) -> UnsafeMutablePointer<ListLinks<FramedRequest>> {
            element.links(at: MemoryLayout<FramedRequest>.offset(of: \.waiting).unsafelyUnwrapped)
        }
    }
}

extension UnsafeMutablePointer where Pointee == FramedRequest {
    @inline(__always)
    var timer: UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: WheelTimer.self)
    }

    @inline(__always)
    fileprivate func links(at offset: Int) -> UnsafeMutablePointer<ListLinks<FramedRequest>> {
        (UnsafeMutableRawPointer(self) + offset).assumingMemoryBound(to: ListLinks<FramedRequest>.self)
    }
}
