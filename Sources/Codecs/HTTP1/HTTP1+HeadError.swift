extension HTTP1 {
    /// What is wrong with a head. The same list serves requests and responses; a proxy answers a bad response with 502.
    public enum HeadError: UInt8, Error, CaseIterable, Sendable {
        /// The first line is not a method, a target and a version.
        case badRequestLine
        /// The method is not a token.
        case badMethod
        /// The target has no form that its method allows.
        case badTarget
        /// The first line is not a version, a status from 100 to 999 and a reason.
        case badStatusLine
        /// A version other than 1.x.
        case unsupportedVersion
        /// Too many empty lines before the request line.
        case tooManyEmptyLines
        /// A line ends without a carriage return.
        case bareLineFeed
        /// A carriage return that is not followed by a line feed.
        case bareCarriageReturn
        /// A field value that goes on in a second line.
        case foldedField
        /// Space between field name and colon.
        case spaceBeforeColon
        /// A field name that is not a token, or a line without a colon.
        case badFieldName
        /// A control character in a field value.
        case badFieldValue
        /// HTTP/1.1 without Host.
        case missingHost
        /// More than one Host.
        case duplicateHost
        /// Host, or the authority in the target, is not a host and a port.
        case badHost
        /// Content-Length is not a decimal number up to `Int64.max`.
        case badContentLength
        /// More than one Content-Length.
        case duplicateContentLength
        /// Content-Length and Transfer-Encoding together.
        case lengthAndTransferEncoding
        /// The transfer codings do not end with one `chunked`, or come in several fields.
        case badTransferEncoding
        /// Transfer codings besides `chunked`.
        case unsupportedTransferEncoding
        /// Transfer-Encoding in a message of version 1.0.
        case transferEncodingInOldVersion
        /// Too many names in the Connection fields.
        case tooManyConnectionOptions
        /// More field lines than `maximumFields`.
        case tooManyFields
        /// The head is longer than the limit.
        case headTooLarge
        /// The first line alone is longer than the limit.
        case targetTooLong

        /// Status of the answer to a request with this fault.
        public var status: Int {
            switch self {
            case .targetTooLong: 414
            case .tooManyFields, .headTooLarge: 431
            case .unsupportedTransferEncoding: 501
            case .unsupportedVersion: 505
            default: 400
            }
        }

        /// One line for people, without a full stop.
        public var text: StaticString {
            switch self {
            case .badRequestLine: "malformed request line"
            case .badMethod: "malformed method"
            case .badTarget: "malformed request target"
            case .badStatusLine: "malformed status line"
            case .unsupportedVersion: "HTTP version not supported"
            case .tooManyEmptyLines: "too many empty lines before the request line"
            case .bareLineFeed: "line feed without carriage return"
            case .bareCarriageReturn: "carriage return without line feed"
            case .foldedField: "folded header field"
            case .spaceBeforeColon: "space before the colon of a header field"
            case .badFieldName: "malformed header field name"
            case .badFieldValue: "control character in a header field value"
            case .missingHost: "missing Host"
            case .duplicateHost: "more than one Host"
            case .badHost: "malformed Host"
            case .badContentLength: "malformed Content-Length"
            case .duplicateContentLength: "more than one Content-Length"
            case .lengthAndTransferEncoding: "both Content-Length and Transfer-Encoding"
            case .badTransferEncoding: "malformed Transfer-Encoding"
            case .unsupportedTransferEncoding: "transfer coding not supported"
            case .transferEncodingInOldVersion: "Transfer-Encoding in HTTP/1.0"
            case .tooManyConnectionOptions: "too many connection options"
            case .tooManyFields: "too many header fields"
            case .headTooLarge: "header section too large"
            case .targetTooLong: "request target too long"
            }
        }
    }
}
