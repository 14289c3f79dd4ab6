import Model
import Runtime

/// Writes a file of saved hosts: beside the old one, and in its place when it is complete on disk.
struct SavedHostsWriter: Sendable {
    /// The file.
    let path: String
    /// The registry.
    let url: String
    /// Services that the registry has listed, with their hosts. Those without hosts are forgotten.
    let current: [ServiceKey: [Instance]]
    /// The file before: services that are not in `current` are taken from it.
    let before: SavedHostsIndex?
    /// Seconds since 1970.
    let now: Int64

    /// Services that nobody has asked for, for this many seconds, are forgotten.
    private static let longest: Int64 = 7 * 86_400

    /// Writes the file and returns where services stand in it.
    func write() throws -> SavedHostsIndex {
        // Metadata can hold what is not for everybody, such as Dubbo's tokens.
        let (entries, descriptor) = try AtomicFile.replace(path, fill: fill)
        return SavedHostsIndex(entries: entries, descriptor: descriptor)
    }

    private func fill(_ descriptor: Int32) throws -> [ServiceKey: SavedHostsIndex.Entry] {
        var output = Output(descriptor)
        var entries: [ServiceKey: SavedHostsIndex.Entry] = [:]
        try output.write(SavedHostsFile.header(url: url))
        for (key, instances) in current where !instances.isEmpty {
            let line = SavedHostsFile.line(key, instances, savedAt: now)
            entries[key] = SavedHostsIndex.Entry(
                offset: output.position, length: line.count - 1, count: instances.count, savedAt: now)
            try output.write(line)
        }
        for (key, entry) in before?.entries ?? [:] where current[key] == nil && now - entry.savedAt < Self.longest {
            guard let line = before?.line(entry) else { continue }
            entries[key] = SavedHostsIndex.Entry(
                offset: output.position, length: line.count, count: entry.count, savedAt: entry.savedAt)
            try output.write(line + [UInt8(ascii: "\n")])
        }
        try output.write(output.checksum.lastLine(count: entries.count))
        try output.flush()
        return entries
    }
}

/// Bytes on their way into a file.
private struct Output {
    private(set) var position = 0
    /// Of all lines so far, without their ends.
    private(set) var checksum = Checksum()
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Writes a line with its end.
    mutating func write(_ line: [UInt8]) throws {
        checksum.add(line.dropLast())
        position += line.count
        buffer += line
        if buffer.count >= 262_144 { try flush() }
    }

    mutating func flush() throws {
        try AtomicFile.write(buffer, to: descriptor)
        buffer.removeAll(keepingCapacity: true)
    }
}
