import TestSupport
import Testing

@testable import Configuration

@Suite struct TLSSettingsTests {
    @Test(arguments: ["nacos", "consul", "etcd", "eureka"]) func readsTheParameters(scheme: String) throws {
        #expect(try RegistryURL("\(scheme)://a,b").tls == nil)
        #expect(try RegistryURL("\(scheme)://a:1,b:2?tls=off").origins == ["http://a:1", "http://b:2"])
        let plain = try RegistryURL("\(scheme)://a:1,[::1]:2?tls=on")
        #expect(plain.tls == TLSSettings() && plain.origins == ["https://a:1", "https://[::1]:2"])
        let full = try RegistryURL("\(scheme)://a?tls=on&ca=/x/ca.pem&cert=c%20d.pem&key=k.pem")
        #expect(full.tls == TLSSettings(authorities: "/x/ca.pem", certificate: "c d.pem", key: "k.pem"))
    }

    @Test(arguments: [
        ("etcd://a?tls=yes", #"the parameter "tls" is on or off"#),
        ("etcd://a?ca=x", #"the parameter "ca" needs tls=on"#),
        ("consul://a?tls=off&cert=x&key=y", #"the parameter "cert" needs tls=on"#),
        ("eureka://a?key=x", #"the parameter "key" needs tls=on"#),
        ("etcd://a?tls=on&key=x", #"the parameter "key" needs cert=FILE, the certificate it belongs to"#),
        ("etcd://a?tls=on&ca=", #"the parameter "ca" needs a value, with %XX for special characters"#),
        ("nacos://a?tls=on&push=on", "push=on is not possible with tls=on: push needs a plain connection"),
        (
            "zookeeper://a?tls=on",
            #"unknown parameter "tls" of a zookeeper URL; valid are backup, group, services, session"#
        ),
    ])
    func refusesWhatHasNoEffect(text: String, message: String) {
        #expect(throws: InvalidValue(message)) { try RegistryURL(text) }
    }

    @Test func looksIntoTheFiles() throws {
        let folder = try TemporaryDirectory()
        func file(_ name: String, _ labels: String...) throws -> String {
            let blocks = labels.map { "-----BEGIN \($0)-----\r\nAAAA\r\n-----END \($0)-----\r\n" }
            return try folder.write(name, "Subject: x\r\n" + blocks.joined())
        }
        let authority = try file("ca", "TRUSTED CERTIFICATE", "CERTIFICATE")
        let own = try file("own", "CERTIFICATE", "CERTIFICATE", "EC PRIVATE KEY")
        let key = try file("key", "EC PARAMETERS", "PRIVATE KEY")
        let locked = try file("locked", "ENCRYPTED PRIVATE KEY")
        let oldLocked = try folder.write("old", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n")
        let none = folder.path(of: "none")
        try TLSSettings(authorities: authority, certificate: own).check()
        try TLSSettings(certificate: authority, key: key).check()
        for (settings, message) in [
            (TLSSettings(authorities: none), "\(none) cannot be read: No such file or directory"),
            (TLSSettings(authorities: folder.path), "\(folder.path) cannot be read: Is a directory"),
            (TLSSettings(authorities: key), "\(key) holds no certificate in PEM"),
            (TLSSettings(certificate: key), "\(key) holds no certificate in PEM"),
            (
                TLSSettings(certificate: authority),
                "\(authority) holds no private key in PEM; write key=FILE where it is in another"
            ),
            (TLSSettings(certificate: own, key: authority), "\(authority) holds no private key in PEM"),
            (TLSSettings(certificate: own, key: none), "\(none) cannot be read: No such file or directory"),
            (
                TLSSettings(certificate: own, key: locked),
                "the key in \(locked) has a passphrase; it is needed without one"
            ),
            (
                TLSSettings(certificate: own, key: oldLocked),
                "the key in \(oldLocked) has a passphrase; it is needed without one"
            ),
        ] {
            #expect(throws: InvalidValue(message)) { try settings.check() }
        }
    }

    @Test func pathsOfAFileStartFromItsFolder() throws {
        let folder = try TemporaryDirectory()
        let block = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"
        let absolute = try folder.write("own.pem", block)
        try folder.write("ca.pem", block)
        let url = "etcd://u:p@a?tls=on&ca=ca.pem&cert=\(absolute)"
        let file = try folder.write("greymesh.yaml", "registries:\n  - \(url)\n")
        let registry = try #require(try Configuration.load(path: file).registries.first)
        #expect(registry.url == url)
        #expect(registry.tls == TLSSettings(authorities: folder.path(of: "ca.pem"), certificate: absolute))
        #expect(RegistryConfiguration(url: url).tls?.authorities == "ca.pem")
        try folder.write("greymesh.yaml", "registries:\n  - etcd://a?tls=on&ca=gone.pem\n")
        let message = "registries[0]: \(folder.path(of: "gone.pem")) cannot be read: No such file or directory"
        #expect(throws: ConfigurationErrors([ConfigurationError(file: file, line: 2, message: message)])) {
            try Configuration.load(path: file)
        }
    }
}
