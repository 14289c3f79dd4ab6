import Runtime
import WebServer

/// A page of metrics on its way to a client. With very many services and hosts it takes longer than the control loop may be
/// kept busy, so it is written a part at a time, and no faster than the client reads.
final class MetricsPage {
    private var parts: [(inout MetricsText) -> Void] = []
    private var done = 0
    private var text = MetricsText()

    /// Items whose series are written in one go.
    private static let partSize = 16
    /// With so many bytes that the client has not read it has to wait.
    private static let mostPending = 256 * 1024

    /// Adds a part.
    func add(_ part: @escaping (inout MetricsText) -> Void) { parts.append(part) }

    /// Begins a metric; the series that follow belong to it.
    func begin(_ name: String, _ kind: MetricsText.Kind, _ help: String) { add { $0.begin(name, kind, help) } }

    /// Adds the series of many items.
    func add<Item>(_ items: [Item], _ write: @escaping (inout MetricsText, Item) -> Void) {
        for start in stride(from: 0, to: items.count, by: Self.partSize) {
            add { text in
                for item in items[start..<min(start + Self.partSize, items.count)] { write(&text, item) }
            }
        }
    }

    /// The answer that sends it.
    func response(on loop: EventLoop) -> Response {
        Response(
            headers: [HeaderField("Content-Type", MetricsText.contentType)],
            body: .stream { writer in self.send(to: writer, on: loop) })
    }

    private func send(to writer: BodyWriter, on loop: EventLoop) {
        guard writer.isOpen else { return }
        let deadline = Clock.nanoseconds + EventLoop.slice.nanoseconds
        let mayWrite = writer.pendingBytes <= Self.mostPending
        while mayWrite, done < parts.count, Clock.nanoseconds < deadline {
            parts[done](&text)
            done += 1
        }
        writer.write(text.take())
        if done == parts.count { return writer.finish() }
        loop.schedule(after: mayWrite ? .zero : .milliseconds(10)) { self.send(to: writer, on: loop) }
    }
}
