import Runtime
import WebServer

/// A page of JSON, made a part at a time: an array of 100,000 items is as good as one of three.
final class JSONPage {
    private let page = PagedResponse(contentType: "application/json; charset=utf-8")
    private var layout = JSONLayout()

    /// Begins an array or object that the following is in.
    func begin(_ kind: JSONLayout.Kind, named name: String? = nil) {
        page.add { self.layout.begin(kind, named: name, &$0) }
    }

    /// Ends what was begun last.
    func end() { page.add { self.layout.end(&$0) } }

    /// Adds members of an object.
    func members(_ members: KeyValuePairs<String, JSON>) {
        page.add { self.layout.members(members, &$0) }
    }

    /// Adds what many items mean.
    func add<Item>(_ items: [Item], _ write: @escaping (inout JSONLayout, inout [UInt8], Item) -> Void) {
        page.add(items) { write(&self.layout, &$0, $1) }
    }

    /// Looks at many items, which write nothing, before it goes on.
    func prepare<Item>(_ items: [Item], _ look: @escaping (Item) -> Void) {
        page.add(items) { look($1) }
    }

    /// The answer that sends it.
    func response(on loop: EventLoop) -> Response { page.response(on: loop) }
}
