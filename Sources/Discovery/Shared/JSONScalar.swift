/// Values of a JSON text that has been cut into its parts by `JSONText`.
extension JSONText {
    /// A string; nil for anything else and where it is not UTF-8 or an escape is wrong.
    static func string(_ text: [UInt8], _ range: Range<Int>) -> String? {
        guard range.count >= 2, text[range.lowerBound] == quote, text[range.upperBound - 1] == quote
        else { return nil }
        let inner = range.lowerBound + 1..<range.upperBound - 1
        if let backslash = text[inner].firstIndex(of: UInt8(ascii: "\\")) {
            return unescape(text, inner, from: backslash)
        }
        return text.withUnsafeBytes { String(validating: $0[inner], as: UTF8.self) }
    }

    /// A string, number or boolean as text; nil for null, objects and arrays.
    static func label(_ text: [UInt8], _ range: Range<Int>) -> String? {
        guard let first = text[range].first else { return nil }
        switch first {
        case quote: return string(text, range)
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "n"): return nil
        default: return String(validating: text[range], as: UTF8.self)
        }
    }

    /// A whole number, also one in quotes.
    static func integer(_ text: [UInt8], _ range: Range<Int>) -> Int64? {
        label(text, range).flatMap { Int64($0) }
    }

    /// An object's members whose values are strings, numbers or booleans; empty for anything else, such as null.
    static func labels(_ text: [UInt8], in range: Range<Int>) -> [String: String] {
        var labels: [String: String] = [:]
        for (key, value) in members(text, in: range) ?? [] {
            let quoted = key.lowerBound - 1..<key.upperBound + 1
            if let name = string(text, quoted), let value = label(text, value) { labels[name] = value }
        }
        return labels
    }

    private static let quote = UInt8(ascii: "\"")

    private static func unescape(_ text: [UInt8], _ inner: Range<Int>, from backslash: Int) -> String? {
        var bytes = Array(text[inner.lowerBound..<backslash])
        var rest = text[backslash..<inner.upperBound]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            guard let kind = rest.popFirst() else { return nil }
            switch kind {
            case quote, UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(kind)
            case UInt8(ascii: "b"): bytes.append(0x08)
            case UInt8(ascii: "f"): bytes.append(0x0c)
            case UInt8(ascii: "n"): bytes.append(0x0a)
            case UInt8(ascii: "r"): bytes.append(0x0d)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "u"):
                guard let scalar = takeScalar(&rest) else { return nil }
                bytes += Array(String(Character(scalar)).utf8)
            default: return nil
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// The character of `XXXX` or of a surrogate pair `XXXX\uXXXX`.
    private static func takeScalar(_ rest: inout ArraySlice<UInt8>) -> Unicode.Scalar? {
        guard let first = takeUnit(&rest) else { return nil }
        guard (0xd800...0xdbff).contains(first) else { return Unicode.Scalar(first) }
        guard rest.popFirst() == UInt8(ascii: "\\"), rest.popFirst() == UInt8(ascii: "u"),
            let second = takeUnit(&rest), (0xdc00...0xdfff).contains(second)
        else { return nil }
        return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
    }

    private static func takeUnit(_ rest: inout ArraySlice<UInt8>) -> UInt32? {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = rest.popFirst(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue
            else {
                return nil
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }
}
