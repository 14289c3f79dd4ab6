extension Dubbo {
    /// Bytes that `rewriteVersion` may need for a frame of `frameCount` bytes and a version of `versionCount`.
    public static func rewrittenBound(frameCount: Int, versionCount: Int) -> Int {
        frameCount &+ 32 &+ 2 &* Swift.max(Hessian2.textBound(versionCount), JSONB.textBound(versionCount) &+ 4)
    }

    /// Writes a request anew with another interface version, in the body field and in the attachment: providers check both.
    ///
    /// An attachment `version` that is plain text is replaced; otherwise one is appended, which wins over earlier ones, and a
    /// map is made where there is none. Everything else stays as it was, byte for byte, but for the lengths.
    ///
    /// - Parameters:
    ///   - frame: Head and body.
    ///   - invocation: What `parseInvocation` made of that body.
    ///   - version: UTF-8, at most 65535 bytes.
    ///   - out: `rewrittenBound` bytes that do not overlap `frame`.
    /// - Returns: Size of the new frame; 0 when the serialization is opaque, the version cannot be written in it, or the body
    ///   would reach 2^31 bytes.
    public static func rewriteVersion(
        frame: UnsafePointer<UInt8>, count: Int, _ invocation: Invocation, version: UnsafePointer<UInt8>,
        versionCount: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let serialization = Serialization(id: frame[2])
        if invocation.attachmentForm == .unknown || versionCount > 0xffff { return 0 }
        var writer = FrameWriter(frame: frame, count: count, out: out)
        switch serialization {
        case .hessian2: writer.rewriteHessian2(invocation, version, versionCount)
        case .fastjson2: writer.rewriteFastjson2(invocation, version, versionCount)
        case .fastjson where isPlainJSON(version, versionCount):
            writer.rewriteFastjson(invocation, version, versionCount)
        default: return 0
        }
        let length = writer.size &- headSize
        if length >= 0x8000_0000 { return 0 }
        BigEndian.store(UInt32(truncatingIfNeeded: length), out, 12)
        return writer.size
    }

    /// Copies a frame with pieces of its body replaced; places are places in the old body.
    private struct FrameWriter {
        let frame: UnsafePointer<UInt8>
        let count: Int
        let out: UnsafeMutablePointer<UInt8>
        /// Bytes written.
        var size = 0
        /// Bytes of the old frame that were copied or left out.
        var consumed = 0

        init(frame: UnsafePointer<UInt8>, count: Int, out: UnsafeMutablePointer<UInt8>) {
            self.frame = frame
            self.count = count
            self.out = out
        }

        mutating func copy(upTo place: Int) {
            let end = headSize &+ place
            (out + size).update(from: frame + consumed, count: end &- consumed)
            size &+= end &- consumed
            consumed = end
        }

        mutating func copyRest() { copy(upTo: count &- headSize) }

        mutating func leaveOut(upTo place: Int) { consumed = headSize &+ place }

        mutating func write(_ byte: UInt8) {
            out[size] = byte
            size &+= 1
        }

        /// Writes the length of what was written since `start` in the four bytes before it.
        func writeElementLength(_ start: Int) {
            BigEndian.store(UInt32(truncatingIfNeeded: size &- start), out, start &- 4)
        }

        mutating func rewriteHessian2(_ invocation: Invocation, _ version: UnsafePointer<UInt8>, _ versionCount: Int) {
            copy(upTo: Int(invocation.bodyVersionField.start))
            size &+= Hessian2.writeText(version, versionCount, out + size)
            leaveOut(upTo: invocation.bodyVersionField.end)
            let old = invocation.versionAttachmentField
            if !old.isEmpty {
                copy(upTo: Int(old.start))
                size &+= Hessian2.writeText(version, versionCount, out + size)
                leaveOut(upTo: old.end)
                copyRest()
                return
            }
            let hasMap = invocation.attachmentForm == .untypedMap || invocation.attachmentForm == .typedMap
            copy(upTo: hasMap ? Int(invocation.attachmentsEndMark) : Int(invocation.attachments.start))
            if !hasMap { write(0x48) }
            writeVersionKey(0x07)
            size &+= Hessian2.writeText(version, versionCount, out + size)
            if !hasMap {
                write(Hessian2.endMark)
                leaveOut(upTo: invocation.attachments.end)
            }
            copyRest()
        }

        mutating func rewriteFastjson2(_ invocation: Invocation, _ version: UnsafePointer<UInt8>, _ versionCount: Int) {
            copy(upTo: Int(invocation.bodyVersionField.start))
            let fieldStart = size &+ 4
            size = fieldStart &+ JSONB.writeText(version, versionCount, out + fieldStart)
            writeElementLength(fieldStart)
            leaveOut(upTo: invocation.bodyVersionField.end)

            copy(upTo: Int(invocation.attachments.start))
            let mapStart = size &+ 4
            let old = invocation.versionAttachmentField
            let hasMap = invocation.attachmentForm == .untypedMap || invocation.attachmentForm == .typedMap
            if hasMap {
                copy(upTo: old.isEmpty ? Int(invocation.attachmentsEndMark) : Int(old.start))
            } else {
                size = mapStart
                write(JSONB.object)
                leaveOut(upTo: invocation.attachments.end)
            }
            if old.isEmpty { writeVersionKey(0x50) }
            size &+= JSONB.writeText(version, versionCount, out + size)
            if hasMap {
                if !old.isEmpty { leaveOut(upTo: old.end) }
                copy(upTo: invocation.attachments.end)
            } else {
                write(JSONB.objectEnd)
            }
            writeElementLength(mapStart)
            copyRest()
        }

        mutating func rewriteFastjson(_ invocation: Invocation, _ version: UnsafePointer<UInt8>, _ versionCount: Int) {
            copy(upTo: Int(invocation.bodyVersionField.start))
            writeQuoted(version, versionCount)
            write(0x0a)
            leaveOut(upTo: invocation.bodyVersionField.end)
            let old = invocation.versionAttachmentField
            if !old.isEmpty {
                copy(upTo: Int(old.start))
                writeQuoted(version, versionCount)
                leaveOut(upTo: old.end)
                copyRest()
                return
            }
            let hasMap = invocation.attachmentForm == .untypedMap
            copy(upTo: hasMap ? Int(invocation.attachmentsEndMark) : Int(invocation.attachments.start))
            if !hasMap {
                // The last line of a body may lack its end.
                if frame[consumed &- 1] != 0x0a { write(0x0a) }
                write(0x7b)
            }
            if invocation.attachmentCount > 0 { write(0x2c) }
            writeVersionKey(0x22)
            write(0x22)
            write(0x3a)
            writeQuoted(version, versionCount)
            if !hasMap {
                write(0x7d)
                write(0x0a)
                leaveOut(upTo: invocation.attachments.end)
            }
            copyRest()
        }

        private mutating func writeQuoted(_ text: UnsafePointer<UInt8>, _ count: Int) {
            write(0x22)
            (out + size).update(from: text, count: count)
            size &+= count
            write(0x22)
        }

        private mutating func writeVersionKey(_ code: UInt8) {
            write(code)
            let key: StaticString = "version"
            (out + size).update(from: key.utf8Start, count: key.utf8CodeUnitCount)
            size &+= key.utf8CodeUnitCount
        }
    }
}
