import Glibc
import Runtime

/// What applications have published, kept on disk: they do so once, at their own start, and not again when this process was
/// restarted. Lives on the control loop; the file is written on a thread of its own.
final class SavedPublications {
    /// Asked for what is to be saved.
    var current: () -> [Publication] = { [] }

    private enum Outcome: Sendable {
        case saved([UInt8])
        case failed(String)
    }

    private let path: String
    private let loop: EventLoop
    private let logger: Logger
    private let work: BackgroundWork<Outcome>
    private var timer: EventLoop.Timer?
    /// What the file holds.
    private var written: [UInt8]
    private var isDirty = false
    private var isLeft = false
    private var hasFailed = false

    /// A file that is longer is not ours.
    private static let largest = 64 << 20
    private static let pauseAfterFailure = Duration.seconds(30)

    /// - Parameter folder: made when it is missing.
    /// - Throws: `SystemError` when the system has no event descriptor left.
    init(folder: String, loop: EventLoop, logger: Logger) throws {
        path = folder + "/publications"
        (self.loop, self.logger) = (loop, logger)
        written = SavedPublicationsFile.write([])
        work = try BackgroundWork(loop: loop)
        work.onOutcome = { [weak self] in self?.ended($0) }
        // What is wrong with it shows with the first write.
        try? Folder.make(folder)
    }

    /// What the last run has left; nothing where that cannot be read.
    func load() -> [Publication] {
        do {
            guard let bytes = try AtomicFile.read(path, limit: Self.largest) else { return [] }
            let publications = try SavedPublicationsFile.read(bytes)
            written = bytes
            return publications
        } catch {
            logger.log(.warning, "saved_publications.failed", ["reason": "\(path) is not used: \(error)"])
            return []
        }
    }

    /// Something may have changed: it is saved at once, but for what is being written.
    func changed() {
        isDirty = true
        schedule(after: .zero)
    }

    /// Saves what is not saved yet and ends.
    func stop() {
        loop.cancel(timer)
        work.finish()
        loop.cancel(timer)
        guard isDirty, !isLeft else { return }
        if case .failed(let reason) = Self.write(current(), path, unlessSame: written) { fail(reason) }
    }

    /// Another process writes the file from now on.
    func leave() {
        stop()
        isLeft = true
    }

    private func schedule(after pause: Duration) {
        guard isDirty, !isLeft, !work.isRunning, timer == nil else { return }
        timer = loop.schedule(after: pause) { [weak self] in self?.save() }
    }

    private func save() {
        timer = nil
        isDirty = false
        let publications = current()
        work.run("save-publications", failed: Outcome.failed) { [written, path] in
            Self.write(publications, path, unlessSame: written)
        }
    }

    private static func write(_ publications: [Publication], _ path: String, unlessSame written: [UInt8]) -> Outcome {
        let bytes = SavedPublicationsFile.write(publications)
        do {
            if bytes != written { try AtomicFile.replace(path, with: bytes) }
            return .saved(bytes)
        } catch {
            return .failed("\(error)")
        }
    }

    private func ended(_ outcome: Outcome) {
        switch outcome {
        case .saved(let bytes):
            written = bytes
            if hasFailed { logger.log(.info, "saved_publications.recovered") }
            hasFailed = false
            schedule(after: .zero)
        case .failed(let reason):
            fail(reason)
            isDirty = true
            schedule(after: Self.pauseAfterFailure)
        }
    }

    private func fail(_ reason: String) {
        if !hasFailed { logger.log(.warning, "saved_publications.failed", ["reason": reason]) }
        hasFailed = true
    }
}
