import Balancing
import Codecs
import Runtime

/// A Dubbo request in flight: what is needed to answer it, to send it again, and to count it.
struct Call {
    /// First: a timer's address is its record's. Ends waiting for the registries or for the answer.
    var timer = WheelTimer(kind: TimerKind.call)
    /// The record's number.
    let slot: UInt32
    /// Which use of the record this is: answers to earlier ones are too late.
    let generation: UInt32
    /// Who waits for the answer; nil for one-way calls.
    var consumer: UnsafeMutablePointer<Consumer>?
    /// Where the request is; nil while it waits for the registries.
    var provider: UnsafeMutablePointer<Provider>?
    var service: UnsafeMutablePointer<Service>?
    /// The id that the consumer chose.
    var consumerID: Int64 = 0
    var serialization = Dubbo.Serialization.hessian2
    /// It is on its service's list of calls that wait for the registries.
    var isWaiting = false
    /// A one-way call is never answered, not even with an error.
    var isTwoWay = true
    var asked = Asked()
    var tried = TriedEndpoints()
    /// Label of the version that serves, for counters; `ServiceMetrics.nobody` before one is chosen.
    var served = ServiceMetrics.nobody
    /// Label of the interface version in `frame`, and in what was sent last.
    var frameVersion = 0
    var sentVersion = 0
    var started: Int64 = 0
    /// How long the consumer waits.
    var patience: Int64 = 0
    /// The request while it may have to be sent again; otherwise empty.
    var frame = Buffer()
    /// Where the frame begins and ends in its connection's stream.
    var position: UInt64 = 0
    var end: UInt64 = 0
    /// The beginning of the access log's line; empty when none is written.
    var logLine = Buffer()
    /// The connection's list, or the list of calls that wait for a service.
    var previous: UnsafeMutablePointer<Call>?
    var next: UnsafeMutablePointer<Call>?
    /// The consumer's list.
    var previousOfConsumer: UnsafeMutablePointer<Call>?
    var nextOfConsumer: UnsafeMutablePointer<Call>?

    init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    /// The id that the host sees: finds the record again in constant time.
    @inline(__always)
    var providerID: Int64 { Int64(generation) << 32 | Int64(slot) }
}

/// Calls in order, linked through `previous` and `next`.
struct CallList {
    private(set) var first: UnsafeMutablePointer<Call>?
    private(set) var last: UnsafeMutablePointer<Call>?

    @inline(__always)
    mutating func append(_ call: UnsafeMutablePointer<Call>) {
        call.pointee.previous = last
        call.pointee.next = nil
        if let last { last.pointee.next = call } else { first = call }
        last = call
    }

    @inline(__always)
    mutating func remove(_ call: UnsafeMutablePointer<Call>) {
        let (previous, next) = (call.pointee.previous, call.pointee.next)
        if let previous { previous.pointee.next = next } else { first = next }
        if let next { next.pointee.previous = previous } else { last = previous }
        call.pointee.previous = nil
        call.pointee.next = nil
    }
}
