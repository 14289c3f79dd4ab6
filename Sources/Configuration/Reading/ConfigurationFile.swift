import Glibc

extension Configuration {
    /// Reads a configuration file.
    ///
    /// - Parameter path: relative paths in the file start from its folder.
    /// - Throws: everything that is wrong, or that the file cannot be read.
    public static func load(path: String) throws(ConfigurationErrors) -> Configuration {
        try parse(bytes: try contents(of: path), file: path)
    }

    /// Reads a file's text; `file` is its name for errors and for relative paths.
    public static func parse(_ text: String, file: String) throws(ConfigurationErrors) -> Configuration {
        try parse(bytes: Array(text.utf8), file: file)
    }

    /// Reads a file's bytes; `file` is its name for errors and for relative paths.
    public static func parse(bytes: [UInt8], file: String) throws(ConfigurationErrors) -> Configuration {
        let document = YAMLDocument(bytes, file: file)
        let reader = SettingsReader(file: file, errors: document.errors)
        var draft = ConfigurationDraft()
        draft.folder = FilePath.folder(of: file)
        if let root = document.root { reader.section(root, "", keys: ConfigurationKeys.all, into: &draft) }
        draft.readServices(reader)
        draft.checkListeners(reader)
        draft.checkRegistrations(reader)
        if !reader.errors.isEmpty { throw ConfigurationErrors(reader.errors) }
        return draft.configuration
    }

    /// Every key of the file with dots: `limits.http_head`, `listeners[].name`, `services.*.mode`.
    static var knownKeys: [String] { ConfigurationKeys.all.flatMap(\.names) }

    /// A file's bytes, at most one more than `YAMLDocument.largestFile`.
    static func contents(of path: String) throws(ConfigurationErrors) -> [UInt8] {
        guard !path.utf8.contains(0) else { throw unreadable(path, EINVAL) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= YAMLDocument.largestFile {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(path, errno) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }

    private static func unreadable(_ path: String, _ code: Int32) -> ConfigurationErrors {
        let reason = String(cString: strerror(code))
        return ConfigurationErrors([ConfigurationError(file: path, line: 0, message: "cannot be read: \(reason)")])
    }
}

/// Paths as text.
enum FilePath {
    /// What stands before the last slash, with it; empty for a bare name.
    static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    }

    /// A path that was written in a file of that folder.
    static func resolved(_ path: String, in folder: String) -> String {
        path.hasPrefix("/") ? path : folder + path
    }
}
