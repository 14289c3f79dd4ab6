// The transitions of a chunked body, a byte at a time; chunk data is skipped in one go before it comes here.
extension HTTP1.ChunkedState {
    /// Takes a byte of a size line or of the line end behind a chunk.
    mutating func stepFrame(_ byte: UInt8) throws(HTTP1.ChunkError) {
        switch phase {
        case .size: try stepSize(byte)
        case .sizeLineFeed:
            guard byte == .lineFeed else { throw .badLineEnd }
            lineLength = 0
            phase = remaining == 0 ? .trailerStart : .data
        case .dataReturn:
            guard byte == .carriageReturn else { throw .badLineEnd }
            phase = .dataLineFeed
        case .dataLineFeed:
            guard byte == .lineFeed else { throw .badLineEnd }
            phase = .size
        default: try stepExtension(byte)
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
        case 0x3B: phase = .extensionStart
        case .space, .tab: phase = .extensionBlank
        case .lineFeed: throw .badLineEnd
        default: throw .badSize
        }
        try countLine()
    }

    /// Extensions are not understood by anybody; what matters is that all agree where they end. So they must be what RFC 9112,
    /// section 7.1.1, says: `;name`, `;name=value` or `;name="value"`, with blanks around `;` and `=`.
    private mutating func stepExtension(_ byte: UInt8) throws(HTTP1.ChunkError) {
        switch byte {
        case .carriageReturn:
            guard mayEndLine else { throw isComplete ? .badLineEnd : .badExtension }
            phase = .sizeLineFeed
        case .lineFeed: throw .badLineEnd
        case .space, .tab: try stepExtensionBlank()
        default: try stepExtensionText(byte)
        }
        try countLine()
    }

    /// An extension has just ended, without blanks behind it.
    private var mayEndLine: Bool {
        switch phase {
        case .extensionName, .extensionValue, .extensionQuoteEnd: true
        default: false
        }
    }

    /// Nothing is missing but a line end without blanks before it.
    private var isComplete: Bool { phase == .extensionBlank || phase == .extensionNameBlank }

    private mutating func stepExtensionBlank() throws(HTTP1.ChunkError) {
        switch phase {
        case .extensionName: phase = .extensionNameBlank
        case .extensionValue, .extensionQuoteEnd: phase = .extensionBlank
        case .extensionEscape: phase = .extensionQuoted
        default: break
        }
    }

    /// Takes a byte that is neither a blank nor part of a line end.
    private mutating func stepExtensionText(_ byte: UInt8) throws(HTTP1.ChunkError) {
        switch (phase, byte) {
        case (.extensionEscape, 0x21...0x7E): phase = .extensionQuoted
        case (.extensionQuoted, 0x5C): phase = .extensionEscape
        case (.extensionQuoted, 0x22): phase = .extensionQuoteEnd
        case (.extensionQuoted, 0x21...0x7E): break
        case (.extensionBlank, 0x3B), (.extensionName, 0x3B), (.extensionNameBlank, 0x3B), (.extensionValue, 0x3B),
            (.extensionQuoteEnd, 0x3B):
            phase = .extensionStart
        case (.extensionName, 0x3D), (.extensionNameBlank, 0x3D): phase = .extensionValueStart
        case (.extensionValueStart, 0x22): phase = .extensionQuoted
        case (.extensionStart, _) where byte.isToken: phase = .extensionName
        case (.extensionValueStart, _) where byte.isToken: phase = .extensionValue
        case (.extensionName, _) where byte.isToken, (.extensionValue, _) where byte.isToken: break
        default: throw .badExtension
        }
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
            nameHash = ForbiddenTrailers.emptyHash
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
            guard !ForbiddenTrailers.contains(nameHash) else { throw .forbiddenTrailer }
            phase = .trailerValue
            return
        }
        guard byte.isToken else { throw byte == .lineFeed ? .badLineEnd : .badTrailer }
        nameHash = ForbiddenTrailers.add(byte, to: nameHash)
        lineLength += 1
        guard nameHash != ForbiddenTrailers.proxyPrefix else { throw .forbiddenTrailer }
    }
}
