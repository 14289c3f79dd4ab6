import Configuration
import Glibc
import TestSupport
import Testing

@Suite struct HostileFileTests {
    private func errors(_ bytes: [UInt8]) -> [String] {
        do throws(ConfigurationErrors) {
            _ = try Configuration.parse(bytes: bytes, file: "f")
            return []
        } catch {
            return error.errors.map(\.description)
        }
    }

    @Test func namesTheLineThatIsNotUTF8() {
        #expect(errors(Array("workers: 2\n# gr\u{fc}n\n".utf8)) == [])
        let latin1 = Array("workers: 2\r\n\r\n# gr".utf8) + [0xfc] + Array("n\n".utf8)
        #expect(errors(latin1) == ["f:3: the text is not UTF-8"])
        #expect(errors([0x61, 0xc3]) == ["f:1: the text is not UTF-8"])
    }

    @Test func refusesUTF16() {
        #expect(errors([0xff, 0xfe, 0x61, 0x00]) == ["f:1: the file is UTF-16; save it as UTF-8"])
        #expect(errors([0xfe, 0xff, 0x00, 0x61]) == ["f:1: the file is UTF-16; save it as UTF-8"])
    }

    @Test func refusesZeroBytes() {
        #expect(errors(Array("workers: 2\na\0b: 3".utf8)) == ["f:2: not YAML: control characters are not allowed"])
    }

    @Test func boundsTheSize() {
        let comment = [UInt8](repeating: UInt8(ascii: "#"), count: YAMLDocument.largestFile)
        #expect(errors(comment) == [])
        #expect(errors(comment + [0x23]) == ["f: the file is larger than 16 MiB"])
    }

    @Test func boundsTheNumberOfErrors() {
        let text = (0..<1000).map { "key\($0): 1" }.joined(separator: "\n")
        let found = errors(Array(text.utf8))
        #expect(found.count == ConfigurationErrors.most + 1)
        #expect(found.last == "f: and 900 more errors")
    }

    @Test func keepsAMessageOnOneShortLine() {
        let found = errors(Array("\"a\\nb\\e\(String(repeating: "x", count: 10_000))\": 1".utf8))
        #expect(found.count == 1)
        #expect(found.first?.utf8.allSatisfy { $0 >= 0x20 } == true)
        #expect((found.first?.count ?? .max) < 400)
    }

    @Test(arguments: ["[", "{a: ", "- ", "? ", "'", "\"", "a: [b, ", "!", "&a ", "*a, ", "|\n", "a:\n  "])
    func survivesEndlessRepetition(piece: String) {
        let text = String(repeating: piece, count: 100_000 / piece.utf8.count)
        #expect(!errors(Array(text.utf8)).isEmpty)
    }

    @Test func readsAFileFromDisk() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write(
            "greymesh.yaml", "registries: [file:services.yaml]\naccess_log: {path: log/a.log}\n")
        let configuration = try Configuration.load(path: file)
        #expect(configuration.registries == [RegistryConfiguration(url: "file:\(folder.path)/services.yaml")])
        #expect(configuration.accessLog == AccessLogConfiguration(path: "\(folder.path)/log/a.log"))
    }

    @Test(arguments: [("/nowhere/x.yaml", ENOENT), ("/tmp", EISDIR), ("a\0b", EINVAL)])
    func tellsWhyAFileCannotBeRead(path: String, code: Int32) {
        let reason = String(cString: strerror(code))
        let expected = ConfigurationErrors([
            ConfigurationError(file: path, line: 0, message: "cannot be read: \(reason)")
        ])
        #expect(throws: expected) { try Configuration.load(path: path) }
    }

    /// Whatever a valid file turns into, the parser answers settings or errors, and the errors name lines of the file.
    @Test func survivesMutations() {
        var random = SplitMix(state: 0x5eed)
        let seed = Array(Self.valid.utf8)
        var accepted = 0
        for _ in 0..<1500 {
            var bytes = seed
            for _ in 0...Int(random.next() % 3) { mutate(&bytes, &random) }
            let lines = bytes.count { $0 == 0x0a || $0 == 0x0d } + 1 + unusualBreaks(bytes)
            do throws(ConfigurationErrors) {
                _ = try Configuration.parse(bytes: bytes, file: "f")
                accepted += 1
            } catch {
                #expect(!error.errors.isEmpty)
                for error in error.errors { #expect((0...lines).contains(error.line), "\(error)") }
            }
        }
        #expect(errors(seed) == [])
        #expect(accepted > 50 && accepted < 1450, "the mutations are too harsh or do nothing: \(accepted)")
    }

    /// NEL, LS and PS end lines for YAML 1.1.
    private func unusualBreaks(_ bytes: [UInt8]) -> Int {
        String(decoding: bytes, as: UTF8.self).unicodeScalars.count { [0x85, 0x2028, 0x2029].contains($0.value) }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix) {
        let position = Int(random.next() % UInt64(bytes.count))
        let pieces: [[UInt8]] = [
            [UInt8(truncatingIfNeeded: random.next())], Array(":".utf8), Array("- ".utf8), Array("{".utf8),
            Array("]".utf8), Array("\n".utf8), Array("\"".utf8), Array("&a *a ".utf8), Array("99999999999".utf8),
            Array("\t".utf8), Array("\u{2028}".utf8), Array(" ".utf8), Array("~".utf8), Array("# ".utf8),
        ]
        switch random.next() % 4 {
        case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.insert(contentsOf: pieces[Int(random.next() % UInt64(pieces.count))], at: position)
        case 2: bytes.removeSubrange(position..<min(bytes.count, position + 1 + Int(random.next() % 8)))
        default:
            let length = min(bytes.count - position, 1 + Int(random.next() % 40))
            let target = Int(random.next() % UInt64(bytes.count))
            bytes.insert(contentsOf: Array(bytes[position..<(position + length)]), at: target)
        }
        if bytes.isEmpty { bytes = [0x20] }
    }

    private static let valid = """
        admin: {listen: 127.0.0.1:15001}
        workers: 2
        registries: ["nacos://u:p@127.0.0.1:8848/x?namespace=public", file:services.yaml]
        listeners:
          - {name: http,  protocol: http,  listen: 127.0.0.1:8080}
        version:
          request:  [x-version, dubbo.tag]
          tell: false
        services:
          "*": {mode: fallback, sticky: client-address}
          order-service:
            stable: 1.0
            split: {"1.0": 90, 2.0: 10}
            hosts: [orders.example.com]
            paths: [/api/orders]
            timeout: 3s
        access_log: {path: '-'}
        limits: {http_head: 64KiB, services: 20000}
        drain_timeout: 30s # end
        """
}

/// A generator with a fixed seed.
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
