extension Dubbo {
    /// A call with texts as arguments, for questions of our own.
    public struct TextCall: Sendable {
        /// The interface.
        public var service: String
        /// Its version; empty for none.
        public var version = ""
        /// Its group; empty for none.
        public var group = ""
        /// The method.
        public var method: String
        /// What it is called with.
        public var arguments: [String]

        /// A call.
        public init(service: String, version: String = "", group: String = "", method: String, arguments: [String]) {
            self.service = service
            self.version = version
            self.group = group
            self.method = method
            self.arguments = arguments
        }

        /// Longest text that can be sent, in bytes of UTF-8.
        public static let longestText = 65_535

        /// Every text can be sent.
        public var isValid: Bool {
            ([service, version, group, method] + arguments).allSatisfy { $0.utf8.count <= Self.longestText }
                && arguments.count < 256
        }
    }

    /// The frame of a call in Hessian2 that wants an answer. The call must be valid.
    public static func request(_ call: TextCall, id: Int64) -> [UInt8] {
        precondition(call.isValid)
        let version = call.version.isEmpty ? "0.0.0" : call.version
        let types = String(repeating: "Ljava/lang/String;", count: call.arguments.count)
        var body: [UInt8] = []
        for text in ["2.0.2", call.service, version, call.method, types] + call.arguments {
            body += Hessian2.text(text)
        }
        body.append(0x48)
        var attachments = [("path", call.service), ("interface", call.service), ("version", version)]
        if !call.group.isEmpty { attachments.append(("group", call.group)) }
        for (name, value) in attachments {
            body += Hessian2.text(name)
            body += Hessian2.text(value)
        }
        body.append(Hessian2.endMark)
        var head = [UInt8](repeating: 0, count: headSize)
        head.withUnsafeMutableBufferPointer {
            writeHead(FrameHead(flags: 0xc2, status: 0, id: id, bodyLength: body.count), $0.baseAddress!)
        }
        return head + body
    }
}

extension Hessian2 {
    /// A text as a value; at most `Dubbo.TextCall.longestText` bytes long in UTF-8.
    public static func text(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        let room = textBound(bytes.count)
        return [UInt8](unsafeUninitializedCapacity: room) { out, count in
            count = bytes.withUnsafeBufferPointer { bytes in
                // An empty array may have no address.
                guard let text = bytes.baseAddress, let out = out.baseAddress, !bytes.isEmpty else {
                    out[0] = 0
                    return 1
                }
                return writeText(text, bytes.count, out)
            }
        }
    }
}
