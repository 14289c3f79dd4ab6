import Configuration
import DevelopmentRegistry
import Glibc
import Runtime

/// The program behind `main`.
public struct Program {
    /// What `greymesh --version` prints.
    public static let version = "0.1.0"

    /// Exit codes.
    public enum Exit {
        /// All is well.
        public static let success: Int32 = 0
        /// The command failed.
        public static let failure: Int32 = 1
        /// The command line is wrong.
        public static let usage: Int32 = 2
    }

    private let start: ProcessStart?
    private let output: (String) -> Void
    private let errors: (String) -> Void

    /// A program that writes whole lines, without their line ends, to these places.
    ///
    /// - Parameter start: how the process was started; nil: it cannot be upgraded.
    public init(
        start: ProcessStart? = nil,
        output: @escaping (String) -> Void = { Program.write($0, to: 1) },
        errors: @escaping (String) -> Void = { Program.write($0, to: 2) }
    ) {
        self.start = start
        self.output = output
        self.errors = errors
    }

    /// Does what a command line says and returns the exit code.
    ///
    /// - Parameter arguments: without the program's name.
    public func run(_ arguments: [String], environment: [String: String]) -> Int32 {
        do {
            let invocation = try Invocation(arguments, environment: environment)
            for warning in invocation.warnings { errors("greymesh: \(warning)") }
            if !invocation.command.isServing { Signals.unblock(Signals.served) }
            return try execute(invocation.command)
        } catch let error as UsageError {
            errors("greymesh: \(error.message)")
            return Exit.usage
        } catch let error as ConfigurationErrors {
            for line in error.errors { errors(line.description) }
            return Exit.failure
        } catch {
            errors("greymesh: \(error)")
            return Exit.failure
        }
    }

    private func execute(_ command: Command) throws -> Int32 {
        switch command {
        case .help(let verb): output(Help.text(verb))
        case .version: output("greymesh \(Self.version)")
        case .check(let file): output("\(file): \(Self.summary(try Configuration.load(path: file)))")
        case .run(let options):
            return try RunCommand(options: options, start: start).run()
        case .services(let client): try ClientCommands(output: output).services(client)
        case .clusters(let client, let service): try ClientCommands(output: output).clusters(client, of: service)
        case .registries(let client): try ClientCommands(output: output).registries(client)
        case .registrations(let client): try ClientCommands(output: output).registrations(client)
        case .upgrade(let client): try ClientCommands(output: output).upgrade(client)
        case .explain(let client, let question):
            return try ClientCommands(output: output).explain(client, question) ? Exit.success : Exit.failure
        case .registry(let address):
            // It reads no files that could be read anew, and hands nothing over.
            Signals.unblock([SIGHUP, SIGUSR2])
            try DevelopmentRegistry.run(listen: address)
        }
        return Exit.success
    }

    /// `ok, 2 listeners, 1 registry, 3 services`
    private static func summary(_ settings: Configuration) -> String {
        func counted(_ count: Int, _ one: String, _ many: String) -> String { "\(count) \(count == 1 ? one : many)" }
        let registrations = settings.registrations.count
        return [
            "ok", counted(settings.listeners.count, "listener", "listeners"),
            counted(settings.registries.count, "registry", "registries"),
            counted(settings.services.count, "service", "services"),
            registrations == 0 ? nil : counted(registrations, "registration", "registrations"),
        ].compactMap(\.self).joined(separator: ", ")
    }

    /// Writes a line to a descriptor; what cannot be written is lost.
    public static func write(_ line: String, to descriptor: Int32) {
        var bytes = Array(line.utf8)[...]
        if bytes.last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\n")) }
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
