import Glibc
import Model
import Runtime

/// Where each service stands in a file of saved hosts. The file stays open: it may be replaced by a newer one meanwhile.
final class SavedHostsIndex: Sendable {
    /// A service's line.
    struct Entry: Equatable, Sendable {
        /// Of the line in the file, in bytes.
        let offset: Int
        /// Of the line without its end, in bytes.
        let length: Int
        /// Number of hosts.
        let count: Int
        /// Seconds since 1970.
        let savedAt: Int64
    }

    /// The services.
    let entries: [ServiceKey: Entry]
    private let descriptor: Int32

    /// Takes over an open file.
    init(entries: [ServiceKey: Entry], descriptor: Int32) {
        self.entries = entries
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Reads a whole file, checks it and notes where services stand.
    ///
    /// - Returns: nil when there is no file.
    /// - Throws: `SavedHostsFile.Unusable` when it is damaged or another registry's, `SystemError` when it cannot be read.
    static func read(path: String, url: String) throws -> SavedHostsIndex? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw SystemError("open \(path)")
        }
        do {
            var reader = LineReader(descriptor)
            return SavedHostsIndex(entries: try scan(&reader, url: url), descriptor: descriptor)
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func scan(_ reader: inout LineReader, url: String) throws -> [ServiceKey: Entry] {
        typealias Unusable = SavedHostsFile.Unusable
        var checksum = Checksum()
        guard let first = try reader.next() else { throw Unusable(description: "it is empty") }
        let header = SavedHostsFile.header(url: url).dropLast()
        guard first.elementsEqual(header) else {
            throw Unusable(description: "it is of another version or registry")
        }
        checksum.add(first)
        var entries: [ServiceKey: Entry] = [:]
        while true {
            let offset = reader.position
            guard let line = try reader.next() else { throw Unusable(description: "it was cut") }
            if line.starts(with: Array("end ".utf8)) {
                let footer = checksum.lastLine(count: entries.count).dropLast()
                guard line.elementsEqual(footer) else { throw Unusable(description: "its checksum is wrong") }
                return entries
            }
            checksum.add(line)
            guard let head = SavedHostsFile.head(line) else { throw Unusable(description: "a line cannot be read") }
            entries[head.key] = Entry(offset: offset, length: line.count, count: head.count, savedAt: head.savedAt)
        }
    }

    /// A service's line; nil when it cannot be read.
    func line(_ entry: Entry) -> [UInt8]? {
        let line = [UInt8](unsafeUninitializedCapacity: entry.length) { buffer, count in
            while count < entry.length {
                let read = pread(
                    descriptor, buffer.baseAddress! + count, entry.length - count, entry.offset + count)
                if read <= 0 { break }
                count += read
            }
        }
        return line.count == entry.length ? line : nil
    }
}

/// Lines of a file.
private struct LineReader {
    /// Where the next line begins, in bytes.
    private(set) var position = 0
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// The next line without its end; nil at the end of the file, and for a last line without an end.
    mutating func next() throws -> ArraySlice<UInt8>? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = buffer[start..<end]
                start = end + 1
                position += line.count + 1
                return line
            }
            buffer.removeSubrange(..<start)
            start = 0
            searched = buffer.count
            guard try fill() else { return nil }
        }
    }

    private mutating func fill() throws -> Bool {
        let before = buffer.count
        buffer += [UInt8](repeating: 0, count: 262_144)
        let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + before, 262_144) }
        guard count >= 0 else { throw SystemError("read saved hosts") }
        buffer.removeSubrange((before + count)...)
        return count > 0
    }
}
