import HTTP
import Testing

struct HeadersTests {
    @Test func namesHaveNoCase() {
        var headers: HTTPHeaders = ["WWW-Authenticate": "a", "Link": "b"]
        headers.add("www-authenticate", "c")
        #expect(headers["Www-Authenticate"] == "a")
        #expect(headers.all("WWW-AUTHENTICATE") == ["a", "c"])
        headers["wWW-authenticate"] = "d"
        #expect(headers.all("WWW-Authenticate") == ["d"])
        headers["LINK"] = nil
        #expect(headers["Link"] == nil)
        #expect(headers.fields.count == 1)
        // Letters beyond ASCII have no case here: K is the Kelvin sign.
        #expect(headers["lin\u{212a}"] == nil)
    }

    @Test(arguments: [
        "a\r\nAuthorization: x", "a\nAuthorization: x", "a\rAuthorization: x", "a\u{0}b", "\r\n\r\nGET /", "\n",
    ])
    func noValueAddsALine(value: String) {
        for headers in [["X": value], [value: "x"]] as [HTTPHeaders] {
            #expect(headers.fields.count == 1)
            for field in headers.fields {
                #expect(!"\(field.name)\(field.value)".unicodeScalars.contains { "\r\n\0".unicodeScalars.contains($0) })
            }
        }
    }

    @Test(arguments: [
        ("5", Int64?(5)), ("0", 0), ("-1", nil), ("", nil), ("5, 5", nil), ("9223372036854775808", nil), ("0x5", nil),
        ("5.0", nil), (" 5", nil),
    ])
    func contentLengthIsANumberOrNothing(value: String, length: Int64?) {
        #expect(HTTPResponseHead(status: 200, headers: ["content-length": value]).contentLength == length)
    }
}
