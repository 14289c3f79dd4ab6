// The transitions of a chunked body, a byte at a time; chunk data is skipped in one go before it comes here.
extension HTTP1.ChunkedState {
    /// Takes a byte of a size line or of the line end behind a chunk.
    mutating func stepFrame(_ byte: UInt8) throws(HTTP1.ChunkError) {
        switch phase {
        case .size: try stepSize(byte)
        case .extensionBlank, .extensionText: try stepExtension(byte)
        case .sizeLineFeed:
            guard byte == .lineFeed else { throw .badLineEnd }
            lineLength = 0
            phase = remaining == 0 ? .trailerStart : .data
        case .dataReturn:
            guard byte == .carriageReturn else { throw .badLineEnd }
            phase = .dataLineFeed
        default:
            guard byte == .lineFeed else { throw .badLineEnd }
            phase = .size
        }
    }

    private mutating func stepSize(_ byte: UInt8) throws(HTTP1.ChunkError) {
        if let digit = hexadecimal(byte) {
            // 16 digits at most, leading zeros among them, and a sum that fits a signed number.
            guard lineLength < 16, remaining <= UInt64(Int64.max) >> 4 else { throw .badSize }
            remaining = remaining << 4 | UInt64(digit)
            lineLength += 1
            return
        }
        guard lineLength > 0 else { throw .badSize }
        switch byte {
        case .carriageReturn: phase = .sizeLineFeed
        case 0x3B: phase = .extensionText
        case .space, .tab: phase = .extensionBlank
        case .lineFeed: throw .badLineEnd
        default: throw .badSize
        }
        try countLine()
    }

    /// Extensions are not understood by anybody; what matters is that all agree where they end.
    private mutating func stepExtension(_ byte: UInt8) throws(HTTP1.ChunkError) {
        switch byte {
        case .carriageReturn where phase == .extensionText: phase = .sizeLineFeed
        case .lineFeed, .carriageReturn: throw .badLineEnd
        case .space, .tab: break
        case 0x3B: phase = .extensionText
        default:
            guard phase == .extensionText, byte > .space, byte != 0x7F else { throw .badExtension }
        }
        try countLine()
    }

    private mutating func countLine() throws(HTTP1.ChunkError) {
        lineLength += 1
        // The line feed is still to come.
        guard Int(lineLength) < HTTP1.maximumChunkLine else { throw .lineTooLong }
    }

    private func hexadecimal(_ byte: UInt8) -> UInt8? {
        if byte.isDigit { return byte &- 0x30 }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    /// Takes a byte of the trailer section. The rules are those of a head.
    mutating func stepTrailer(_ byte: UInt8) throws(HTTP1.ChunkError) {
        trailerLength += 1
        guard Int(trailerLength) <= HTTP1.maximumTrailers else { throw .trailersTooLarge }
        switch phase {
        case .trailerStart:
            if byte == .carriageReturn {
                phase = .endLineFeed
                return
            }
            lineLength = 0
            candidates = 0b111
            phase = .trailerName
            try stepTrailerName(byte)
        case .trailerName: try stepTrailerName(byte)
        case .trailerValue:
            if byte == .carriageReturn {
                phase = .trailerLineFeed
            } else {
                guard byte >= .space || byte == .tab, byte != 0x7F else {
                    throw byte == .lineFeed ? .badLineEnd : .badTrailer
                }
            }
        case .trailerLineFeed:
            guard byte == .lineFeed else { throw .badLineEnd }
            phase = .trailerStart
        default:
            guard byte == .lineFeed else { throw .badLineEnd }
            phase = .done
        }
    }

    private mutating func stepTrailerName(_ byte: UInt8) throws(HTTP1.ChunkError) {
        if byte == .colon {
            guard lineLength > 0 else { throw .badTrailer }
            for index in 0..<3 where candidates >> index & 1 == 1 {
                guard Int(lineLength) != forbidden(index).utf8CodeUnitCount else { throw .forbiddenTrailer }
            }
            phase = .trailerValue
            return
        }
        guard byte.isToken else { throw byte == .lineFeed ? .badLineEnd : .badTrailer }
        for index in 0..<3 where candidates >> index & 1 == 1 {
            let name = forbidden(index)
            let place = Int(lineLength)
            if place >= name.utf8CodeUnitCount || name.utf8Start[place] != byte | 0x20 {
                candidates &= ~(1 << index)
            }
        }
        lineLength += 1
    }

    /// Trailers that would change how the message is framed or routed (RFC 9110, section 6.5.1).
    private func forbidden(_ index: Int) -> StaticString {
        switch index {
        case 0: "content-length"
        case 1: "transfer-encoding"
        default: "host"
        }
    }
}
