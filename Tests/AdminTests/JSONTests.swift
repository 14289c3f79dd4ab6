import FoundationEssentials
import Model
import Testing

@testable import Admin

@Suite("JSON of the admin API")
struct JSONTests {
    @Test("A value that comes in parts is laid out as a whole one")
    func parts() {
        let value = JSON.object([
            "a": .array([.object(["b": 1, "c": .array([1, 2])]), 5]), "d": .array([]), "e": "x",
        ])
        var layout = JSONLayout()
        var text: [UInt8] = []
        layout.begin(.object, &text)
        layout.begin(.array, named: "a", &text)
        layout.value(.object(["b": 1, "c": .array([1, 2])]), &text)
        layout.value(5, &text)
        layout.end(&text)
        layout.begin(.array, named: "d", &text)
        layout.end(&text)
        layout.members(["e": "x"], &text)
        layout.end(&text)
        #expect(String(decoding: text, as: UTF8.self) == value.pretty)
    }

    @Test("Members keep their order; empty ones stay on one line")
    func layout() {
        let value = JSON.object([
            "b": .array([1, "x", .null]), "a": .object([:]), "c": .array([]), "d": true, "e": .unsigned(.max),
        ])
        #expect(
            value.pretty == """
                {
                  "b": [
                    1,
                    "x",
                    null
                  ],
                  "a": {},
                  "c": [],
                  "d": true,
                  "e": 18446744073709551615
                }

                """)
    }

    @Test(
        "Any text comes back from another reader as it was",
        arguments: ["", "plain", "a\"b\\c", "\n\r\t\u{0}\u{1}\u{1f}\u{7f}", "服务 é 🐶", "\u{2028}</script>"])
    func texts(text: String) throws {
        let bytes = Data(JSON.object(["k": .texts([text])]).pretty.utf8)
        #expect(try JSONDecoder().decode([String: [String]].self, from: bytes) == ["k": [text]])
    }
}

@Suite("Prometheus text")
struct MetricsTextTests {
    @Test("Labels are escaped, histograms summed up")
    func format() {
        var text = MetricsText()
        text.begin("a_total", .counter, "With \\ and\nlines.")
        text.sample([:], 3)
        text.sample(["l": "q\"b\\n\n", "m": ""], UInt64.max)
        text.begin("h", .histogram, "H.")
        text.histogram(["s": "x"], bounds: [0.5, 1], buckets: [1, 0, 2], sum: 7.5)
        #expect(
            text.text == #"""
                # HELP a_total With \\ and\nlines.
                # TYPE a_total counter
                a_total 3
                a_total{l="q\"b\\n\n",m=""} 18446744073709551615
                # HELP h H.
                # TYPE h histogram
                h_bucket{s="x",le="0.5"} 1
                h_bucket{s="x",le="1.0"} 1
                h_bucket{s="x",le="+Inf"} 3
                h_sum{s="x"} 7.5
                h_count{s="x"} 3

                """#)
    }
}
