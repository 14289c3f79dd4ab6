// Longest input: 512
// Sources: Sources/Discovery/Shared/Protobuf.swift

/// Reads any bytes as a message, and what stands in its fields too: all of it lies inside, in order.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    read(Array(UnsafeBufferPointer(start: input, count: count)), 0..<count, depth: 4)
    return 0
}

private func read(_ bytes: [UInt8], _ range: Range<Int>, depth: Int) {
    var reader = Protobuf.Reader(bytes, range)
    var position = range.lowerBound
    var writer = Protobuf.Writer()
    do {
        while let (field, value) = try reader.next() {
            require(field > 0, "a field without a number")
            switch value {
            case .fixed: break
            case .number(let number): if field < 16 { writer.field(UInt8(field), number) }
            case .bytes(let inner):
                require(inner.lowerBound > position && inner.upperBound <= range.upperBound, "outside of its message")
                position = inner.upperBound
                if depth > 0 { read(bytes, inner, depth: depth - 1) }
                if let text = try? reader.text(inner) {
                    require(text.utf8.elementsEqual(bytes[inner]), "another text")
                    if field < 16 { writer.field(UInt8(field), text.utf8) }
                }
            }
        }
    } catch {}
    // What is written is read again.
    var again = Protobuf.Reader(writer.bytes, 0..<writer.bytes.count)
    do { while try again.next() != nil {} } catch { fatalError("cannot read what was written") }
}
