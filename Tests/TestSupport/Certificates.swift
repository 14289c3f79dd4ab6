import Runtime

/// A certificate authority of a test's own, made by the program `openssl`. Its files are gone with the object.
public final class Certificates {
    /// The authority's certificate.
    public let authority: String
    private let folder: TemporaryDirectory

    private static let settings = """
        [req]
        distinguished_name = name
        [name]
        [authority]
        basicConstraints = critical, CA:TRUE
        [ca]
        default_ca = store
        [store]
        database = index
        new_certs_dir = .
        rand_serial = yes
        unique_subject = no
        default_md = sha256
        policy = names
        [names]
        commonName = supplied

        """

    /// A new authority.
    public init() throws {
        folder = try TemporaryDirectory()
        authority = folder.path(of: "authority.pem")
        try folder.write("index", "")
        try folder.write("settings", Self.settings)
        try run(
            "req", "-x509", "-extensions", "authority", "-subj", "/CN=Authority", "-days", "30", "-keyout",
            "authority.key", "-out", "authority.pem", newKey: true)
    }

    /// A certificate with its key, in one file `NAME.pem`; a file of that name is replaced. The key alone is in `NAME.key`.
    ///
    /// - Parameters:
    ///   - hosts: whose it is, as OpenSSL writes it.
    ///   - isExpired: it was good until some years ago.
    @discardableResult
    public func issue(_ name: String, for hosts: String = "IP:127.0.0.1", isExpired: Bool = false) throws -> String {
        try folder.write("settings", Self.settings + "[host]\nbasicConstraints = CA:FALSE\nsubjectAltName = \(hosts)\n")
        try run(
            "req", "-new", "-subj", "/CN=\(name)", "-keyout", "\(name).key", "-out", "\(name).request", newKey: true)
        try run(
            "ca", "-batch", "-notext", "-cert", "authority.pem", "-keyfile", "authority.key", "-extensions", "host",
            "-startdate", "20200101000000Z", "-enddate", isExpired ? "20200102000000Z" : "20490101000000Z", "-in",
            "\(name).request", "-out", "\(name).certificate")
        let parts = try ["certificate", "key"].map { try TemporaryDirectory.read(folder.path(of: "\(name).\($0)")) }
        try folder.replace("\(name).pem", String(decoding: parts.joined(), as: UTF8.self))
        return folder.path(of: "\(name).pem")
    }

    private func run(_ command: String, _ arguments: String..., newKey: Bool = false) throws {
        let key = newKey ? ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"] : []
        let process = try ChildProcess(
            "openssl", [command, "-config", "settings"] + key + arguments, directory: folder.path)
        guard try process.waitForExit() == .status(0) else {
            throw TestFailure("openssl \(command) has failed\n\(process.errors)")
        }
    }
}
