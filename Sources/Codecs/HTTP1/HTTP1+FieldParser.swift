import CLinux

extension HTTP1 {
    /// What the field lines of a head hold, besides the table of them.
    struct FieldSummary {
        /// Kinds that occur.
        var kinds: KindSet = []
        /// Kinds that occur more than once.
        var repeated: KindSet = []
        /// One past the empty line.
        var end = 0
    }

    /// Parses the field lines from `position` up to the empty line into `table`.
    @inline(__always)
    static func parseFields(
        _ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int, into table: inout FieldTable
    ) throws(Stop) -> FieldSummary {
        let fields = table.fields
        var summary = FieldSummary()
        var position = start
        var count = 0
        while true {
            guard position < end else { throw .incomplete }
            if bytes[position] == .carriageReturn {
                try expectLineFeed(bytes, position &+ 1, end)
                table.count = count
                table.marked = false
                summary.end = position &+ 2
                return summary
            }
            var colon = clinux_scan_name(bytes, position, end)
            guard colon < end else { throw .incomplete }
            if bytes[colon] != .colon || colon == position {
                colon = try scanRareName(bytes, line: position, from: colon, to: end)
            }
            var value = colon &+ 1
            if value < end && bytes[value] == .space { value &+= 1 }
            var stop = clinux_scan_value(bytes, value, end)
            guard stop < end else { throw .incomplete }
            if bytes[stop] != .carriageReturn { stop = try scanRareValue(bytes, from: stop, to: end) }
            try expectLineFeed(bytes, stop &+ 1, end)
            guard count < maximumFields else { throw .invalid(.tooManyFields) }

            let next = stop &+ 2
            while value < stop && bytes[value].isBlank { value &+= 1 }
            while stop > value && bytes[stop &- 1].isBlank { stop &-= 1 }
            let kind = kind(bytes + position, colon &- position)
            if kind != .other {
                summary.repeated.formUnion(summary.kinds.intersection(kind.bit))
                summary.kinds.formUnion(kind.bit)
            }
            // A head is shorter than 2 GiB (see `bounded`), so that every place in it fits.
            fields[count] = Field(
                nameStart: UInt32(truncatingIfNeeded: position),
                nameLength: UInt32(truncatingIfNeeded: colon &- position),
                valueStart: UInt32(truncatingIfNeeded: value),
                valueLength: UInt32(truncatingIfNeeded: stop &- value), kind: kind)
            count &+= 1
            position = next
        }
    }

    /// Checks for the second half of a line end.
    @inline(__always)
    static func expectLineFeed(_ bytes: UnsafePointer<UInt8>, _ position: Int, _ end: Int) throws(Stop) {
        guard position < end else { throw .incomplete }
        guard bytes[position] == .lineFeed else { throw .invalid(.bareCarriageReturn) }
    }

    /// Goes on with a name that has more than letters, digits, '-', '.' and '_'; returns the place of the colon.
    @inline(never)
    static func scanRareName(
        _ bytes: UnsafePointer<UInt8>, line: Int, from start: Int, to end: Int
    ) throws(Stop) -> Int {
        var position = start
        while position < end {
            let byte = bytes[position]
            if byte == .colon && position > line { return position }
            if byte.isToken {
                position &+= 1
                continue
            }
            switch byte {
            case .space, .tab: throw .invalid(position == line ? .foldedField : .spaceBeforeColon)
            case .lineFeed: throw .invalid(.bareLineFeed)
            default: throw .invalid(.badFieldName)
            }
        }
        throw .incomplete
    }

    /// Goes on with a value in which a control character was met; only the tab is allowed. Returns the place of the
    /// carriage return.
    @inline(never)
    static func scanRareValue(_ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int) throws(Stop) -> Int {
        var position = start
        while position < end {
            switch bytes[position] {
            case .tab: position = clinux_scan_value(bytes, position &+ 1, end)
            case .carriageReturn: return position
            case .lineFeed: throw .invalid(.bareLineFeed)
            default: throw .invalid(.badFieldValue)
            }
        }
        throw .incomplete
    }

    /// Whether it is worth parsing: the head may be complete, or is certainly wrong.
    ///
    /// The first time this says yes, because a head mostly comes in one piece. Later it looks at the new bytes only, for
    /// an empty line or for a line end that the parser will refuse.
    @inline(__always)
    static func mayBeWhole(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ state: inout ScanState) -> Bool {
        if state.scanned <= 0 { return true }
        return searchHeadEnd(bytes, count, &state)
    }

    @inline(never)
    private static func searchHeadEnd(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ state: inout ScanState) -> Bool {
        var position = min(Int(state.scanned), count)
        while true {
            position = clinux_scan_line(bytes, position, count)
            if position >= count {
                state.scanned = Int32(truncatingIfNeeded: count)
                return false
            }
            guard position >= 2, bytes[position &- 1] == .carriageReturn, bytes[position &- 2] != .lineFeed else {
                return true
            }
            position &+= 1
        }
    }

    /// What may be looked at of `count` bytes, when a head may have `limit`.
    @inline(__always)
    static func bounded(_ count: Int, _ limit: Int) -> Int {
        max(0, min(count, limit, Int(Int32.max)))
    }
}
