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
            var colon = clinux_scan_name(bytes, position, end)
            guard colon &+ 1 < end else { throw stopInName(bytes, line: position, at: colon, end) }
            if bytes[colon] != .colon || colon == position {
                if bytes[position] == .carriageReturn {
                    guard bytes[position &+ 1] == .lineFeed else { throw .invalid(.bareCarriageReturn) }
                    break
                }
                colon = try scanRareName(bytes, line: position, from: colon, to: end)
            }
            var value = colon &+ 1
            if bytes[value] == .space { value &+= 1 }
            var stop = clinux_scan_value(bytes, value, end)
            guard stop &+ 1 < end else { throw stopInValue(bytes, at: stop, end) }
            if !isLineEnd(bytes + stop) { stop = try scanRareValue(bytes, from: stop, to: end) }
            guard count < maximumFields else { throw .invalid(.tooManyFields) }

            let next = stop &+ 2
            // White space on either side is rare. An empty value also comes in here, because of the line end.
            if bytes[value] <= .space || bytes[stop &- 1] <= .space {
                while value < stop && bytes[value].isBlank { value &+= 1 }
                while stop > value && bytes[stop &- 1].isBlank { stop &-= 1 }
            }
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
        table.count = count
        table.marked = false
        summary.end = position &+ 2
        return summary
    }

    /// Whether two bytes are a line end.
    @inline(__always)
    static func isLineEnd(_ bytes: UnsafePointer<UInt8>) -> Bool {
        UInt16(littleEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt16.self)) == 0x0A0D
    }

    /// Checks for the second half of a line end.
    @inline(__always)
    static func expectLineFeed(_ bytes: UnsafePointer<UInt8>, _ position: Int, _ end: Int) throws(Stop) {
        guard position < end else { throw .incomplete }
        guard bytes[position] == .lineFeed else { throw .invalid(.bareCarriageReturn) }
    }

    /// Why parsing ends when the bytes do so in a name or right behind it: the last byte may be wrong already.
    @inline(never)
    private static func stopInName(_ bytes: UnsafePointer<UInt8>, line: Int, at position: Int, _ end: Int) -> Stop {
        if position == line && position < end && bytes[position] == .carriageReturn { return .incomplete }
        do throws(Stop) {
            _ = try scanRareName(bytes, line: line, from: position, to: end)
            return .incomplete
        } catch {
            return error
        }
    }

    /// Why parsing ends when the bytes do so in a value or in its line end.
    @inline(never)
    private static func stopInValue(_ bytes: UnsafePointer<UInt8>, at position: Int, _ end: Int) -> Stop {
        do throws(Stop) {
            _ = try scanRareValue(bytes, from: position, to: end)
            return .incomplete
        } catch {
            return error
        }
    }

    /// Goes on with a name that has more than letters, digits, '-', '.' and '_'. Returns the place of the colon, which
    /// is not the last byte.
    @inline(never)
    static func scanRareName(
        _ bytes: UnsafePointer<UInt8>, line: Int, from start: Int, to end: Int
    ) throws(Stop) -> Int {
        var position = start
        while position < end {
            let byte = bytes[position]
            if byte == .colon && position > line {
                guard position &+ 1 < end else { throw .incomplete }
                return position
            }
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
    /// line end, which is there as a whole.
    @inline(never)
    static func scanRareValue(_ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int) throws(Stop) -> Int {
        var position = start
        while position < end {
            switch bytes[position] {
            case .tab: position = clinux_scan_value(bytes, position &+ 1, end)
            case .carriageReturn:
                try expectLineFeed(bytes, position &+ 1, end)
                return position
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
