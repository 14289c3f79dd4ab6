extension Dubbo {
    /// UTF-8, at most 65535 bytes.
    public struct Text {
        let base: UnsafePointer<UInt8>
        let count: Int

        /// The text must stay where it is for as long as this is used.
        public init(_ base: UnsafePointer<UInt8>, count: Int) {
            self.base = base
            self.count = count
        }
    }

    /// What is to be written anew in a request; nil leaves it as it is.
    public struct Changes {
        /// Body field 2.
        public var service: Text?
        /// The attachment `path`, by which providers look up what is called.
        public var path: Text?
        /// The interface version, in body field 3 and in the attachment: providers check both.
        public var version: Text?
        /// The attachment `group`; empty is the same as none.
        public var group: Text?

        /// No change.
        public init() {}

        private func all(_ isGood: (Text) -> Bool) -> Bool {
            (service.map(isGood) ?? true) && (path.map(isGood) ?? true) && (version.map(isGood) ?? true)
                && (group.map(isGood) ?? true)
        }

        fileprivate var areShort: Bool { all { $0.count <= 0xffff } }
        fileprivate var arePlainJSON: Bool { all { isPlainJSON($0.base, $0.count) } }
    }

    /// Bytes that `rewrite` may need for a frame of `frameCount` bytes.
    public static func rewrittenBound(frameCount: Int, _ changes: Changes) -> Int {
        func bound(_ text: Text?) -> Int {
            guard let text else { return 0 }
            return 24 &+ Swift.max(Hessian2.textBound(text.count), JSONB.textBound(text.count) &+ 4)
        }
        return frameCount &+ 16 &+ bound(changes.service) &+ bound(changes.path) &+ 2 &* bound(changes.version)
            &+ bound(changes.group)
    }

    /// Writes a request anew with parts of it changed.
    ///
    /// An attachment that is plain text is replaced; otherwise one is appended, which wins over earlier ones, and a map is made where
    /// there is none. Everything else stays as it was, byte for byte, but for the lengths.
    ///
    /// - Parameters:
    ///   - frame: Head and body.
    ///   - invocation: What `parseInvocation` made of that body.
    ///   - scratch: What it was read with.
    ///   - out: `rewrittenBound` bytes that overlap neither `frame` nor a text.
    /// - Returns: Size of the new frame; 0 when the serialization is opaque, a text cannot be written in it, or the body would reach
    ///   2^31 bytes.
    public static func rewrite(
        frame: UnsafePointer<UInt8>, count: Int, _ invocation: Invocation, _ scratch: borrowing Scratch,
        _ changes: Changes, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let serialization = Serialization(id: frame[2])
        if invocation.attachmentForm == .unknown || !changes.areShort { return 0 }
        switch serialization {
        case .hessian2, .fastjson2: break
        case .fastjson where changes.arePlainJSON: break
        default: return 0
        }
        var writer = FrameWriter(frame: frame, count: count, serialization: serialization, out: out)
        writer.rewriteFields(invocation, changes)
        let body = frame + headSize
        var attachments = AttachmentChanges()
        attachments.path = changes.path.map {
            AttachmentChange(key: "path", value: $0, place: textField("path", body, serialization, scratch))
        }
        attachments.version = changes.version.map {
            AttachmentChange(key: "version", value: $0, place: invocation.versionAttachmentField)
        }
        attachments.group = changes.group.map {
            AttachmentChange(key: "group", value: $0, place: textField("group", body, serialization, scratch))
        }
        if !attachments.isEmpty { writer.rewriteAttachments(invocation, &attachments) }
        writer.copyRest()
        let length = writer.size &- headSize
        if length >= 0x8000_0000 { return 0 }
        BigEndian.store(UInt32(truncatingIfNeeded: length), out, 12)
        return writer.size
    }

    /// The value of the last attachment with that very key, with its encoding; `.none` when it is not plain text.
    private static func textField(
        _ key: StaticString, _ body: UnsafePointer<UInt8>, _ serialization: Serialization, _ scratch: borrowing Scratch
    ) -> ByteRange {
        var attachment = scratch.attachments + scratch.attachmentCount
        while attachment != scratch.attachments {
            attachment -= 1
            guard equals(body, attachment.pointee.key, key) else { continue }
            if !attachment.pointee.isText { return .none }
            var field = attachment.pointee.field
            // The closing quote.
            if serialization == .fastjson { field.count &+= 1 }
            return field
        }
        return .none
    }
}

/// An attachment that is set.
private struct AttachmentChange {
    let key: StaticString
    let value: Dubbo.Text
    /// Where its old value stands; `.none` when it is to be appended.
    let place: ByteRange
}

private struct AttachmentChanges {
    var path: AttachmentChange?
    var version: AttachmentChange?
    var group: AttachmentChange?

    var isEmpty: Bool { path == nil && version == nil && group == nil }

    /// Takes the next one in the order of their places, those without one last.
    mutating func next() -> AttachmentChange? {
        func place(_ change: AttachmentChange?) -> Int32 {
            guard let change else { return .max }
            return change.place.isEmpty ? .max - 1 : change.place.start
        }
        let places = (place(path), place(version), place(group))
        if places.0 <= places.1 && places.0 <= places.2 { return path.take() }
        return places.1 <= places.2 ? version.take() : group.take()
    }
}

