import Balancing
import Runtime

/// How a request's frame names what it calls, as far as hosts differ in that: in labels of its service.
struct CallTerms: Equatable {
    /// The interface version.
    var version: Int32 = 0
    var group: Int32 = 0
    var path = CallPath.interface
}

/// What a request must say to a host that it does not say as it came; nil is as it came.
struct RequestChanges {
    var version: ByteString?
    /// Empty for none.
    var group: ByteString?
    var path: ByteString?
    /// The path stands in the place of the interface, too.
    var isPathInBody = false
}
