// Longest input: 1024
import Codecs

/// Used from input to input, as a worker does.
nonisolated(unsafe) private var scratch = Hessian2.Scratch()

/// Reads a Hessian2 value, whole and in pieces, and looks at all that it holds. What is read must be what is skipped.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let bytes = Array(UnsafeBufferPointer(start: input, count: count))
    scratch.beginMessage()
    var end = 0
    let isSkipped = Hessian2.skipValue(input, count: count, at: &end, &scratch)
    var reader = Hessian2.Reader(bytes, at: 0)
    do {
        guard let document = try reader.advance() else { fatalError("neither read nor refused") }
        require(isSkipped && reader.end == end, "a wrong value was taken, or ends elsewhere")
        var looked = 0
        let seen = look(document, document.root, depth: 6, &looked)
        // In pieces it is the same.
        var pieces = Hessian2.Reader(bytes, at: 0)
        let size = 1 + Int(truncatingIfNeeded: digest(input, count) % 7)
        var other: Hessian2.Document?
        while other == nil { other = try pieces.advance(limit: size) }
        looked = 0
        require(other.map { look($0, $0.root, depth: 6, &looked) } == seen, "pieces read otherwise")
    } catch {
        require(error != .tooMuch, "so few bytes are not too much")
        require(error != .tooDeep || count > 128, "so few bytes cannot be so deep")
    }
    return 0
}

/// A number that depends on everything that a value holds, down to a depth.
private func look(_ document: Hessian2.Document, _ value: Hessian2.Document.Value, depth: Int, _ looked: inout Int)
    -> Int
{
    looked += 1
    guard depth > 0, looked < 5000 else { return 1 }
    var sum = Int(document.kind(of: value).rawValue)
    func add(_ number: Int) { sum = sum &* 31 &+ number }
    switch document.kind(of: value) {
    case .null: break
    case .reference: fatalError("a reference was not followed")
    case .boolean: add(document.boolean(value)! ? 1 : 2)
    case .integer: add(Int(document.integer(value)!))
    case .double: add(Int(truncatingIfNeeded: document.double(value)!.bitPattern))
    case .date: add(Int(document.date(value)!))
    case .text: for byte in document.text(value)!.utf8 { add(Int(byte)) }
    case .binary: for byte in document.binary(value)! { add(Int(byte)) }
    case .list, .map, .object:
        for part in document.contents(of: value) { add(look(document, part, depth: depth - 1, &looked)) }
        for name in ["services", "a", ""] {
            if let member = document.member(name, of: value) { add(Int(document.kind(of: member).rawValue)) }
        }
        add(document.className(of: value)?.utf8.count ?? -1)
    }
    return sum
}
