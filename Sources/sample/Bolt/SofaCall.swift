/// A call of a SOFA RPC service with one string, as a Java consumer sends it: what servers need stands in the header map, and
/// much of it in the content once more.
struct SofaCall {
    /// `interface:version[:uniqueId]`
    var service: String
    var method: String
    var argument: String
    /// Further entries of the header map.
    var headers: [(key: String, value: String)] = []
    /// In milliseconds; -1 is none.
    var timeout: Int32 = 3000

    static let fields = ["targetAppName", "methodName", "targetServiceUniqueName", "requestProps", "methodArgSigs"]

    /// The name by which a service is called. Without a version it is 1.0.
    static func uniqueName(_ interface: String, version: String, uniqueID: String) -> String {
        "\(interface):\(version.isEmpty ? "1.0" : version)" + (uniqueID.isEmpty ? "" : ":\(uniqueID)")
    }

    /// The frame as it is sent.
    func frame(_ identifier: UInt32) -> BoltFrame {
        let properties = [("app", "greymesh-sample"), ("protocol", "bolt"), ("type", "sync")] + headers
        let names = [
            (BoltFrame.Name.targetService, service), (BoltFrame.Name.service, service), (BoltFrame.Name.method, method),
        ]
        return BoltFrame(
            request: identifier, timeout: timeout,
            header: (names + properties).map { BoltFrame.Pair(key: $0.0, value: $0.1) },
            content: content(properties))
    }

    private func content(_ properties: [(key: String, value: String)]) -> [UInt8] {
        var writer = SofaWriter()
        writer.begin(BoltFrame.requestClass, Self.fields)
        writer.writeNull()
        writer.write(method)
        writer.write(service)
        writer.write(properties)
        writer.write(array: ["java.lang.String"])
        writer.write(argument)
        return writer.bytes
    }
}

/// What the content of a request says.
struct SofaRequest {
    var method: String
    var arguments: [HessianValue]

    /// Reads the content: the request, and each argument behind it.
    init(parsing content: [UInt8]) throws {
        var reader = SofaReader(content)
        let request = try reader.value()
        guard let method = request.field("methodName")?.text, case .list(let types) = request.field("methodArgSigs")
        else {
            throw HessianError(description: "a request that is no SofaRequest")
        }
        self.method = method
        arguments = try types.map { _ in try reader.value() }
    }
}

/// The content of an answer.
enum SofaResult {
    static let fields = ["isError", "errorMsg", "appResponse", "responseProps"]

    /// A result that `write` writes.
    static func content(_ write: (inout SofaWriter) -> Void) -> [UInt8] {
        var writer = SofaWriter()
        writer.begin(BoltFrame.responseClass, fields)
        writer.write(false)
        writer.writeNull()
        write(&writer)
        writer.writeNull()
        return writer.bytes
    }

    /// An error of the server itself.
    static func content(error text: String) -> [UInt8] {
        var writer = SofaWriter()
        writer.begin(BoltFrame.responseClass, fields)
        writer.write(true)
        writer.write(text)
        writer.writeNull()
        writer.writeNull()
        return writer.bytes
    }

    /// Reads an answer; errors and exceptions are thrown with their text.
    static func read(_ content: [UInt8]) throws -> HessianValue {
        var reader = SofaReader(content)
        let response = try reader.value()
        guard let isError = response.field("isError"), let value = response.field("appResponse") else {
            throw HessianError(description: "an answer that is no SofaResponse")
        }
        if isError == .bool(true) { throw HessianError(description: response.field("errorMsg")?.text ?? "") }
        if case .object(let type, _) = value, let text = value.field("detailMessage") {
            throw HessianError(description: "\(type): \(text.text ?? "")")
        }
        return value
    }
}
