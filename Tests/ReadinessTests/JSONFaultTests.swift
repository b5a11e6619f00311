import Testing

@testable import Readiness

@Suite struct JSONFaultTests {
    @Test(arguments: [
        "{}", "[]", " 1 ", "-1.5e+3", "true", "false", "null", #""a\"\\\/\u00e4""#,
        #"{"a": [1, {"b": "ä"}], "c": null}"#,
        "\n[\n]\n",
    ])
    func valid(_ text: String) {
        #expect(JSONFault(in: Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        ("", 1), ("{", 1), ("\n{\n", 3), ("[1,\n2,\n]", 3), ("{\"a\" 1}", 1), ("{\n\"a\": x}", 2), ("\"a\nb\"", 1),
        ("1.", 1), ("tru", 1), ("{}\n{}", 2), ("'a'", 1), ("{a: 1}", 1), (#""\x""#, 1), ("[1 2]", 1), ("\u{0}", 1),
        (String(repeating: "[", count: 100_000), 1),
    ])
    func invalid(_ text: String, _ line: Int) {
        #expect(JSONFault(in: Array(text.utf8))?.line == line)
    }
}
