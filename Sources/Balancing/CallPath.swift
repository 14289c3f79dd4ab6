/// Under which path a Dubbo provider exports an interface, as a small number.
///
/// Providers look up what is called by the attachment `path`. Those of Dubbo 2.7 and later check before that whether they know the service
/// of body field 2, and want the interface there; consumers of older versions write the path in both places.
@frozen
public struct CallPath: Equatable, Sendable {
    @usableFromInline let number: Int32

    /// The interface, in both places: what nearly all providers have.
    @inlinable public static var interface: CallPath { CallPath(number: 0) }
    /// What no provider has.
    @inlinable public static var other: CallPath { CallPath(number: -1) }

    @inlinable init(number: Int32) { self.number = number }

    /// A path of the provider's own.
    ///
    /// - Parameters:
    ///   - label: of the path, in the service's label table; not 0.
    ///   - isInBody: it stands in body field 2 as well.
    public init(label: Int, isInBody: Bool) {
        number = label > 0 ? Int32(truncatingIfNeeded: label) << 1 | (isInBody ? 1 : 0) : -1
    }

    /// The path's label; 0 is the interface.
    public var label: Int { number > 0 ? Int(number >> 1) : 0 }

    /// Whether the path stands in body field 2 as well.
    public var isInBody: Bool { number > 0 && number & 1 == 1 }
}
