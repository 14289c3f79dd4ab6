/// One header field as it was sent.
public struct HeaderField: Hashable, Sendable {
    /// In the peer's spelling.
    public var name: String
    /// Without surrounding blanks.
    public var value: String

    /// A field.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A complete HTTP request.
public struct Request: Sendable {
    /// `GET`
    public var method: String
    /// The request target as it was sent: `/a%20b?c=d`.
    public var target: String
    /// 1.1 or, when false, 1.0.
    public var isHTTP11: Bool
    /// In the order they were sent.
    public var headers: [HeaderField]
    /// Without transfer coding.
    public var body: [UInt8]

    /// A request; the server and tests make them.
    public init(
        method: String, target: String, isHTTP11: Bool = true, headers: [HeaderField] = [], body: [UInt8] = []
    ) {
        self.method = method
        self.target = target
        self.isHTTP11 = isHTTP11
        self.headers = headers
        self.body = body
    }

    /// The decoded path of the target: `/a b`. Of an absolute target (`http://host/a`) the part behind the host.
    public var path: String {
        let path = Parameters.decode(pathAndQuery.prefix { $0 != UInt8(ascii: "?") }, plusIsBlank: false)
        return path.isEmpty ? "/" : path
    }

    /// The parameters of the target's query.
    public var query: Parameters {
        Parameters(urlEncoded: pathAndQuery.drop { $0 != UInt8(ascii: "?") }.dropFirst())
    }

    /// The parameters of the query and, behind them, those of a form body.
    public var parameters: Parameters {
        var all = query
        let isForm = header("content-type")?.lowercased().hasPrefix("application/x-www-form-urlencoded") ?? false
        if isForm { all.append(Parameters(urlEncoded: body)) }
        return all
    }

    /// The value of the first field of that name; upper and lower case are the same.
    public func header(_ name: String) -> String? {
        let wanted = name.lowercased()
        return headers.first { $0.name.lowercased() == wanted }?.value
    }

    private var pathAndQuery: Substring.UTF8View {
        guard !target.hasPrefix("/"), let scheme = target.firstRange(of: "://") else { return target[...].utf8 }
        return target[scheme.upperBound...].utf8.drop { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    }
}
