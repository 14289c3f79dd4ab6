import Balancing
import Runtime
import Testing

@Suite struct LabelTableTests {
    /// A table that expectations can look at.
    private final class Table {
        private var labels = LabelTable()

        var count: Int { labels.count }
        func intern(_ text: String) -> Int { labels.intern(text) }
        func settle() -> Bool { labels.settle() }
        func contains(_ number: Int) -> Bool { labels.contains(number) }
        subscript(number: Int) -> String { labels[number].text }

        func find(_ text: String) -> Int {
            let bytes = ByteString(copying: text)
            defer { bytes.free() }
            return labels.find(bytes)
        }
    }

    @Test func tenThousandVersionsAreToldApart() {
        let table = Table()
        let numbers = (0..<10_000).map { table.intern("v\($0)") }
        #expect(Set(numbers).count == 10_000)
        #expect(table.find("v9999") == numbers[9999] && table[numbers[1023]] == "v1023")
        #expect(table.find("v10000") == LabelTable.unknown)
    }

    /// A version a build, for a long time: the table stays small, and a number never means another text.
    @Test func whatIsNotNeededGoesAndNumbersAreNeverReused() {
        let table = Table()
        var texts: [Int: String] = [:]
        for build in 0..<10_000 {
            let stable = table.intern("stable")
            let number = table.intern("build-\(build)")
            let earlier = texts.updateValue("build-\(build)", forKey: number)
            #expect(earlier == nil)
            _ = table.settle()
            #expect(table.count <= 3 + LabelTable.spare)
            #expect(table[stable] == "stable" && table[number] == "build-\(build)")
            #expect(table.find("") == 0)
        }
        for (number, text) in texts { #expect(table[number] == (table.contains(number) ? text : "")) }
        #expect(texts.keys.count { table.contains($0) } == 1 + LabelTable.spare)
        #expect(table[-1].isEmpty && table[1 << 40].isEmpty)
    }

    @Test func aTextThatComesBackInTimeHasItsNumber() {
        let table = Table()
        let number = table.intern("2.0")
        _ = table.settle()
        for build in 0..<LabelTable.spare {
            _ = table.intern("other-\(build)")
            #expect(!table.settle())
            #expect(table.find("2.0") == number)
        }
        #expect(table.intern("2.0") == number)
        for build in 0...LabelTable.spare {
            _ = table.intern("2.0")
            _ = table.intern("another-\(build)")
            _ = table.settle()
        }
        #expect(table[number] == "2.0")
    }
}
