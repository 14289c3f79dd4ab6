import Model
import Testing

@Suite struct LabelsTests {
    @Test(arguments: [
        [:], ["version": "1.0"], ["": ""], ["": "x", "x": ""], ["a": "b", "ab": "c", "b": "a"],
        ["zone": "b", "名": "值", "é": "\u{0}", "weight": String(repeating: "9", count: 1000)],
    ])
    func isLikeADictionary(dictionary: [String: String]) {
        let labels = Labels(dictionary)
        #expect(labels.dictionary == dictionary)
        #expect(labels.count == dictionary.count && labels.isEmpty == dictionary.isEmpty)
        for name in Array(dictionary.keys) + ["other", "a", "ver", "versions"] {
            #expect(labels[name] == dictionary[name])
        }
        #expect(labels.map(\.name) == dictionary.keys.sorted())
        #expect(labels.map(\.value) == dictionary.sorted { $0.key < $1.key }.map(\.value))
    }

    @Test func equalLabelsAreEqualHoweverTheyCameAbout() {
        var labels: Labels = ["a": "1"]
        labels["c"] = "3"
        labels["b"] = "2"
        let other: Labels = ["c": "3", "a": "1", "b": "2"]
        #expect(labels == other && labels.hashValue == other.hashValue)
        labels["a"] = nil
        labels["c"] = "4"
        #expect(labels == ["b": "2", "c": "4"])
        #expect(labels != other)
        labels["none"] = nil
        #expect(labels.count == 2)
    }
}
