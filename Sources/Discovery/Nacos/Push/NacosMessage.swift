/// A message of a Nacos server: an answer to a call, or a request on the stream.
struct NacosMessage {
    /// `SubscribeServiceResponse`, `NotifySubscriberRequest`, ...
    let type: String
    /// JSON.
    let body: [UInt8]
    /// 200 is good.
    let resultCode: Int
    /// 0 is none.
    let errorCode: Int
    /// The server's words; empty for none.
    let message: String
    /// What a request's answer repeats; empty for none.
    let requestID: String
    /// Text members of the outermost object, as far as it was looked at.
    private let texts: [String: String]

    /// A body larger than this is looked at only up to its first list or object: those members are what is wanted of it,
    /// and instance lists are read elsewhere, in pieces.
    private static let small = 1 << 16

    /// Nil when the body is no JSON object.
    init?(_ content: NacosPayload.Content) {
        type = content.type
        body = content.body
        guard let members = JSONText.members(body, in: 0..<body.count, upToContainers: body.count > Self.small) else {
            return nil
        }
        var texts: [String: String] = [:]
        var numbers: [String: Int] = [:]
        for (key, value) in members {
            let name = String(decoding: body[key], as: UTF8.self)
            if let text = JSONText.string(body, value) {
                texts[name] = text
            } else {
                numbers[name] = JSONText.integer(body, value).flatMap { Int(exactly: $0) }
            }
        }
        self.texts = texts
        resultCode = numbers["resultCode"] ?? 200
        errorCode = numbers["errorCode"] ?? 0
        message = texts["message"] ?? ""
        requestID = texts["requestId"] ?? ""
    }

    /// A text member of the outermost object.
    subscript(_ name: String) -> String? { texts[name] }

    /// Why a call was refused; nil when it was not.
    var failure: NacosPushFailure? {
        guard resultCode != 200 || type == "ErrorResponse" else { return nil }
        let words = Excerpt.words(Array(message.utf8))
        let description = "error \(errorCode): \(words)"
        switch errorCode {
        case 300 where type == "ErrorResponse": return NacosPushFailure(kind: .starting, description: description)
        case 301, -401: return NacosPushFailure(kind: .unregistered, description: description)
        case 403:
            let isForbidden = message.contains("authorization failed")
            return NacosPushFailure(kind: isForbidden ? .refused : .login, description: description)
        default: return NacosPushFailure(kind: .refused, description: description)
        }
    }
}

/// Why a call over the push connection has no result.
struct NacosPushFailure: Error, Equatable, CustomStringConvertible {
    enum Kind: Equatable {
        /// The connection is gone, or there was no answer in time.
        case away
        /// The server is not ready yet.
        case starting
        /// The server does not know this connection (any more).
        case unregistered
        /// The server wants another login.
        case login
        /// The call was refused.
        case refused
    }

    let kind: Kind
    let description: String
}
