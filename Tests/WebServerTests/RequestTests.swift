import Testing

@testable import WebServer

struct RequestTests {
    @Test(arguments: [
        ("/a/b?x=1", "/a/b"), ("/a%20b%2Fc+d", "/a b/c+d"), ("http://host:80/p?q", "/p"), ("http://host?q=/x", "/"),
        ("http://host", "/"), ("/%zz%4", "/%zz%4"), ("*", "*"), ("/u?r=http://x/y", "/u"),
    ])
    func paths(target: String, path: String) { #expect(Request(method: "GET", target: target).path == path) }

    @Test func queryAndForm() {
        var request = Request(method: "POST", target: "/p?a=1&b=x%20y+z&&c&d=1=2&a=second")
        request.headers = [HeaderField("CONTENT-TYPE", "application/x-www-form-urlencoded;charset=utf-8")]
        request.body = Array("a=form&e=%E4%B8%AD".utf8)
        let all = request.parameters
        #expect(all["a"] == "1" && all["b"] == "x y z" && all["c"] == "" && all["d"] == "1=2" && all["e"] == "中")
        #expect(all["z"] == nil && request.query["e"] == nil)
        request.headers = []
        #expect(request.parameters["e"] == nil)
    }

    @Test func encodingIsTheReverseOfDecoding() {
        let text = "a b+c/ü?&=%~-_.\u{0}"
        let encoded = Parameters.encode(text)
        #expect(encoded == "a%20b%2Bc%2F%C3%BC%3F%26%3D%25~-_.%00")
        #expect(Parameters.decode(encoded.utf8, plusIsBlank: true) == text)
    }

    @Test func brokenEscapesStay() {
        #expect(Parameters.decode("%".utf8, plusIsBlank: false) == "%")
        #expect(Parameters.decode("%4".utf8, plusIsBlank: false) == "%4")
        #expect(Parameters.decode("%g1%41".utf8, plusIsBlank: false) == "%g1A")
        #expect(Parameters.decode("%ff".utf8, plusIsBlank: false) == "\u{fffd}")
    }
}
