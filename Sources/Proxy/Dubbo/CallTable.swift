/// Records of calls, found by the id that hosts answer with. They stay where they are, and what was given back is used again.
struct CallTable: ~Copyable {
    private static let blockShift: UInt32 = 8
    private static let blockSize = 1 << Int(blockShift)

    private var blocks: UnsafeMutablePointer<UnsafeMutablePointer<Call>>
    private var blockCount = 0
    private var blockRoom = 16
    /// Records that are free, linked through `next`.
    private var free: UnsafeMutablePointer<Call>?
    /// Calls in flight.
    private(set) var count = 0

    init() { blocks = .allocate(capacity: blockRoom) }

    deinit {
        for index in 0..<blockCount { blocks[index].deallocate() }
        blocks.deallocate()
    }

    /// A fresh record with an id that no late answer can have, unless it is 2^32 uses of the record late.
    @inline(__always)
    mutating func take() -> UnsafeMutablePointer<Call> {
        if free == nil { grow() }
        let call = free.unsafelyUnwrapped
        free = call.pointee.next
        count += 1
        call.pointee = Call(slot: call.pointee.slot, generation: call.pointee.generation &+ 1)
        return call
    }

    /// Gives a record back; its timer is not set and it is on no list.
    @inline(__always)
    mutating func put(_ call: UnsafeMutablePointer<Call>) {
        count -= 1
        call.pointee.next = free
        call.pointee.provider = nil
        free = call
    }

    /// The call that an answer of `provider` is for; nil when it was not asked, or has been given up.
    @inline(__always)
    func find(_ id: Int64, from provider: UnsafeMutablePointer<Provider>) -> UnsafeMutablePointer<Call>? {
        let slot = UInt32(truncatingIfNeeded: id)
        let block = Int(slot >> Self.blockShift)
        if block >= blockCount { return nil }
        let call = blocks[block] + Int(slot) & (Self.blockSize - 1)
        return call.pointee.providerID == id && call.pointee.provider == provider ? call : nil
    }

    private mutating func grow() {
        if blockCount == blockRoom {
            let larger = UnsafeMutablePointer<UnsafeMutablePointer<Call>>.allocate(capacity: blockRoom * 2)
            larger.update(from: blocks, count: blockCount)
            blocks.deallocate()
            blocks = larger
            blockRoom *= 2
        }
        let block = UnsafeMutablePointer<Call>.allocate(capacity: Self.blockSize)
        for index in (0..<Self.blockSize).reversed() {
            let slot = UInt32(truncatingIfNeeded: blockCount << Int(Self.blockShift) + index)
            (block + index).initialize(to: Call(slot: slot, generation: 0))
            block[index].next = free
            free = block + index
        }
        blocks[blockCount] = block
        blockCount += 1
    }
}
