import HTTP
import Testing

struct URLTests {
    @Test(arguments: [
        ("https://registry.example.com", "https://registry.example.com/", "registry.example.com", 443),
        ("https://registry.example.com/", "https://registry.example.com/", "registry.example.com", 443),
        ("HTTPS://Registry.Example.COM/V2/", "https://registry.example.com/V2/", "registry.example.com", 443),
        ("http://localhost:5000/v2/", "http://localhost:5000/v2/", "localhost:5000", 5000),
        ("http://a:80/", "http://a/", "a", 80), ("https://a:443/", "https://a/", "a", 443),
        ("https://a:80/", "https://a:80/", "a:80", 80),
        ("http://[::1]:5000/x", "http://[::1]:5000/x", "[::1]:5000", 5000),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]/x", "[2001:db8::1]", 443),
        ("https://a/b?c=%2F+%20&d=a+b==&&e", "https://a/b?c=%2F+%20&d=a+b==&&e", "a", 443),
        ("https://a/b%2Fc/%C3%A9", "https://a/b%2Fc/%C3%A9", "a", 443),
        ("https://a/b#fragment", "https://a/b", "a", 443),
        // libcurl reads a third slash as two, here and when it connects.
        ("http:///a", "http://a/", "a", 80),
        ("https://a/x/../b/./c", "https://a/b/c", "a", 443),
    ])
    func reads(text: String, written: String, authority: String, port: Int) throws {
        let url = try HTTPURL(text)
        #expect(url.description == written)
        #expect(url.authority == authority)
        #expect(url.port == port)
        #expect(try HTTPURL(url.description) == url)
    }

    @Test(arguments: [
        "", "a", "/v2/", "registry.example.com", "registry.example.com:5000", "//a/b", "http://",
        "https://:443/", "https://a:99999/", "https://a:x/", "https://a:-1/", "ftp://a/", "file:///etc/passwd",
        "gopher://a/", "javascript:alert(1)", "data:,x", "https://a b/", "https://a/b c", "https://a/\r\nX: y",
        "https://[::1/",
        "https://[zz]/", "https://a\u{7f}/", "\u{1}https://a/", String(repeating: "a", count: 1 << 20),
    ])
    func refuses(text: String) {
        let error = #expect(throws: HTTPError.self) { try HTTPURL(text) }
        #expect(error?.code == .invalidURL)
        #expect((error?.description.utf8.count ?? 0) < 2000)
    }

    @Test(arguments: [
        "https://user:secret@a/", "https://user@a/", "https://:secret@a/", "https://user:secret@a:5000/b?c",
        "https://user%40x:secret@a/", "https://a@b:secret@c/",
    ])
    func refusesUserInformation(text: String) {
        let error = #expect(throws: HTTPError.self) { try HTTPURL(text) }
        #expect(error?.code == .invalidURL)
        #expect(error?.description.contains("secret") == false)
        #expect(error?.description.contains("credentials") == true)
    }

    /// However malformed it is, what stands before the last '@' was meant to be a password.
    @Test(arguments: [
        "https://user:secret@a:port/", "https://user:secret@a:99999/", "https://user:sec ret@a/", "user:secret@a",
        "user:secret@a/x", "//user:secret@a/", "https:/user:secret@a", "https//user:secret@a", "https://user:secret@",
        "https://user:x/secret@a/", "https://user:12/secret@a/", "https://user:secret?x@a/", "https://user:secret#x@a/",
        "https://user:x?secret@a/", "https://user:x#secret@a/", "https://user:%zzsecret@a/", "https://[secret@a/",
        "https://user:secret@secret@a:x/", "https://user:secret@a@[b/", "ftp://user:secret@a/", "secret@a",
        "ftp://user:secret@a/?secret@b", "\u{1}https://user:secret@a/", "https://user:secret\r\nX@a/",
        "https://user:secret@a b/", "https://user:secret@[::1", "user:x?secret=@secret", "https://a/?x@secret",
    ])
    func noPasswordIsShown(text: String) throws {
        let base = try HTTPURL("https://b/c")
        let error = #expect(throws: HTTPError.self) { try HTTPURL(text) }
        #expect(error?.code == .invalidURL)
        #expect(error?.description.contains("sec") == false, "\(error?.description ?? "")")
        do throws(HTTPError) { _ = try base.resolving(text) } catch {
            #expect(!error.description.contains("sec"), "\(error)")
        }
    }

    @Test(arguments: [
        ("https://a/b?c", "https://a/b"), ("https://user:password@a/b?c", "…@a/b"), ("a@b@c", "…@c"), ("", ""),
        ("https://a/?b@c", "…"), ("@", "…@"),
    ])
    func aTextIsShownAsURL(text: String, shown: String) { #expect(text.shownAsURL == shown) }

    /// RFC 3986 section 5.4, and the forms that registries answer with.
    @Test(arguments: [
        ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"),
        ("//g", "http://g/"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"), (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"), ("..", "http://a/b/"), ("../g", "http://a/b/g"), ("../..", "http://a/"),
        ("../../g", "http://a/g"), ("../../../g", "http://a/g"), ("/./g", "http://a/g"), ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."), ("..g", "http://a/b/c/..g"), ("./../g", "http://a/b/g"),
        ("/v2/x/blobs/uploads/u?_state=a%2Bb%2F%3D&x=a+b", "http://a/v2/x/blobs/uploads/u?_state=a%2Bb%2F%3D&x=a+b"),
        ("http://a/v2/u?_state=%7B%22Name%22%7D", "http://a/v2/u?_state=%7B%22Name%22%7D"),
        ("https://b:444/c?X-Amz-Signature=0%2f", "https://b:444/c?X-Amz-Signature=0%2f"),
        ("/token?scope=repository:a/b:pull,push", "http://a/token?scope=repository:a/b:pull,push"),
    ])
    func resolves(location: String, expected: String) throws {
        let base = try HTTPURL("http://a/b/c/d;p?q")
        #expect(try base.resolving(location).description == expected)
    }

    @Test(arguments: [
        "http://user:secret@b/", "//user:secret@b/", "ftp://b/", "file:///etc/passwd", "http://", "javascript:x",
    ])
    func refusesLocation(location: String) throws {
        let base = try HTTPURL("http://a/b")
        let error = #expect(throws: HTTPError.self) { try base.resolving(location) }
        #expect(error?.code == .invalidURL)
        #expect(error?.description.contains("secret") == false)
    }

    @Test func appendsToTheQueryAsText() throws {
        let digest = "digest=sha256:00"
        #expect(try HTTPURL("http://a/b").appendingQuery(digest).description == "http://a/b?\(digest)")
        let signed = try HTTPURL("http://a/b?_state=x%2B+y%3D&&").appendingQuery(digest)
        #expect(signed.description == "http://a/b?_state=x%2B+y%3D&&&\(digest)")
    }

    @Test func originsAreSchemeHostAndPort() throws {
        let base = try HTTPURL("https://a.example/x")
        for text in ["https://A.example:443/y?z", "https://a.example"] {
            #expect(base.isSameOrigin(as: try HTTPURL(text)))
        }
        for text in [
            "http://a.example/x", "https://a.example:444/x", "https://b.example/x", "https://a.example.evil/x",
            "https://xa.example/",
        ] {
            #expect(!base.isSameOrigin(as: try HTTPURL(text)))
        }
    }

    @Test func redactionHidesTheQuery() throws {
        let url = try HTTPURL("https://a:5000/b?X-Amz-Signature=secret#secret")
        #expect(url.redacted == "https://a:5000/b")
        #expect(!url.description.contains("#"))
        let error = #expect(throws: HTTPError.self) { try HTTPURL("https://a b/?token=secret") }
        #expect(error?.description.contains("secret") == false)
    }

    @Test func replacesPathAndQuery() throws {
        let url = try HTTPURL("https://a:5000/b?c")
        #expect(url.with(path: "/v2/").description == "https://a:5000/v2/")
        #expect(url.with(path: "/v2/", query: "n=1").description == "https://a:5000/v2/?n=1")
    }
}
