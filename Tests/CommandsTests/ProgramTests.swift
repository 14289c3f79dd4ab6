import Commands
import Synchronization
import TestSupport
import Testing

/// What a run of the program said.
private final class Screen: Sendable {
    let output = Mutex<[String]>([])
    let errors = Mutex<[String]>([])

    func run(_ arguments: String..., environment: [String: String] = [:]) -> Int32 {
        Program(
            output: { line in self.output.withLock { $0.append(line) } },
            errors: { line in self.errors.withLock { $0.append(line) } }
        ).run(arguments, environment: environment)
    }
}

@Suite struct ProgramTests {
    private let screen = Screen()

    @Test func printsItsVersion() {
        #expect(screen.run("--version") == 0)
        #expect(screen.output.withLock { $0 } == ["greymesh \(Program.version)"])
    }

    @Test func helpNamesEveryCommand() {
        #expect(screen.run("--help") == 0)
        let text = screen.output.withLock { $0.joined() }
        for verb in Verb.allCases { #expect(text.contains("  \(verb.rawValue) ")) }
        #expect(text.contains("Exit codes: 0 all is well, 1 the command failed, 2 the command line is wrong."))
    }

    @Test(arguments: [
        (
            Verb.run,
            [
                "--config", "--registry", "--register", "--http", "--dubbo", "--bolt", "--admin", "--workers",
                "GREYMESH_ACCESS_LOG",
            ]
        ),
        (.check, ["--config"]), (.services, ["--admin"]), (.clusters, ["--admin", "[SERVICE]"]),
        (.registrations, ["--admin", "--json"]),
        (.explain, ["--service", "--header", "--method", "--path", "--protocol", "--version", "--group", "--admin"]),
        (.registry, ["--listen", "GREYMESH_LISTEN"]),
    ])
    func helpOfACommandNamesItsFlags(verb: Verb, words: [String]) {
        #expect(screen.run(verb.rawValue, "--help") == 0)
        let text = screen.output.withLock { $0.joined() }
        for word in words + ["Usage: greymesh \(verb.rawValue) ", "--help"] { #expect(text.contains(word)) }
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 130 })
    }

    @Test func tellsWrongUsageInOneLine() {
        #expect(screen.run("run", "--regstry=x", environment: ["GREYMESH_HTPP": "off"]) == 2)
        #expect(screen.output.withLock { $0 } == [])
        #expect(
            screen.errors.withLock { $0 } == ["greymesh: run: unknown flag --regstry; did you mean --registry?"])
    }

    @Test func checkSaysOk() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write("g.yaml", "registries: [nacos://a]\nservices: {a: {}, b: {}}\n")
        #expect(screen.run("check", "--config", file, environment: ["GREYMESH_HTPP": "off"]) == 0)
        #expect(screen.output.withLock { $0 } == ["\(file): ok, 2 listeners, 1 registry, 2 services"])
        #expect(
            screen.errors.withLock { $0 } == [
                "greymesh: the environment variable GREYMESH_HTPP is not known and ignored; did you mean GREYMESH_HTTP?"
            ])
    }

    @Test func checkTellsEveryMistake() throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write("g.yaml", "workerz: 2\nservices:\n  a: {balancr: x}\n")
        #expect(screen.run("check", "--config", file) == 1)
        #expect(
            screen.errors.withLock { $0 } == [
                #"\#(file):1: unknown key "workerz"; did you mean "workers"?"#,
                #"\#(file):3: unknown key "balancr" in services.a; did you mean "balancer"?"#,
            ])
        #expect(screen.output.withLock { $0 } == [])
    }

    @Test func checkNamesAFileThatIsNotThere() {
        #expect(screen.run("check", "--config=/nowhere/g.yaml") == 1)
        #expect(screen.errors.withLock { $0 } == ["/nowhere/g.yaml: cannot be read: No such file or directory"])
    }

    @Test func runWithoutRegistryIsWrongUsage() {
        #expect(screen.run("run") == 2)
        #expect(screen.errors.withLock { $0.first?.hasPrefix("greymesh: run: no registry to watch; pass") } == true)
    }
}
