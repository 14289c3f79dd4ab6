import Runtime
import Testing

@Suite struct JSONStringTests {
    @Test(arguments: [
        ("", #""""#), ("plain", #""plain""#), ("a\"b\\c", #""a\"b\\c""#),
        ("\n\r\t\u{1}\u{1f}", #""\n\r\t\u0001\u001f""#),
        ("grün 灰度 🙂", #""grün 灰度 🙂""#),
    ])
    func quotes(text: String, expected: String) { #expect(JSONString.quoted(text) == expected) }
}
