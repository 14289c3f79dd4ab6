/// Names and values of a query or of a form body, in the order they were sent.
public struct Parameters: Sendable {
    /// Decoded pairs; a name can occur several times.
    public private(set) var items: [(name: String, value: String)] = []

    /// No parameters.
    public init() {}

    /// Decodes `a=1&b=%20x+y` (application/x-www-form-urlencoded). Broken escapes stay as they are; bytes that are not
    /// UTF-8 become U+FFFD.
    public init(urlEncoded text: some Sequence<UInt8>) {
        for piece in Array(text).split(separator: UInt8(ascii: "&")) {
            let equals = piece.firstIndex(of: UInt8(ascii: "=")) ?? piece.endIndex
            let value = piece[equals...].dropFirst()
            items.append((Self.decode(piece[..<equals], plusIsBlank: true), Self.decode(value, plusIsBlank: true)))
        }
    }

    /// The first value of that name.
    public subscript(name: String) -> String? { items.first { $0.name == name }?.value }

    /// Adds another one's parameters behind these: a value that is here already wins in the subscript.
    public mutating func append(_ other: Parameters) { items += other.items }

    /// Replaces `%41` by the byte it stands for.
    ///
    /// - Parameter plusIsBlank: as in queries and forms; a path keeps its `+`.
    public static func decode(_ text: some Collection<UInt8>, plusIsBlank: Bool) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var rest = Substring8(Array(text)[...])
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let escaped = rest.popEscape() {
                bytes.append(escaped)
            } else {
                bytes.append(byte == UInt8(ascii: "+") && plusIsBlank ? 0x20 : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Escapes everything but RFC 3986's unreserved characters, so that the text can stand in a path, query or form.
    public static func encode(_ text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            default:
                let digits = Array("0123456789ABCDEF".utf8)
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The rest of a text that is being decoded.
private struct Substring8 {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    mutating func popFirst() -> UInt8? { bytes.popFirst() }

    /// Takes two hexadecimal digits; nil, and nothing taken, when there are none.
    mutating func popEscape() -> UInt8? {
        guard bytes.count >= 2, let high = Self.digit(bytes[bytes.startIndex]),
            let low = Self.digit(bytes[bytes.startIndex + 1])
        else { return nil }
        bytes = bytes.dropFirst(2)
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
