import Glibc
import TestSupport
import Testing

/// Dubbo applications and Nacos servers that were not written here, with Greymesh as built between them.
///
/// One at a time: a registry and four Java applications take a gigabyte.
@Suite(.serialized, .enabled(if: Peers.areAvailable)) struct DubboPeerTests {
    /// A consumer, what its calls ask for, and who has to answer them.
    struct Case {
        let dubbo: String
        var version = "1.0.0"
        var tag: String?
        var serialization = "hessian2"
        let answers: String

        var arguments: [String] {
            let format = dubbo == "dubbo33" ? ["serialization=\(serialization)", "prefer=\(serialization)"] : []
            return format + (tag.map { ["att.dubbo.tag=\($0)"] } ?? [])
        }

        // The checks of a one-way call ask a second time without the tag: the untagged host has to know the
        // serialization too, and has to have had a one-way call before.
        static let everyKindOfCall = [
            Case(dubbo: "dubbo27", answers: "old|1.0.0"),
            Case(dubbo: "dubbo27", tag: "gray", answers: "new|1.0.0"),
            Case(dubbo: "dubbo33", answers: "old|1.0.0"),
            Case(dubbo: "dubbo33", tag: "gray", answers: "new|1.0.0"),
            Case(dubbo: "dubbo33", version: "2.0.0", serialization: "fastjson2", answers: "next|2.0.0"),
        ]
        static let fastjson2 = Case(dubbo: "dubbo33", tag: "gray", serialization: "fastjson2", answers: "new|1.0.0")
    }

    @Test func everyKindOfCallReachesTheVersionItAsksFor() throws {
        let mesh = try Mesh(registry: "nacos3")
        try mesh.start(
            .init(dubbo: "dubbo27", name: "old"), .init(dubbo: "dubbo33", name: "new", tag: "gray"),
            .init(dubbo: "dubbo33", name: "next", version: "2.0.0"))
        for wanted in Case.everyKindOfCall { try expectAnswers(wanted, kinds: ["all", "say"], mesh) }
        try expectAnswers(.fastjson2, kinds: ["say"], mesh)
        #expect(mesh.greymesh.terminate(grace: .seconds(40)) == .status(0))
    }

    /// Consumers of the same kind at once: `all` makes one call of each kind, `say` many that tell who answered.
    private func expectAnswers(_ wanted: Case, kinds: [String], _ mesh: Mesh) throws {
        let consumers = try kinds.map {
            try mesh.startConsumer(
                wanted.dubbo, version: wanted.version, wanted.arguments + ["mode=\($0)", "calls=200", "threads=4"])
        }
        for (kind, consumer) in zip(kinds, consumers) {
            let exit = try consumer.waitForExit(within: .seconds(120))
            let story = "\(wanted)\n\(consumer.output)\(consumer.errors)\(mesh.greymesh.errors)"
            #expect(exit == .status(0), "\(story)")
            if kind == "all" {
                let end = lines(consumer, "checks=").first ?? ""
                #expect(end.hasSuffix(" failed=0") && !end.hasPrefix("checks=0 "), "\(story)")
            } else {
                #expect(lines(consumer, "answer ") == ["answer \(wanted.answers) 200"], "\(story)")
            }
        }
    }

    @Test func noCallFailsWhileProvidersComeAndGo() throws {
        let mesh = try Mesh(registry: "nacos2")
        let first = try mesh.start(.init(dubbo: "dubbo27", name: "a27"), .init(dubbo: "dubbo33", name: "a33"))
        let consumers = try ["dubbo27", "dubbo33"].map {
            try mesh.startConsumer($0, ["mode=steady", "seconds=20", "rate=50", "each=true"])
        }
        func expectAnswers(of name: String) {
            let came = waitUntil(within: .seconds(60)) { consumers.allSatisfy { $0.output.contains(" \(name)|") } }
            #expect(came, "\(name) answers nothing\n\(mesh.greymesh.errors)")
        }
        expectAnswers(of: "a27")
        expectAnswers(of: "a33")
        try mesh.start(.init(dubbo: "dubbo33", name: "b33"))
        expectAnswers(of: "b33")
        for leaving in first {
            leaving.signal(SIGTERM)
            try leaving.waitForExit(within: .seconds(60))
        }
        for consumer in consumers {
            let exit = try consumer.waitForExit(within: .seconds(120))
            let end = try consumer.waitForLine("calls=")
            #expect(exit == .status(0) && end.hasPrefix("calls=1000 errors=0 "), "\(end)\n\(lines(consumer, "error "))")
        }
        #expect(mesh.greymesh.terminate(grace: .seconds(40)) == .status(0))
    }

    private func lines(_ consumer: ChildProcess, _ prefix: String) -> [Substring] {
        consumer.output.split(separator: "\n").filter { $0.hasPrefix(prefix) }
    }
}
