import Runtime
import WebServer

/// A long page on its way to a client. It takes longer than the control loop may be kept busy, so it is written a part at a time,
/// and no faster than the client reads.
final class PagedResponse {
    /// Appends a part of the page.
    typealias Part = (inout [UInt8]) -> Void

    /// Items that are written in one part.
    static let partSize = 16

    private let contentType: String
    private var parts: [Part] = []
    private var done = 0

    /// With so many bytes that the client has not read it has to wait.
    private static let mostPending = 256 * 1024

    init(contentType: String) { self.contentType = contentType }

    /// Adds a part.
    func add(_ part: @escaping Part) { parts.append(part) }

    /// Adds the parts of many items.
    func add<Item>(_ items: [Item], _ write: @escaping (inout [UInt8], Item) -> Void) {
        for start in stride(from: 0, to: items.count, by: Self.partSize) {
            add { bytes in
                for item in items[start..<min(start + Self.partSize, items.count)] { write(&bytes, item) }
            }
        }
    }

    /// The answer that sends it.
    func response(on loop: EventLoop) -> Response {
        Response(
            headers: [HeaderField("Content-Type", contentType)],
            body: .stream { writer in self.send(to: writer, on: loop) })
    }

    private func send(to writer: BodyWriter, on loop: EventLoop) {
        guard writer.isOpen else { return }
        let deadline = Clock.nanoseconds + EventLoop.slice.nanoseconds
        let mayWrite = writer.pendingBytes <= Self.mostPending
        var bytes: [UInt8] = []
        while mayWrite, done < parts.count, Clock.nanoseconds < deadline {
            parts[done](&bytes)
            done += 1
        }
        writer.write(bytes)
        if done == parts.count { return writer.finish() }
        loop.schedule(after: mayWrite ? .zero : .milliseconds(10)) { self.send(to: writer, on: loop) }
    }
}
