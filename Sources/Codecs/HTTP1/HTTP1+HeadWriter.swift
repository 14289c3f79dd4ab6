import CLinux

extension HTTP1 {
    /// Appends to memory whose room was checked before.
    struct Output {
        let start: UnsafeMutablePointer<UInt8>
        var position: UnsafeMutablePointer<UInt8>

        @inline(__always)
        init(_ start: UnsafeMutablePointer<UInt8>) {
            self.start = start
            position = start
        }

        @inline(__always)
        var count: Int { position - start }

        @inline(__always)
        mutating func put(_ text: StaticString) {
            memcpy(position, text.utf8Start, text.utf8CodeUnitCount)
            position += text.utf8CodeUnitCount
        }

        @inline(__always)
        mutating func put(_ bytes: UnsafePointer<UInt8>, from: Int, to: Int) {
            let count = to &- from
            guard count > 0 else { return }
            memcpy(position, bytes + from, count)
            position += count
        }

        @inline(__always)
        mutating func put(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange) {
            put(bytes, from: Int(range.start), to: range.end)
        }

        @inline(__always)
        mutating func put(_ bytes: UnsafeBufferPointer<UInt8>) {
            guard let base = bytes.baseAddress else { return }
            put(base, from: 0, to: bytes.count)
        }

        @inline(__always)
        mutating func put(_ byte: UInt8) {
            position.pointee = byte
            position += 1
        }

        mutating func putLine(_ name: StaticString, _ value: UnsafeBufferPointer<UInt8>) {
            put(name)
            put(value)
            put("\r\n")
        }

        /// Writes a number in decimal.
        mutating func put(decimal value: UInt64) {
            var divisor: UInt64 = 1
            while value / divisor >= 10 { divisor *= 10 }
            while divisor > 0 {
                put(UInt8(truncatingIfNeeded: value / divisor % 10) &+ 0x30)
                divisor /= 10
            }
        }

        /// Writes a number in hexadecimal.
        mutating func put(hexadecimal value: UInt64) {
            var shift = value == 0 ? 0 : (63 - value.leadingZeroBitCount) / 4 * 4
            while shift >= 0 {
                let digit = UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 15
                put(digit < 10 ? digit &+ 0x30 : digit &+ 0x57)
                shift -= 4
            }
        }
    }

    /// Copies the field lines whose kind is not in `dropped`, in as few pieces as possible.
    ///
    /// - Parameters:
    ///   - start: where the first piece begins: the first field line, or something before it that goes along.
    ///   - end: behind the last field line.
    ///   - extended: at this field `extension` is appended to the value.
    static func copyFields(
        _ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int, _ fields: borrowing FieldTable,
        dropping dropped: KindSet, extending extended: Int = -1,
        with extension: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0), to output: inout Output
    ) {
        var pieceStart = start
        for index in 0..<fields.count {
            let field = fields.fields[index]
            if dropped.contains(field.kind.bit) {
                output.put(bytes, from: pieceStart, to: Int(field.nameStart))
            } else if index == extended {
                output.put(bytes, from: pieceStart, to: field.value.end)
                if field.valueLength > 0 { output.put(", ") }
                output.put(`extension`)
                output.put("\r\n")
            } else {
                continue
            }
            pieceStart = index + 1 < fields.count ? Int(fields.fields[index + 1].nameStart) : end
        }
        output.put(bytes, from: pieceStart, to: end)
    }
}
