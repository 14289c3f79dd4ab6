import CCurl
import Configuration

extension TLSSettings {
    /// Tells libcurl to speak TLS like this: 1.2 or later, and to nobody whose certificate and name are not right.
    ///
    /// Every connection is verified anew, with the files as they are then, or were a second ago.
    func prepare(_ easy: UnsafeMutableRawPointer) {
        ccurl_set_long(easy, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        ccurl_set_long(easy, CURLOPT_SSL_VERIFYPEER, 1)
        ccurl_set_long(easy, CURLOPT_SSL_VERIFYHOST, 2)
        // A session that is taken up again would stand for certificates that may have been replaced.
        ccurl_set_long(easy, CURLOPT_SSL_SESSIONID_CACHE, 0)
        if let authorities {
            ccurl_set_text(easy, CURLOPT_CAINFO, authorities)
            ccurl_set_text(easy, CURLOPT_CAPATH, nil)
            // Long lists take 30 ms as well, and a Consul registry makes a hundred connections at once: in seconds.
            ccurl_set_long(easy, CURLOPT_CA_CACHE_TIMEOUT, 1)
        } else if Self.hasSystemFile(easy) {
            // Reading all of them takes some 30 ms. libcurl keeps them for a day, but not with a folder of them beside it.
            ccurl_set_text(easy, CURLOPT_CAPATH, nil)
        }
        if let certificate {
            ccurl_set_text(easy, CURLOPT_SSLCERT, certificate)
            ccurl_set_text(easy, CURLOPT_SSLKEY, key ?? certificate)
            // Otherwise OpenSSL asks the terminal for the passphrase of a key that has one, and waits.
            ccurl_set_text(easy, CURLOPT_KEYPASSWD, "")
        }
    }

    private static func hasSystemFile(_ easy: UnsafeMutableRawPointer) -> Bool {
        var file: UnsafeMutableRawPointer?
        ccurl_get_pointer(easy, CURLINFO_CAINFO, &file)
        return file != nil
    }

    /// Why there is no connection, in words for an operator; nil when it failed for reasons beside TLS.
    ///
    /// - Parameters:
    ///   - details: libcurl's words about this failure.
    ///   - isNew: the connection was made a moment ago, and nothing has come over it.
    func failure(_ code: CURLcode, details: String, isNew: Bool) -> String? {
        var words = Self.reason(in: details)
        let isAlert = words.contains(" alert ")
        let isBroken = [CURLE_RECV_ERROR, CURLE_SEND_ERROR].contains(code)
        let isAboutUs = words.contains("certificate") || words.contains("handshake failure")
        if certificate == nil, isAlert && isAboutUs || isBroken && isNew {
            words += "; the server may want a client certificate"
        }
        switch code {
        case CURLE_SSL_CERTPROBLEM:
            let file = certificate ?? ""
            return words.contains(file) ? words : "\(file): \(words)"
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CLIENTCERT:
            return words
        // With TLS 1.3 a server that refuses the client says so after the handshake, or is not heard any more.
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR: return isNew ? words : nil
        default: return nil
        }
    }

    /// What OpenSSL's `…error:0A00010B:SSL routines::wrong version number` wants to say.
    private static func reason(in details: String) -> String {
        var words = details[...]
        if details.hasPrefix("error:") || details.hasPrefix("OpenSSL "), let end = details.firstRange(of: "routines:"),
            let colon = details[end.upperBound...].firstIndex(of: ":")
        {
            words = details[details.index(after: colon)...]
            if let errno = words.firstRange(of: ", errno") { words = words[..<errno.lowerBound] }
        }
        return words.hasSuffix("wrong version number") ? "the server does not speak TLS (\(words))" : String(words)
    }
}
