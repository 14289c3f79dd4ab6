import Runtime

/// Reads lists one after another, large ones in pieces between which others on the loop get their turn.
final class NacosIntake {
    /// What was read.
    enum Outcome {
        /// Other hosts than before.
        case new(NacosAnswer.HostList)
        /// The hosts are as before.
        case same
        /// So many hosts are unhealthy that the server says that all are healthy.
        case protected
    }

    private final class Job {
        var reader: NacosListReader
        var maker: NacosAnswer.HostListMaker?
        var service: NacosService?
        /// It holds the healthy hosts alone, so that it is true even where the server protects.
        let isTruth: Bool
        let find: (NacosListReader) -> NacosService?
        let completion: (NacosService?, Result<Outcome, NacosAnswer.Unreadable>) -> Void

        init(
            _ text: [UInt8], isTruth: Bool, find: @escaping (NacosListReader) -> NacosService?,
            completion: @escaping (NacosService?, Result<Outcome, NacosAnswer.Unreadable>) -> Void
        ) {
            reader = NacosListReader(text)
            self.isTruth = isTruth
            self.find = find
            self.completion = completion
        }
    }

    private let loop: EventLoop
    private var jobs = Fifo<Job>()
    private var job: Job?

    /// A text up to this many bytes is read at once.
    private static let small = 1 << 15
    /// Values that are looked at between two looks at the time.
    private static let piece = 32

    init(loop: EventLoop) { self.loop = loop }

    /// Reads a list. `completion` is called when it is read, at once if it is small and none is in front of it; not at all
    /// where `find` says that nobody wants it.
    ///
    /// - Parameters:
    ///   - isTruth: it is what the server answers when it is asked for healthy hosts alone.
    ///   - find: whose list it is, when it has been looked at.
    func read(
        _ text: [UInt8], isTruth: Bool, find: @escaping (NacosListReader) -> NacosService?,
        completion: @escaping (NacosService?, Result<Outcome, NacosAnswer.Unreadable>) -> Void
    ) {
        let job = Job(text, isTruth: isTruth, find: find, completion: completion)
        guard self.job == nil, text.count <= Self.small else {
            jobs.append(job)
            if self.job == nil { startNext() }
            return
        }
        _ = advance(job, limit: .max)
    }

    private func startNext() {
        job = jobs.popFirst()
        guard job != nil else { return }
        loop.schedule(after: .zero) { [weak self] in self?.goOn() }
    }

    private func goOn() {
        guard let job else { return }
        let deadline = Clock.nanoseconds + EventLoop.slice.nanoseconds
        repeat {
            if advance(job, limit: Self.piece) { return startNext() }
        } while Clock.nanoseconds < deadline
        loop.schedule(after: .zero) { [weak self] in self?.goOn() }
    }

    /// True when the job is done.
    private func advance(_ job: Job, limit: Int) -> Bool {
        do throws(NacosAnswer.Unreadable) {
            if job.maker == nil {
                guard try job.reader.advance(limit: limit) else { return false }
                guard let service = job.find(job.reader) else { return true }
                job.service = service
                if job.reader.isProtected && !job.isTruth { return finish(job, .protected) }
                let maker = NacosAnswer.HostListMaker(job.reader, before: service.list)
                guard maker.isNew else { return finish(job, .same) }
                job.maker = maker
                if limit < .max { return false }
            }
            guard job.maker?.advance(limit: limit) == true else { return false }
            return finish(job, job.maker.map { .new($0.list) } ?? .same)
        } catch {
            job.completion(job.service, .failure(error))
            return true
        }
    }

    private func finish(_ job: Job, _ outcome: Outcome) -> Bool {
        job.completion(job.service, .success(outcome))
        return true
    }
}
