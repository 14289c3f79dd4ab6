/// The beginning of a frame, which tells where it ends.
public protocol FrameHeading {
    /// Bytes before the body.
    var headLength: Int { get }
    /// Bytes behind the head, 0 ..< 2^31 and a few.
    var bodyLength: Int { get }
    /// A request, not a response.
    var isRequest: Bool { get }
}

extension FrameHeading {
    /// Head and body together.
    @inlinable public var frameLength: Int { headLength &+ bodyLength }
}

/// Streams of frames that say their length in their head.
public enum Frames {
    /// What a parser of heads found.
    public enum HeadResult<Head, Failure> {
        /// More bytes are needed; those present are the beginning of a head.
        case incomplete
        /// A head; `bodyLength` bytes follow it. The caller checks the length against its limit.
        case complete(Head)
        /// Not a frame.
        case invalid(Failure)
    }

    /// What `next` found.
    public enum Step<Head, Failure> {
        /// More bytes are needed.
        case incomplete
        /// A whole frame begins at `used`.
        case frame(Head)
        /// A frame with a longer body than is allowed: its head is used, its body is to be skipped.
        case oversized(Head)
        /// Not a frame.
        case invalid(Failure)
    }

    /// Goes on in a stream of frames, past what is to be skipped.
    ///
    /// - Parameters:
    ///   - used: bytes of the `count` that are done with.
    ///   - skip: bytes of an oversized body that are still to come.
    ///   - limit: longest body that is allowed.
    ///   - parse: reads the head at the beginning of so many bytes.
    @inlinable @inline(__always)
    public static func next<Head: FrameHeading, Failure>(
        _ bytes: UnsafePointer<UInt8>, count: Int, used: inout Int, skip: inout Int, limit: Int,
        parse: (UnsafePointer<UInt8>, Int) -> HeadResult<Head, Failure>
    ) -> Step<Head, Failure> {
        if skip > 0 {
            let skipped = Swift.min(skip, count &- used)
            skip &-= skipped
            used &+= skipped
            if used == count { return .incomplete }
        }
        switch parse(bytes + used, count &- used) {
        case .incomplete: return .incomplete
        case .invalid(let error): return .invalid(error)
        case .complete(let head):
            if head.bodyLength > limit {
                skip = head.bodyLength
                used &+= head.headLength
                return .oversized(head)
            }
            return head.frameLength > count &- used ? .incomplete : .frame(head)
        }
    }
}

extension Frames.HeadResult: Equatable where Head: Equatable, Failure: Equatable {}
extension Frames.HeadResult: Sendable where Head: Sendable, Failure: Sendable {}
extension Frames.Step: Sendable where Head: Sendable, Failure: Sendable {}
