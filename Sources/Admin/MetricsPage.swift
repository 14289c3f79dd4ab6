import Runtime
import WebServer

/// A page of metrics, made a part at a time.
final class MetricsPage {
    private let page = PagedResponse(contentType: MetricsText.contentType)
    private var text = MetricsText()

    /// Adds a part.
    func add(_ part: @escaping (inout MetricsText) -> Void) {
        page.add { bytes in
            part(&self.text)
            bytes += self.text.take()
        }
    }

    /// Begins a metric; the series that follow belong to it.
    func begin(_ name: String, _ kind: MetricsText.Kind, _ help: String) { add { $0.begin(name, kind, help) } }

    /// Adds the series of many items.
    func add<Item>(_ items: [Item], _ write: @escaping (inout MetricsText, Item) -> Void) {
        page.add(items) { bytes, item in
            write(&self.text, item)
            bytes += self.text.take()
        }
    }

    /// The answer that sends it.
    func response(on loop: EventLoop) -> Response { page.response(on: loop) }
}
