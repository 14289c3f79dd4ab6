import Runtime

/// Records of requests, found by the id that hosts answer with. They stay where they are, and what was given back is used again.
///
/// An id is the record's number with the count of its uses above it. Where ids are short, records are used in turn and there are
/// many of them, so that an id comes again only after millions of requests.
struct FramedRequestTable: ~Copyable {
    private static let blockShift: UInt64 = 8
    private static let blockSize = 1 << Int(blockShift)

    private let kind: RecordKind
    private let slotBits: UInt64
    private let idMask: UInt64
    /// Free records that there are at least: those given back wait behind them. 1: the last given back is the next taken.
    private let fewest: Int
    private var blocks: UnsafeMutablePointer<UnsafeMutablePointer<FramedRequest>>
    private var blockCount = 0
    private var blockRoom = 16
    /// Records that are free, linked through `queue`.
    private var free = LinkedQueue<FramedRequest.QueuePlace>()
    private var freeCount = 0
    /// Requests in flight.
    private(set) var count = 0

    /// - Parameters:
    ///   - slotBits: bits of an id for the record's number.
    ///   - idBits: bits of an id.
    init(_ kind: RecordKind, slotBits: UInt64, idBits: UInt64) {
        self.kind = kind
        self.slotBits = slotBits
        idMask = idBits == 64 ? .max : 1 << idBits - 1
        fewest = idBits == 64 ? 1 : 1024
        blocks = .allocate(capacity: blockRoom)
    }

    deinit {
        for index in 0..<blockCount { blocks[index].deallocate() }
        blocks.deallocate()
    }

    /// An id that no request has.
    var unusedID: UInt64 { idMask }

    /// A fresh record; nil when ids have run out.
    @inline(__always)
    mutating func take() -> UnsafeMutablePointer<FramedRequest>? {
        if freeCount < fewest { grow() }
        guard let request = free.popFirst() else { return nil }
        freeCount -= 1
        count += 1
        let id = (request.pointee.upstreamID &+ 1 << slotBits) & idMask
        request.pointee.renew(upstreamID: id)
        return request
    }

    /// Gives a record back; its timer is not set and it is on no list.
    @inline(__always)
    mutating func put(_ request: UnsafeMutablePointer<FramedRequest>) {
        count -= 1
        freeCount += 1
        request.pointee.upstream = nil
        if fewest == 1 { free.prepend(request) } else { free.append(request) }
    }

    /// The request that an answer of `upstream` is for; nil when it was not asked, or has been given up.
    @inline(__always)
    func find(
        _ id: UInt64, from upstream: UnsafeMutablePointer<FramedUpstream>
    ) -> UnsafeMutablePointer<FramedRequest>? {
        let slot = id & (1 << slotBits - 1)
        let block = Int(slot >> Self.blockShift)
        if block >= blockCount { return nil }
        let request = blocks[block] + Int(slot) & (Self.blockSize - 1)
        return request.pointee.upstreamID == id && request.pointee.upstream == upstream ? request : nil
    }

    /// Those of requests in flight.
    var inUse: [UnsafeMutablePointer<FramedRequest>] {
        (0..<blockCount).flatMap { block in (0..<Self.blockSize).map { blocks[block] + $0 } }
            .filter { $0.pointee.state.service != nil }
    }

    private mutating func grow() {
        // The last number of all is nobody's: `unusedID`.
        if UInt64(blockCount + 1) << Self.blockShift >= 1 << slotBits { return }
        if blockCount == blockRoom {
            let larger = UnsafeMutablePointer<UnsafeMutablePointer<FramedRequest>>.allocate(capacity: blockRoom * 2)
            larger.update(from: blocks, count: blockCount)
            blocks.deallocate()
            blocks = larger
            blockRoom *= 2
        }
        let block = UnsafeMutablePointer<FramedRequest>.allocate(capacity: Self.blockSize)
        for index in 0..<Self.blockSize {
            let slot = blockCount << Int(Self.blockShift) + index
            (block + index).initialize(to: FramedRequest(kind, upstreamID: UInt64(slot)))
            free.append(block + index)
        }
        freeCount += Self.blockSize
        blocks[blockCount] = block
        blockCount += 1
    }
}
