import FoundationEssentials
import Runtime

/// The notation of the file in which publications are kept.
///
///     greymesh publications 1
///     {"interface":"com.acme.Orders","methods":["get"],"port":20880,"version":"1.0.0"}
///     end 1 9c1185a5c5e9fc54
///
/// The last line has the number of publications and a checksum of all lines before it.
enum SavedPublicationsFile {
    /// Why a file is not used.
    struct Unusable: Error, CustomStringConvertible {
        let description: String
    }

    private static let header = "greymesh publications 1"

    /// A publication's line; what is left out is as it is in a new `Publication`.
    fileprivate struct Line: Codable {
        var interface: String
        var version: String?
        var group: String?
        var methods: [String]?
        var port: UInt16?
        var host: String?
        var registryType: String?
        var registryAddress: String?
    }

    static func write(_ publications: [Publication]) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // The order in memory is none: what says the same shall be the same file.
        let lines = publications.compactMap { try? [UInt8](encoder.encode(Line($0))) }.sorted {
            $0.lexicographicallyPrecedes($1)
        }
        var bytes: [UInt8] = []
        var checksum = Checksum()
        for line in [Array(header.utf8)] + lines {
            checksum.add(line)
            bytes += line + [UInt8(ascii: "\n")]
        }
        return bytes + checksum.lastLine(count: lines.count)
    }

    static func read(_ bytes: [UInt8]) throws(Unusable) -> [Publication] {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard let first = lines.first, first.elementsEqual(header.utf8) else {
            throw Unusable(description: bytes.isEmpty ? "it is empty" : "it is of another version")
        }
        var checksum = Checksum()
        // Every line has an end, also the last.
        guard lines.count >= 3, lines.last?.isEmpty == true else { throw Unusable(description: "it was cut") }
        let entries = lines.dropFirst().dropLast(2)
        for line in lines.dropLast(2) { checksum.add(line) }
        let lastLine = checksum.lastLine(count: entries.count)
        guard (lines[lines.count - 2] + [UInt8(ascii: "\n")]).elementsEqual(lastLine) else {
            throw Unusable(description: "its checksum is wrong")
        }
        var publications: [Publication] = []
        for entry in entries {
            guard let line = try? JSONDecoder().decode(Line.self, from: Data(entry)) else {
                throw Unusable(description: "a line cannot be read")
            }
            publications.append(line.publication)
        }
        return publications
    }
}

extension SavedPublicationsFile.Line {
    fileprivate init(_ publication: Publication) {
        func text(_ value: String?) -> String? { value?.isEmpty == false ? value : nil }
        self.init(
            interface: publication.interface, version: text(publication.version), group: text(publication.group),
            methods: publication.methods.isEmpty ? nil : publication.methods, port: publication.port,
            host: publication.host, registryType: text(publication.registry?.type),
            registryAddress: text(publication.registry?.address))
    }

    fileprivate var publication: Publication {
        var publication = Publication(interface: interface)
        (publication.version, publication.group) = (version ?? "", group ?? "")
        (publication.methods, publication.port, publication.host) = (methods ?? [], port, host)
        if registryType != nil || registryAddress != nil {
            publication.registry = RegistryReference(type: registryType ?? "", address: registryAddress ?? "")
        }
        return publication
    }
}