/// Copies a frame with pieces of its body replaced; places are places in the old body.
private struct FrameWriter {
    let frame: UnsafePointer<UInt8>
    let count: Int
    let serialization: Dubbo.Serialization
    let out: UnsafeMutablePointer<UInt8>
    /// Bytes written.
    private(set) var size = 0
    /// Bytes of the old frame that were copied or left out.
    private var consumed = 0

    init(
        frame: UnsafePointer<UInt8>, count: Int, serialization: Dubbo.Serialization, out: UnsafeMutablePointer<UInt8>
    ) {
        self.frame = frame
        self.count = count
        self.serialization = serialization
        self.out = out
    }

    private mutating func copy(upTo place: Int) {
        let end = Dubbo.headSize &+ place
        (out + size).update(from: frame + consumed, count: end &- consumed)
        size &+= end &- consumed
        consumed = end
    }

    mutating func copyRest() { copy(upTo: count &- Dubbo.headSize) }

    private mutating func leaveOut(upTo place: Int) { consumed = Dubbo.headSize &+ place }

    private mutating func write(_ byte: UInt8) {
        out[size] = byte
        size &+= 1
    }

    private mutating func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        (out + size).update(from: bytes, count: count)
        size &+= count
    }

    /// Writes the length of what was written since `start` in the four bytes before it.
    private func writeElementLength(_ start: Int) {
        BigEndian.store(UInt32(truncatingIfNeeded: size &- start), out, start &- 4)
    }

    private mutating func writeValue(_ text: Dubbo.Text) {
        switch serialization {
        case .hessian2: size &+= Hessian2.writeText(text.base, text.count, out + size)
        case .fastjson2: size &+= JSONB.writeText(text.base, text.count, out + size)
        default:
            write(0x22)
            write(text.base, text.count)
            write(0x22)
        }
    }

    // MARK: Fields

    mutating func rewriteFields(_ invocation: Dubbo.Invocation, _ changes: Dubbo.Changes) {
        let version = invocation.bodyVersionField
        if let service = changes.service {
            let start = serviceStart(invocation)
            rewriteField(ByteRange(start: start, count: Int(version.start) &- start), service)
        }
        if let text = changes.version { rewriteField(version, text) }
    }

    private mutating func rewriteField(_ field: ByteRange, _ text: Dubbo.Text) {
        copy(upTo: Int(field.start))
        if serialization == .fastjson2 { size &+= 4 }
        let start = size
        writeValue(text)
        if serialization == .fastjson2 { writeElementLength(start) }
        if serialization == .fastjson { write(0x0a) }
        leaveOut(upTo: field.end)
    }

    /// Where body field 2 begins: behind the first field, which can be null.
    private func serviceStart(_ invocation: Dubbo.Invocation) -> Int {
        let body = frame + Dubbo.headSize
        switch serialization {
        case .hessian2: return Swift.max(1, invocation.protocolVersion.end)
        case .fastjson2: return 4 &+ BigEndian.load32(body, 0)
        default:
            var at = 0
            while body[at] != 0x0a { at &+= 1 }
            return at &+ 1
        }
    }

    // MARK: Attachments

    mutating func rewriteAttachments(_ invocation: Dubbo.Invocation, _ changes: inout AttachmentChanges) {
        let hasMap = invocation.attachmentForm == .untypedMap || invocation.attachmentForm == .typedMap
        copy(upTo: Int(invocation.attachments.start))
        // fastjson2's map stands behind its length.
        let start = size &+ 4
        if !hasMap { beginMap(replacing: invocation.attachments) }
        var entries = hasMap ? invocation.attachmentCount : 0
        while let change = changes.next() {
            if !change.place.isEmpty {
                copy(upTo: Int(change.place.start))
                writeValue(change.value)
                leaveOut(upTo: change.place.end)
                continue
            }
            if hasMap { copy(upTo: Int(invocation.attachmentsEndMark)) }
            if serialization == .fastjson && entries > 0 { write(0x2c) }
            writeKey(change.key)
            writeValue(change.value)
            entries &+= 1
        }
        if hasMap { copy(upTo: invocation.attachments.end) } else { endMap() }
        if serialization == .fastjson2 { writeElementLength(start) }
    }

    /// Puts a map in the place of null or nothing.
    private mutating func beginMap(replacing old: ByteRange) {
        switch serialization {
        case .hessian2: write(0x48)
        case .fastjson2:
            size &+= 4
            write(JSONB.object)
        default:
            // The last line of a body may lack its end.
            if frame[consumed &- 1] != 0x0a { write(0x0a) }
            write(0x7b)
        }
        leaveOut(upTo: old.end)
    }

    private mutating func endMap() {
        switch serialization {
        case .hessian2: write(Hessian2.endMark)
        case .fastjson2: write(JSONB.objectEnd)
        default:
            write(0x7d)
            write(0x0a)
        }
    }

    /// Keys are short and ASCII.
    private mutating func writeKey(_ key: StaticString) {
        let length = UInt8(truncatingIfNeeded: key.utf8CodeUnitCount)
        switch serialization {
        case .hessian2: write(length)
        case .fastjson2: write(0x49 &+ length)
        default: write(0x22)
        }
        write(key.utf8Start, key.utf8CodeUnitCount)
        if serialization == .fastjson {
            write(0x22)
            write(0x3a)
        }
    }
}
