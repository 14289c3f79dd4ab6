import Configuration
import Glibc
import Model
import Runtime

/// Services from a YAML file that is watched for changes. A file that cannot be read or is wrong changes nothing.
public final class FileRegistry: Registry {
    /// `file:PATH`
    public let url: String

    private let path: String
    private let context: DiscoveryContext
    private let health: RegistryHealth
    private let reporter: InstanceReporter
    private var watcher: FileWatcher?
    private var file: ServiceFile?
    /// Names in the file by the interface they begin with.
    private var byInterface: [Substring: [String]] = [:]
    /// Names in the file that have capitals, by what they are in lower case.
    private var byLowerCase: [String: String] = [:]
    private var subscriptions: Set<ServiceKey> = []
    private var new: [ServiceKey] = []
    private var isStopped = false
    /// Why the file is not used; nil where it is.
    private var refusal: String?

    /// Loads the file and watches it.
    ///
    /// - Parameter path: when it is relative, relative to the context's directory.
    init(path: String, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.url = url
        self.path = path.hasPrefix("/") ? path : context.directory + "/" + path
        self.context = context
        health = RegistryHealth(url: url, logger: context.logger)
        reporter = InstanceReporter(resolver: context.resolver, reports: reports, logger: context.logger)
        watcher = FileWatcher(path: self.path, loop: context.loop) { [weak self] in self?.load() }
        load()
    }

    /// How it is now.
    public var status: RegistryStatus {
        var status = health.status
        status.subscriptions = subscriptions.count
        status.mode = .push
        reporter.describe(&status)
        return status
    }

    /// Starts to report a service.
    public func subscribe(_ service: ServiceKey) {
        guard !isStopped, subscriptions.insert(service).inserted else { return }
        new.append(service)
        // Not from within the call: the caller may not be ready for a report.
        if new.count == 1 { context.loop.schedule(after: .zero) { [weak self] in self?.reportNew() } }
    }

    /// Ends reports of a service.
    public func unsubscribe(_ service: ServiceKey) {
        subscriptions.remove(service)
        reporter.forget(service)
    }

    /// Reports what the file says once more.
    public func refresh(_ service: ServiceKey) {
        guard subscriptions.contains(service) else { return }
        reporter.doubt(service)
        report(service)
    }

    /// Ends all work.
    public func stop() {
        isStopped = true
        subscriptions.removeAll()
        watcher?.stop()
        watcher = nil
        reporter.stop()
    }

    private func reportNew() {
        let services = new
        new = []
        for service in services where subscriptions.contains(service) { report(service) }
    }

    private func report(_ service: ServiceKey) {
        guard let file else { return reporter.fail(service, health.status.lastError ?? "the file cannot be read") }
        switch service.kind {
        case .http:
            // Case does not count in host names. A name as it is written comes first.
            let name = file.services[service.name] == nil ? byLowerCase[service.name] ?? service.name : service.name
            reporter.report(service, file.services[name] ?? [])
        case .dubbo, .bolt:
            let names = byInterface[service.name[...]] ?? []
            reporter.report(service, names.flatMap { file.hosts($0, service.kind) })
        }
    }

    private func load() {
        let next: ServiceFile
        do throws(ConfigurationErrors) {
            let (bytes, isAtRest) = try Self.read(path)
            guard isAtRest else {
                watcher?.lookAgain()
                return
            }
            next = try ServiceFile.parse(bytes, file: path)
        } catch {
            // What hinders may end without a change of the file.
            if error.errors.first?.line == 0 { watcher?.lookAgain() }
            return refuse(error)
        }
        let before = file?.services ?? [:]
        let isFirst = file == nil
        file = next
        refusal = nil
        byInterface = Dictionary(grouping: next.services.keys, by: { ServiceFile.interfaceName($0).interface })
        byLowerCase = Dictionary(
            next.services.keys.sorted().lazy.map { ($0.lowercased(), $0) }.filter { $0 != $1 },
            uniquingKeysWith: { first, _ in first })
        health.succeeded()
        context.logger.log(.info, "registry.file_loaded", ["url": url, "services": "\(next.services.count)"])
        if isFirst {
            for service in Array(subscriptions) { report(service) }
        } else {
            reportChanges(before, next.services)
        }
    }

    private func reportChanges(_ before: [String: [ListedHost]], _ now: [String: [ListedHost]]) {
        var changed: Set<ServiceKey> = []
        for name in Set(before.keys).union(now.keys) where before[name] != now[name] {
            changed.insert(ServiceKey(kind: .http, name: name))
            changed.insert(ServiceKey(kind: .http, name: name.lowercased()))
            let interface = String(ServiceFile.interfaceName(name).interface)
            changed.insert(ServiceKey(kind: .dubbo, name: interface))
            changed.insert(ServiceKey(kind: .bolt, name: interface))
        }
        for service in changed where subscriptions.contains(service) { report(service) }
    }

    private func refuse(_ errors: ConfigurationErrors) {
        let shown = errors.errors.prefix(3).map(\.description).joined(separator: "; ")
        let more = errors.errors.count > 3 ? "; and \(errors.errors.count - 3) more" : ""
        let reason = shown + more
        health.failed(reason, isAway: true, isNew: reason != refusal)
        refusal = reason
        if file == nil { for service in Array(subscriptions) { report(service) } }
    }

    /// Reads the file; `isAtRest` is false where it was written to or replaced meanwhile, so that parts of two can be mixed.
    private static func read(_ path: String) throws(ConfigurationErrors) -> (bytes: [UInt8], isAtRest: Bool) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(path, SystemError.text(of: errno)) }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
            throw failure(path, "it is not a plain file")
        }
        let before = FileWatcher.Signature(of: descriptor)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(clamping: information.st_size))
        var buffer = [UInt8](repeating: 0, count: 65_536)
        // One byte more than is allowed is enough to be refused.
        while bytes.count <= YAMLDocument.largestFile {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure(path, SystemError.text(of: errno)) }
            if count == 0 { break }
            bytes += buffer[0..<count]
        }
        return (bytes, FileWatcher.Signature(of: descriptor) == before)
    }

    private static func failure(_ path: String, _ reason: String) -> ConfigurationErrors {
        ConfigurationErrors([ConfigurationError(file: path, line: 0, message: "cannot be read: \(reason)")])
    }
}
