import Model

/// A span of keys: those from `key` up to `end`, or one key where `end` is empty.
struct EtcdSpan: Hashable {
    let key: [UInt8]
    let end: [UInt8]

    /// One key.
    init(key: String) {
        self.key = Array(key.utf8)
        end = []
    }

    /// All keys that begin with a text.
    init(prefix: String) {
        key = Array(prefix.utf8)
        end = Self.end(of: key)
    }

    /// The first key after all that begin with `prefix`; everything that follows where there is none.
    static func end(of prefix: [UInt8]) -> [UInt8] {
        var end = prefix
        while let last = end.popLast() {
            if last < 0xff { return end + [last + 1] }
        }
        return [0]
    }

    /// The members `key` and `range_end` of a request, from a key on.
    func members(from start: [UInt8]? = nil) -> String {
        let first = #""key":"\#(Base64.encode(start ?? key))""#
        return end.isEmpty ? first : first + #","range_end":"\#(Base64.encode(end))""#
    }
}

/// Where something about a service stands: the direct children of a prefix, or one key.
struct EtcdPlace: Hashable {
    /// What is found there.
    enum Content: Hashable {
        /// Dubbo's URLs, as names.
        case providers
        /// Override URLs for an interface, as names.
        case configurators(String)
        case kratos
        case goZero
        case goMicro
        /// Instances of a Dubbo 3 application.
        case application(String)
        /// The names of the applications that offer an interface.
        case mapping
        /// What a revision of an application offers.
        case metadata
    }

    let content: Content
    /// The keys.
    let span: EtcdSpan
    /// What is watched for it: a span that holds it and all of its kind, or it alone.
    let root: EtcdSpan

    /// The places where a service's hosts stand in a layout.
    static func places(of service: ServiceKey, _ layout: EtcdLayout) -> [EtcdPlace] {
        guard layout.kind.services == service.kind, !service.name.isEmpty else { return [] }
        let root = EtcdSpan(prefix: layout.prefix + "/")
        let folder = "\(layout.prefix)/\(service.name)/"
        switch layout.kind {
        case .dubbo:
            let name = PercentEncoding.encode(service.name)
            return [
                EtcdPlace(
                    content: .configurators(service.name),
                    span: EtcdSpan(prefix: "\(layout.prefix)/\(name)/configurators/"), root: root),
                EtcdPlace(
                    content: .providers, span: EtcdSpan(prefix: "\(layout.prefix)/\(name)/providers/"), root: root),
                EtcdPlace(
                    content: .mapping, span: EtcdSpan(key: "\(layout.prefix)/mapping/\(service.name)"), root: root),
            ]
        case .kratos: return [EtcdPlace(content: .kratos, span: EtcdSpan(prefix: folder), root: root)]
        case .goMicro:
            // As go-micro writes names.
            let name = String(service.name.map { $0 == "/" ? "-" : $0 })
            return [
                EtcdPlace(content: .goMicro, span: EtcdSpan(prefix: "\(layout.prefix)/\(name)/"), root: root)
            ]
        case .goZero:
            let span = EtcdSpan(prefix: goZeroKey(service.name, layout) + "/")
            // Names begin where all keys begin: without a prefix each service is watched by itself.
            return [EtcdPlace(content: .goZero, span: span, root: layout.prefix.isEmpty ? span : root)]
        }
    }

    /// The key under which a go-zero service stands.
    static func goZeroKey(_ name: String, _ layout: EtcdLayout) -> String {
        layout.prefix.isEmpty ? name : "\(layout.prefix)/\(name)"
    }

    /// Where dubbo-go lists the instances of an application.
    static func application(_ name: String) -> EtcdPlace {
        EtcdPlace(
            content: .application(name), span: EtcdSpan(prefix: "/services/\(name)/"),
            root: EtcdSpan(prefix: "/services/"))
    }

    /// Where dubbo-go's metadata centre keeps what a revision of an application offers.
    static func metadata(_ application: String, _ revision: String, _ layout: EtcdLayout) -> EtcdPlace {
        EtcdPlace(
            content: .metadata, span: EtcdSpan(key: "\(layout.prefix)/metadata/\(application)/\(revision)"),
            root: EtcdSpan(prefix: layout.prefix + "/"))
    }
}

/// Base64 with padding, as JSON carries bytes.
enum Base64 {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xff, count: 256)
        for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
        return values
    }()

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var group: UInt32 = 0
            for index in 0..<3 { group = group << 8 | (index < count ? UInt32(bytes[start + index]) : 0) }
            for index in 0..<4 {
                text.append(index <= count ? digits[Int(group >> (18 - 6 * UInt32(index)) & 63)] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Nil where it is no base64.
    static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        let digits =
            text.last == UInt8(ascii: "=") ? text.dropLast(text.dropLast().last == UInt8(ascii: "=") ? 2 : 1) : text
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var group: UInt32 = 0
        var count = 0
        for digit in digits {
            let value = values[Int(digit)]
            if value == 0xff { return nil }
            group = group << 6 | UInt32(value)
            count += 1
            if count == 4 {
                bytes.append(UInt8(truncatingIfNeeded: group >> 16))
                bytes.append(UInt8(truncatingIfNeeded: group >> 8))
                bytes.append(UInt8(truncatingIfNeeded: group))
                (group, count) = (0, 0)
            }
        }
        switch count {
        case 2: bytes.append(UInt8(truncatingIfNeeded: group >> 4))
        case 3:
            bytes.append(UInt8(truncatingIfNeeded: group >> 10))
            bytes.append(UInt8(truncatingIfNeeded: group >> 2))
        case 1: return nil
        default: break
        }
        return bytes
    }
}
