import CLinux
import Glibc
import Runtime

/// Tells when a file may have new content: written, replaced, removed, or reached by other symbolic links.
///
/// It watches directories, not the file: most tools put a new file into the place of the old one. A file that is just being
/// written is left alone until its writer has closed it, or has been silent for long. Where the kernel tells nothing (network
/// file systems), looking every few seconds does, once the file has not changed between two looks.
final class FileWatcher {
    /// What tells one state of a file from another.
    struct Signature: Equatable {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        var size: Int64 = -1
        /// Of the content.
        var written = Time()
        /// Of rights and owner as well.
        var changed = Time()

        struct Time: Equatable {
            var seconds = 0
            var nanoseconds = 0
        }

        /// Of no file.
        init() {}

        /// Follows symbolic links; a file that is not there has the size -1.
        init(of path: String) {
            var information = stat()
            self.init(stat(path, &information) == 0 ? information : nil)
        }

        /// Of a file that is open.
        init(of descriptor: Int32) {
            var information = stat()
            self.init(fstat(descriptor, &information) == 0 ? information : nil)
        }

        private init(_ information: stat?) {
            guard let information else { return }
            device = UInt64(information.st_dev)
            inode = UInt64(information.st_ino)
            size = Int64(information.st_size)
            written = Time(seconds: information.st_mtim.tv_sec, nanoseconds: information.st_mtim.tv_nsec)
            changed = Time(seconds: information.st_ctim.tv_sec, nanoseconds: information.st_ctim.tv_nsec)
        }
    }

    /// What an event means for the file.
    private enum Concern: Int, Comparable {
        case none, possible, certain

        static func < (left: Concern, right: Concern) -> Bool { left.rawValue < right.rawValue }
    }

    private let path: String
    private let loop: EventLoop
    private let onChange: () -> Void
    private let descriptor: Int32
    private var names: Set<String> = []
    private var concern = Concern.none
    /// Until when a file that is open for writing is left alone; nil for one that is not.
    private var busyUntil: Int64?
    private var watched: [Int32: String] = [:]
    private var seen: Signature
    private var lookedAt: Signature
    private var lookTimer: EventLoop.Timer?
    private var settleTimer: EventLoop.Timer?

    private let lookPeriod: Duration
    /// A writer that is silent for so long has left the file as it is to be.
    private let longestSilence: Duration
    /// Several steps of one change come within this time.
    private static let settleTime = Duration.milliseconds(20)
    private static let writing = UInt32(IN_MODIFY)
    private static let mask =
        UInt32(IN_CLOSE_WRITE) | UInt32(IN_MOVED_TO) | UInt32(IN_MOVED_FROM) | UInt32(IN_CREATE) | UInt32(IN_DELETE)
        | UInt32(IN_ATTRIB) | writing

    /// Watches from now on; the file need not exist.
    ///
    /// - Parameters:
    ///   - lookPeriod: between two looks at the file.
    ///   - longestSilence: how long a writer can be silent before the file counts as complete.
    init(
        path: String, loop: EventLoop, lookPeriod: Duration = .seconds(2), longestSilence: Duration = .seconds(30),
        onChange: @escaping () -> Void
    ) {
        self.lookPeriod = lookPeriod
        self.longestSilence = longestSilence
        self.path = path
        self.loop = loop
        self.onChange = onChange
        seen = Signature(of: path)
        lookedAt = seen
        descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
        arm()
        if descriptor >= 0 { loop.watch(descriptor, .readable) { [weak self] _ in self?.read() } }
        scheduleLook()
    }

    deinit { stop() }

    /// Nothing is told any more.
    func stop() {
        loop.cancel(lookTimer)
        loop.cancel(settleTimer)
        guard descriptor >= 0, !watched.isEmpty || !names.isEmpty else { return }
        names = []
        watched = [:]
        loop.unwatch(descriptor)
        close(descriptor)
    }

    /// What was told could not be read, or was another file at its end: it is told again with the next look that finds it at rest.
    func lookAgain() { seen = Signature() }

    /// Watches the directories in which the file, and what its links lead to, stand now. Adding one twice is harmless.
    private func arm() {
        var files = [path]
        if let real = realpath(path, nil) {
            files.append(String(cString: real))
            free(real)
        }
        names = Set(files.map { String($0.split(separator: "/").last ?? "") })
        guard descriptor >= 0 else { return }
        var now: [Int32: String] = [:]
        for file in files {
            let directory = Self.directory(of: file)
            let watch = inotify_add_watch(descriptor, directory, Self.mask)
            if watch >= 0 { now[watch] = directory }
        }
        for (watch, _) in watched where now[watch] == nil { inotify_rm_watch(descriptor, watch) }
        watched = now
    }

    private static func directory(of file: String) -> String {
        guard let slash = file.lastIndex(of: "/") else { return "." }
        return slash == file.startIndex ? "/" : String(file[..<slash])
    }

    private func read() {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            var offset = 0
            let header = MemoryLayout<inotify_event>.size
            while offset + header <= count {
                let event = buffer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: inotify_event.self) }
                let end = min(offset + header + Int(event.len), count)
                let name = String(decoding: buffer[(offset + header)..<end].prefix { $0 != 0 }, as: UTF8.self)
                concern = max(concern, meaning(of: event, name))
                offset = end
            }
        }
        guard concern > .none, busyUntil == nil, settleTimer == nil else { return }
        settleTimer = loop.schedule(after: Self.settleTime) { [weak self] in
            self?.settleTimer = nil
            self?.check()
        }
    }

    private func meaning(of event: inotify_event, _ name: String) -> Concern {
        // Nobody knows what is missing, and whether somebody is just writing: the next look tells.
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 {
            lookAgain()
            return .none
        }
        let isCreated = event.mask & UInt32(IN_CREATE) != 0
        if names.contains(name) && !isCreated {
            guard event.mask & Self.writing != 0 else {
                // New rights do not mean that the writer is done.
                if event.mask & UInt32(IN_ATTRIB) == 0 { busyUntil = nil }
                return .certain
            }
            busyUntil = Clock.nanoseconds + longestSilence.nanoseconds
            return .none
        }
        // A link that was set or moved, in the file's place or on the way to it. A plain file that was only created has
        // its content still to come.
        let isSet = isCreated || event.mask & UInt32(IN_MOVED_TO) != 0
        guard isSet, let directory = watched[event.wd] else { return .none }
        var information = stat()
        guard lstat(directory + "/" + name, &information) == 0 else { return .none }
        return information.st_mode & S_IFMT == S_IFLNK ? .possible : .none
    }

    private func check() {
        arm()
        // Somebody has begun to write meanwhile.
        guard busyUntil == nil else { return }
        let now = Signature(of: path)
        // Time stamps are coarse: two writes within some milliseconds can look the same.
        let isCertain = concern == .certain
        concern = .none
        lookedAt = now
        guard now != seen || isCertain else { return }
        seen = now
        onChange()
    }

    private func scheduleLook() {
        lookTimer = loop.schedule(after: lookPeriod) { [weak self] in
            self?.look()
            self?.scheduleLook()
        }
    }

    private func look() {
        let now = Signature(of: path)
        defer { lookedAt = now }
        let isBusy = busyUntil.map { $0 > Clock.nanoseconds } ?? false
        guard now == lookedAt, !isBusy else { return arm() }
        busyUntil = nil
        check()
    }
}
