import Glibc
import Model
import Runtime

/// The hosts that one registry listed last, kept on disk so that a start does not depend on the registry. Lives on the
/// control loop; files are read and written on a thread of their own.
final class SavedHosts {
    /// Called when the file of the last run has been read, or it is certain that there is none.
    var onLoaded: () -> Void = {}
    /// Asked for the hosts to be saved: those that the registry has listed itself.
    var current: () -> [ServiceKey: [Instance]] = { [:] }
    /// False until the file of the last run has been read.
    private(set) var isLoaded = false

    private enum Outcome: Sendable {
        case loaded(SavedHostsIndex?)
        case saved(SavedHostsIndex, nanoseconds: Int64)
        case failed(String)
    }

    private let path: String
    private let url: String
    private let loop: EventLoop
    private let logger: Logger
    private let work: BackgroundWork<Outcome>
    private var index: SavedHostsIndex?
    private var timer: EventLoop.Timer?
    private var isDirty = false
    /// Another process writes the file.
    private var isHeld = false
    private var hasFailed = false
    private var pause: Duration
    private let shortestPause: Duration

    private static let pauseAfterFailure = Duration.seconds(30)

    /// Begins to read what the last run has left.
    ///
    /// - Parameters:
    ///   - folder: made when it is missing.
    ///   - pause: shortest time between two writes.
    /// - Throws: `SystemError` when the system has no event descriptor left.
    init(folder: String, url: String, loop: EventLoop, logger: Logger, pause: Duration = .seconds(5)) throws {
        var checksum = Checksum()
        checksum.add(url.utf8)
        path = "\(folder)/hosts-\(String(checksum.value, radix: 16))"
        self.url = url
        self.loop = loop
        self.logger = logger
        self.pause = pause
        shortestPause = pause
        work = try BackgroundWork(loop: loop)
        work.onOutcome = { [weak self] in self?.take($0) }
        // What is wrong with it shows with the first write.
        try? Folder.make(folder)
        work.run("load-hosts", failed: Outcome.failed) { [path] in
            do {
                return .loaded(try SavedHostsIndex.read(path: path, url: url))
            } catch {
                return .failed("\(path) is not used: \(error)")
            }
        }
    }

    /// How many hosts a service had; 0 when none are known.
    func count(of key: ServiceKey) -> Int { index?.entries[key]?.count ?? 0 }

    /// A service's hosts as they were, and how many seconds ago; nil when none are known.
    func hosts(of key: ServiceKey) -> (hosts: [Instance], age: Int64)? {
        guard let entry = index?.entries[key], let line = index?.line(entry),
            let hosts = try? SavedHostsFile.hosts(line), !hosts.isEmpty
        else { return nil }
        return (hosts, max(0, Clock.secondsSince1970 - entry.savedAt))
    }

    /// Something has changed: it is saved before long.
    func changed() {
        isDirty = true
        schedule()
    }

    /// Saves what is not saved yet and ends.
    func stop() {
        loop.cancel(timer)
        work.finish()
        loop.cancel(timer)
        guard isDirty, isLoaded, !isHeld else { return }
        do { _ = try writer().write() } catch { fail("\(error)") }
    }

    /// Another process still writes the file, until `takeOver`.
    func hold() { isHeld = true }

    /// This process writes the file from now on.
    func takeOver() {
        isHeld = false
        schedule()
    }

    /// Another process writes the file from now on: what is not saved yet is saved before.
    func leave() {
        stop()
        isHeld = true
    }

    private func schedule() {
        guard isDirty, isLoaded, !isHeld, !work.isRunning, timer == nil else { return }
        timer = loop.schedule(after: pause.jittered) { [weak self] in self?.save() }
    }

    private func writer() -> SavedHostsWriter {
        SavedHostsWriter(path: path, url: url, current: current(), before: index, now: Clock.secondsSince1970)
    }

    private func save() {
        timer = nil
        isDirty = false
        let writer = writer()
        work.run("save-hosts", failed: Outcome.failed) {
            let start = Clock.nanoseconds
            do {
                let index = try writer.write()
                return .saved(index, nanoseconds: Clock.nanoseconds - start)
            } catch {
                return .failed("\(error)")
            }
        }
    }

    private func take(_ outcome: Outcome) {
        switch outcome {
        case .loaded(let found): index = found
        case .saved(let new, let nanoseconds):
            index = new
            // At most a fiftieth of a core, however much there is to write.
            pause = max(shortestPause, .nanoseconds(nanoseconds * 50))
            if hasFailed { logger.log(.info, "saved_hosts.recovered", ["registry": url]) }
            hasFailed = false
        case .failed(let reason):
            fail(reason)
            if isLoaded { (isDirty, pause) = (true, max(pause, Self.pauseAfterFailure)) }
        }
        if !isLoaded {
            isLoaded = true
            onLoaded()
        }
        schedule()
    }

    private func fail(_ reason: String) {
        if !hasFailed { logger.log(.warning, "saved_hosts.failed", ["registry": url, "reason": reason]) }
        hasFailed = true
    }
}
