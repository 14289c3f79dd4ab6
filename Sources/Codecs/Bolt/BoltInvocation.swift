extension Bolt {
    /// What a request calls. All ranges are places in the frame; `.none` where the header has nothing.
    public struct Invocation: Sendable {
        /// The value of `sofa_head_target_service`.
        public var targetService = ByteRange.none
        /// The value of `service`, what a SOFA server dispatches by.
        public var dispatchedService = ByteRange.none
        /// The value of `sofa_head_method_name`. With Hessian a server takes the method from the content.
        public var method = ByteRange.none
        /// Attributes of the tracer, which go along a chain of calls.
        public var traceAttributes = ByteRange.none

        /// Nothing known yet.
        public init() {}

        /// The service by which to route: what the host will execute, `dispatchedService`, else `targetService`. SOFA RPC sends the
        /// same in both.
        @inlinable public var service: ByteRange { dispatchedService.isEmpty ? targetService : dispatchedService }
    }

    /// What `parseInvocation` made of a header.
    public enum InvocationResult: Sendable {
        /// The invocation holds what the header says, perhaps nothing.
        case parsed
        /// The header is not a map: users of Bolt without SOFA RPC may put any bytes there. The invocation is empty; the
        /// frame can still be forwarded, by its class, and answered.
        case unreadable
    }

    /// Memory for reading headers, allocated once (per worker) and used for request after request.
    public struct Scratch: ~Copyable {
        /// More pairs than a header can hold: each takes eight bytes at least.
        static let maximumPairs = maximumHeaderLength / 8 + 1

        let pairs: UnsafeMutablePointer<Pair>
        var pairCount = 0

        /// Key and value; places in the frame.
        struct Pair {
            var key: ByteRange
            var value: ByteRange
        }

        /// Allocates 64 KiB, of which the system provides what is used.
        public init() {
            pairs = .allocate(capacity: Self.maximumPairs)
        }

        deinit { pairs.deallocate() }
    }

    /// Reads the header map of a request.
    ///
    /// - Parameters:
    ///   - frame: A frame of which at least the header is there.
    ///   - head: Its head.
    ///   - scratch: Holds the pairs afterwards, until the next header is read with it.
    ///   - invocation: Overwritten. Of doubled keys the last counts, as in a Java map.
    public static func parseInvocation(
        _ frame: UnsafePointer<UInt8>, _ head: FrameHead, _ scratch: inout Scratch, into invocation: inout Invocation
    ) -> InvocationResult {
        invocation = Invocation()
        scratch.pairCount = 0
        var count = 0
        var at = Int(head.headerRange.start)
        let end = head.headerRange.end
        while true {
            switch nextPair(frame, &at, end) {
            case .end:
                scratch.pairCount = count
                return .parsed
            case .unreadable:
                invocation = Invocation()
                return .unreadable
            case .pair(let pair):
                if pair.isNull { continue }
                (scratch.pairs + count).initialize(to: Scratch.Pair(key: pair.key, value: pair.value))
                count &+= 1
                note(pair, frame, &invocation)
            }
        }
    }

    /// Takes over a pair that says what is called.
    @inline(__always)
    private static func note(
        _ pair: HeaderPair, _ frame: UnsafePointer<UInt8>, _ invocation: inout Invocation
    ) {
        switch pair.key.count {
        case 7 where equals(frame, pair.key, HeaderName.service): invocation.dispatchedService = pair.value
        case 21 where equals(frame, pair.key, HeaderName.method): invocation.method = pair.value
        case 24 where equals(frame, pair.key, HeaderName.targetService): invocation.targetService = pair.value
        case 30 where equals(frame, pair.key, HeaderName.traceAttributes),
            21 where equals(frame, pair.key, HeaderName.traceContext):
            if !pair.value.isEmpty { invocation.traceAttributes = pair.value }
        default: break
        }
    }

    /// Whether the frame is a request of SOFA RPC, as its class says.
    public static func isOfSofa(_ frame: UnsafePointer<UInt8>, _ head: FrameHead) -> Bool {
        equals(frame, head.classRange, requestClass)
    }

    // MARK: Headers by name

    /// A header of the request that was last read with `scratch`.
    ///
    /// Keys are compared without regard to the case of ASCII letters, although Java's maps tell them apart: names are
    /// configured in lower case, for all protocols alike.
    ///
    /// - Parameters:
    ///   - name: Its key in lower case.
    ///   - count: Bytes of the key.
    ///   - frame: The same frame.
    /// - Returns: Place of the last value of that name; nil when there is none.
    public static func header(
        named name: UnsafePointer<UInt8>, count: Int, in frame: UnsafePointer<UInt8>, _ scratch: borrowing Scratch
    ) -> ByteRange? {
        var pair = scratch.pairs + scratch.pairCount
        while pair != scratch.pairs {
            pair -= 1
            let key = pair.pointee.key
            if Int(key.count) == count && Dubbo.equalsIgnoringCase(frame + Int(key.start), name, count) {
                return pair.pointee.value
            }
        }
        return nil
    }

    /// As `header(named:count:in:_:)`, for a name known when this is compiled.
    @inlinable
    public static func header(
        named name: StaticString, in frame: UnsafePointer<UInt8>, _ scratch: borrowing Scratch
    ) -> ByteRange? {
        header(named: name.utf8Start, count: name.utf8CodeUnitCount, in: frame, scratch)
    }

    /// A value that the caller, or somebody before it in a chain of calls, set under a name: the first that is not empty of the
    /// header, the baggage (`rpc_req_baggage.NAME`) and the attributes of the tracer.
    ///
    /// - Parameters:
    ///   - name: As in `header(named:count:in:_:)`.
    ///   - frame: The frame that was last read with `scratch`.
    ///   - invocation: What was read.
    /// - Returns: Its place; nil when there is none. An attribute of the tracer is as it was sent, with `%25`, `%26` and `%3D`
    ///   in the place of `%`, `&` and `=`.
    public static func property(
        named name: UnsafePointer<UInt8>, count: Int, in frame: UnsafePointer<UInt8>, _ invocation: Invocation,
        _ scratch: borrowing Scratch
    ) -> ByteRange? {
        let prefix = HeaderName.requestBaggage.utf8CodeUnitCount
        var baggage = ByteRange.none
        var pair = scratch.pairs + scratch.pairCount
        while pair != scratch.pairs {
            pair -= 1
            let key = pair.pointee.key
            if pair.pointee.value.isEmpty { continue }
            if Int(key.count) == count {
                if Dubbo.equalsIgnoringCase(frame + Int(key.start), name, count) { return pair.pointee.value }
            } else if Int(key.count) == count &+ prefix, baggage.isEmpty,
                Dubbo.equalsIgnoringCase(frame + Int(key.start) + prefix, name, count),
                hasPrefix(frame, key, HeaderName.requestBaggage)
            {
                baggage = pair.pointee.value
            }
        }
        if !baggage.isEmpty { return baggage }
        return invocation.traceAttributes.isEmpty
            ? nil : traceAttribute(named: name, count: count, in: frame, invocation.traceAttributes)
    }

    /// Looks for a name in `name=value&name=value&`, as Java's tracer reads it: the last one counts.
    private static func traceAttribute(
        named name: UnsafePointer<UInt8>, count: Int, in frame: UnsafePointer<UInt8>, _ attributes: ByteRange
    ) -> ByteRange? {
        var found: ByteRange?
        var start = Int(attributes.start)
        var isNamed = false
        for at in Int(attributes.start)...attributes.end {
            let byte = at == attributes.end ? 0x26 : frame[at]
            if byte == 0x3d {
                isNamed = at &- start == count && Dubbo.equalsIgnoringCase(frame + start, name, count)
            } else if byte == 0x26 {
                if isNamed && at > start { found = ByteRange(start: start, count: at &- start) }
                isNamed = false
            } else {
                continue
            }
            start = at &+ 1
        }
        return found
    }

    // MARK: Services

    /// The parts of a service's unique name, `interface:version[:uniqueId]`; places in the frame.
    public struct ServiceName: Equatable, Sendable {
        /// The interface.
        public var interface: ByteRange
        /// Its version, `1.0` unless the application says otherwise; empty when the name has none.
        public var version: ByteRange
        /// Tells several services of one interface apart; mostly empty.
        public var uniqueID: ByteRange

        /// A name without parts.
        public init() { self.init(interface: .none, version: .none, uniqueID: .none) }

        init(interface: ByteRange, version: ByteRange, uniqueID: ByteRange) {
            self.interface = interface
            self.version = version
            self.uniqueID = uniqueID
        }
    }

    /// Takes a service's unique name apart.
    public static func serviceName(_ frame: UnsafePointer<UInt8>, _ name: ByteRange) -> ServiceName {
        let interface = part(frame, name.end, from: Int(name.start), isLast: false)
        let version = part(frame, name.end, from: interface.end &+ 1, isLast: false)
        let uniqueID = part(frame, name.end, from: version.end &+ 1, isLast: true)
        return ServiceName(interface: interface, version: version, uniqueID: uniqueID)
    }

    /// Whether one of eight bytes is a colon: only then the difference from eight colons has a byte that is zero.
    @inline(__always)
    private static func hasColon(_ word: UInt64) -> Bool {
        let difference = word ^ 0x3a3a_3a3a_3a3a_3a3a
        return (difference &- 0x0101_0101_0101_0101) & ~difference & 0x8080_8080_8080_8080 != 0
    }

    /// What is before the next colon, or all that is left.
    private static func part(
        _ frame: UnsafePointer<UInt8>, _ end: Int, from start: Int, isLast: Bool
    ) -> ByteRange {
        if start >= end { return ByteRange(start: end, count: 0) }
        if isLast { return ByteRange(start: start, count: end &- start) }
        var at = start
        while end &- at >= 8 && !hasColon(BigEndian.word(frame, at)) { at &+= 8 }
        while at < end && frame[at] != 0x3a { at &+= 1 }
        return ByteRange(start: start, count: at &- start)
    }
}
