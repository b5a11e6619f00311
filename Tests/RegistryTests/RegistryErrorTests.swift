import HTTP
import Testing

@testable import Registry

struct RegistryErrorTests {
    private func error(_ status: Int, _ body: String, _ headers: HTTPHeaders = [:]) throws -> RegistryError {
        RegistryError(
            HTTPResponseHead(status: status, headers: headers), body: Array(body.utf8),
            url: try HTTPURL("https://r.example/v2/a/blobs/x?_state=private"), unixTime: 784_111_740)
    }

    @Test(arguments: [
        (401, "", RegistryError.Code.unauthorized), (403, "", .denied), (404, "", .notFound), (405, "", .unsupported),
        (413, "", .tooLarge), (416, "", .rangeInvalid), (429, "", .rateLimited), (500, "", .unavailable),
        (503, "", .unavailable), (501, "", .unsupported), (418, "", .protocolViolation), (302, "", .protocolViolation),
        (204, "", .protocolViolation),
        (404, "{\"errors\":[{\"code\":\"BLOB_UPLOAD_UNKNOWN\"}]}", .uploadUnknown),
        (404, "{\"errors\":[{\"code\":\"BLOB_UPLOAD_INVALID\",\"detail\":[{}]}]}", .uploadUnknown),
        (400, "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}", .digestMismatch),
        (404, "{\"errors\":[{\"code\":\"MANIFEST_BLOB_UNKNOWN\",\"detail\":{\"digest\":\"d\"}}]}", .blobUnknown),
    ])
    func codes(status: Int, body: String, code: RegistryError.Code) throws {
        #expect(try error(status, body).code == code)
    }

    /// A structured or missing detail must not lose the rest, as it did in apple/containerization.
    @Test(arguments: [
        ("{\"errors\":[{\"code\":\"denied\",\"message\":\"no\",\"detail\":{\"a\":[1,null]}}]}", "DENIED", "no"),
        ("{\"errors\":[{\"code\":\"DENIED\",\"detail\":\"why\"}]}", "DENIED", "why"),
        ("{\"errors\":[{\"code\":403,\"message\":null}]}", "403", ""),
        ("{\"errors\":[\"plain words\"]}", "", "plain words"),
        ("{\"error\":\"invalid_grant\",\"error_description\":\"old\"}", "INVALID_GRANT", "old"),
        ("{\"message\":\"gateway\"}", "", "gateway"),
        (
            "<?xml?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "ACCESSDENIED",
            "Request has expired"
        ),
        ("<html><head><title>502 Bad Gateway</title></head></html>", "", "502 Bad Gateway"),
    ])
    func readsBodies(body: String, code: String, message: String) {
        #expect(ErrorBody.details(of: Array(body.utf8)).first?.code == code)
        #expect(ErrorBody.details(of: Array(body.utf8)).first?.message == message)
    }

    @Test(arguments: ["", "{}", "[]", "null", "{\"errors\":[]}", "\u{0}\u{1}", "nonsense", "{\"errors\":"])
    func readsNothing(body: String) {
        #expect(ErrorBody.details(of: Array(body.utf8)).isEmpty)
    }

    @Test func boundsWhatItRepeats() throws {
        let entry = "{\"code\":\"X\",\"message\":\"\(String(repeating: "long ", count: 1000))\"}"
        let list = Array(repeating: entry, count: 100).joined(separator: ",")
        let error = try error(400, "{\"errors\":[\(list)]}")
        #expect(error.details.count == 8)
        #expect(error.description.count < 3500)
    }

    @Test(arguments: [
        "bad token eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl here",
        "GET https://user:c2lnbmF0dXJl@s3.example/x failed",
        "GET \"https://s3.example/x?X-Amz-Signature=c2lnbmF0dXJl\" failed",
        "header was Authorization: Bearer c2lnbmF0dXJl",
        "header was Authorization: basic c2lnbmF0dXJl",
    ])
    func redacts(text: String) {
        #expect(!ErrorBody.clean(text).contains("c2lnbmF0dXJl"))
        #expect(ErrorBody.clean(text).count > 10)
    }

    @Test func saysWhereWithoutTheQuery() throws {
        let error = try error(429, "", ["Retry-After": "90"])
        #expect(error.description.hasPrefix("https://r.example/v2/a/blobs/x: HTTP 429"))
        #expect(error.description.contains("90 s"))
        #expect(!error.description.contains("private"))
        #expect(error.isTransient)
        #expect(error.retryAfter == .seconds(90))
    }

    @Test func secretsAreNotShown() {
        let secret = Secret("hunter2")
        let credential = Credential(username: "u", secret: secret, origin: "f")
        var dumped = ""
        dump(credential, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(credential)", String(reflecting: credential), dumped] {
            #expect(!text.contains("hunter2"))
        }
        #expect(!"\([credential.basicAuthorization])".contains("dTpodW50ZXIy"))
        #expect(credential.basicAuthorization.text == "Basic dTpodW50ZXIy")
    }

    @Test(arguments: [
        ("registry.example", "https://registry.example", "registry.example"),
        ("https://registry.example:5000/", "https://registry.example:5000", "registry.example:5000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://R.example:443", "https://r.example", "r.example"),
        ("docker.io", "https://registry-1.docker.io", "docker.io"),
        ("https://index.docker.io", "https://registry-1.docker.io", "docker.io"),
    ])
    func endpoints(text: String, url: String, name: String) throws {
        let endpoint = try RegistryEndpoint(text)
        #expect(endpoint.url == (try HTTPURL(url)))
        #expect(endpoint.name == name)
    }

    @Test(arguments: ["https://r.example/path", "https://r.example?x", "ftp://r.example", "https://u:p@r.example", ""])
    func refusedEndpoints(text: String) {
        #expect { try RegistryEndpoint(text) } throws: { error in
            (error as? RegistryError)?.code == .invalidConfiguration && !"\(error)".contains("u:p")
        }
    }
}
