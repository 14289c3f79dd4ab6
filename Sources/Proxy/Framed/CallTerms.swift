import Balancing
import Runtime

/// How a frame names what it calls, besides the interface version: in labels of its service.
struct CallTerms: Equatable {
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
