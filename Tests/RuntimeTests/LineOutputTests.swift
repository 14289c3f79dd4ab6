import Glibc
import TestSupport
import Testing

@testable import Runtime

@Suite struct LineOutputTests {
    @Test func aFullPipeLosesLinesAndSaysHowMany() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let output = LineOutput(ends[1])
        let line = String(repeating: "x", count: 999) + "\n"
        for _ in 0..<1000 { output.write(line) { "lost \($0)\n" } }
        let lost = output.lost
        #expect(lost > 0 && lost < 1000)
        var text = read(ends[0], until: { $0.count >= Int(1000 - lost) * line.utf8.count })
        #expect(text.allSatisfy { $0 == UInt8(ascii: "x") || $0 == UInt8(ascii: "\n") })
        output.write("after\n") { "lost \($0)\n" }
        output.write("later\n") { "lost \($0)\n" }
        text = read(ends[0], until: { String(decoding: $0, as: UTF8.self).hasSuffix("later\n") })
        #expect(String(decoding: text, as: UTF8.self).hasSuffix("lost \(lost)\nafter\nlater\n"))
        #expect(output.lost == lost)
    }

    @Test func aLineThatWasCutEndsBeforeTheNext() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let output = LineOutput(ends[1])
        output.write(String(repeating: "x", count: 1 << 20) + "\n") { "lost \($0)\n" }
        #expect(output.lost == 1)
        _ = read(ends[0], until: { $0.count >= 4096 * 16 })
        output.write("next\n") { "lost \($0)\n" }
        let text = read(ends[0], until: { $0.last == UInt8(ascii: "\n") })
        #expect(String(decoding: text, as: UTF8.self) == "\nlost 1\nnext\n")
    }

    @Test func aFileTakesEverything() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("log", "")
        let descriptor = open(path, O_WRONLY)
        let output = LineOutput(descriptor)
        let line = String(repeating: "y", count: 100_000) + "\n"
        output.write(line) { _ in "" }
        close(descriptor)
        #expect(try AtomicFile.read(path, limit: 1 << 20) == Array(line.utf8) && output.lost == 0)
    }

    private func read(_ descriptor: Int32, until isEnough: ([UInt8]) -> Bool) -> [UInt8] {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !isEnough(text) {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            text += buffer[..<count]
        }
        return text
    }
}

@Suite struct FolderTests {
    @Test func foldersAboveAreMade() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path(of: "a/b/c")
        try Folder.make(path)
        try Folder.make(path + "/")
        var information = stat()
        #expect(stat(path, &information) == 0 && information.st_mode & 0o777 == 0o700)
        try directory.write("file", "")
        #expect(throws: SystemError.self) { try Folder.make(directory.path(of: "file/x")) }
    }
}
