/// How the servers of a registry are spoken to over TLS: files with certificates in PEM.
public struct TLSSettings: Hashable, Sendable {
    /// Certificates that are trusted in place of the system's; nil: the system's.
    public var authorities: String?
    /// The certificate that is shown to servers; nil shows none.
    public var certificate: String?
    /// Its key; nil: it is in the file of the certificate.
    public var key: String?

    /// TLS with the system's authorities and no certificate of its own.
    public init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }

    /// The same with relative paths taken from a folder.
    func resolved(in folder: String) -> TLSSettings {
        func path(_ file: String?) -> String? { file.map { FilePath.resolved($0, in: folder) } }
        return TLSSettings(authorities: path(authorities), certificate: path(certificate), key: path(key))
    }

    /// Looks into the files.
    ///
    /// - Throws: `InvalidValue` that names the file that cannot be read or holds something else.
    public func check() throws(InvalidValue) {
        if let authorities, try Self.labels(authorities).allSatisfy({ !$0.hasSuffix("CERTIFICATE") }) {
            throw InvalidValue("\(authorities) holds no certificate in PEM")
        }
        guard let certificate else { return }
        guard try Self.labels(certificate).contains(where: { $0.hasSuffix("CERTIFICATE") }) else {
            throw InvalidValue("\(certificate) holds no certificate in PEM")
        }
        let keys = try Self.labels(key ?? certificate).filter { $0.hasSuffix("PRIVATE KEY") }
        if keys.isEmpty {
            let hint = key == nil ? "; write key=FILE where it is in another" : ""
            throw InvalidValue("\(key ?? certificate) holds no private key in PEM\(hint)")
        }
        // Nobody is there to be asked for it.
        if keys.contains(where: { $0.hasPrefix("ENCRYPTED") }) {
            throw InvalidValue("the key in \(key ?? certificate) has a passphrase; it is needed without one")
        }
    }

    /// What a file of PEM says it holds: `CERTIFICATE`, `EC PRIVATE KEY`.
    private static func labels(_ file: String) throws(InvalidValue) -> [String] {
        let bytes: [UInt8]
        do throws(ConfigurationErrors) {
            bytes = try Configuration.contents(of: file)
        } catch {
            throw InvalidValue("\(file) \(error.errors[0].message)")
        }
        var labels: [String] = []
        for line in bytes.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
            let text = String(decoding: line.prefix(100), as: UTF8.self)
            if text.hasPrefix("-----BEGIN "), let end = text.lastIndex(where: { $0 != "-" && $0 != " " }) {
                labels.append(String(text[...end].dropFirst("-----BEGIN ".count)))
            } else if text.hasPrefix("Proc-Type: 4,ENCRYPTED"), let last = labels.popLast() {
                labels.append("ENCRYPTED " + last)
            }
        }
        return labels
    }
}

extension RegistryURL {
    /// Parameters of registries that are spoken to over HTTP.
    static let tlsParameters = ["tls", "ca", "cert", "key"]

    /// How servers are spoken to over TLS, with paths as they are written; nil: in plain.
    public var tls: TLSSettings? {
        guard parameters["tls"] == "on" else { return nil }
        return TLSSettings(authorities: parameters["ca"], certificate: parameters["cert"], key: parameters["key"])
    }

    /// `http://HOST:PORT` or `https://HOST:PORT` of each server.
    public var origins: [String] { servers.map { "\(tls == nil ? "http" : "https")://\($0)" } }

    /// Refuses what would be of no effect, and with it a connection in plain that was meant to be none.
    func checkTLS() throws(InvalidValue) {
        guard ["on", "off"].contains(parameters["tls"] ?? "off") else {
            throw InvalidValue("the parameter \"tls\" is on or off")
        }
        let files = ["ca", "cert", "key"].filter { parameters[$0] != nil }
        if let file = files.first, tls == nil { throw InvalidValue("the parameter \(file.shown) needs tls=on") }
        if files.contains("key"), !files.contains("cert") {
            throw InvalidValue("the parameter \"key\" needs cert=FILE, the certificate it belongs to")
        }
        if scheme == .nacos, tls != nil, parameters["push"] == "on" {
            throw InvalidValue("push=on is not possible with tls=on: push needs a plain connection")
        }
    }
}
