import ObjectStore
import Testing

@Suite struct ObjectKeyTests {
    @Test(arguments: [
        "a", "lists/0f.json", "environments/lab/sites/lab-1.json", "a.b_c=d-e", "...", "..a", "-",
        String(repeating: "x", count: 200),
    ])
    func accepts(_ path: String) throws {
        let key = try ObjectKey(path)
        #expect(key.path == path)
    }

    @Test(arguments: [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a b", "~lock", "a/~b", "ä", "a\0b", "a\nb", "a\\b",
        String(repeating: "x", count: 201), Array(repeating: "x", count: 17).joined(separator: "/"),
    ])
    func refuses(_ path: String) {
        #expect { try ObjectKey(path) } throws: { ($0 as? ObjectStoreError)?.code == .invalidKey }
    }

    @Test func nameIsTheLastSegment() throws {
        #expect(try ObjectKey("a/b/c.json").name == "c.json")
        #expect(try ObjectKey("c.json").name == "c.json")
    }
}

@Suite struct ObjectStoreLocationTests {
    @Test(arguments: [
        ("file:///srv/rollcall", "/srv/rollcall"), ("file:///srv/rollcall/", "/srv/rollcall"),
        ("FILE:///srv", "/srv"), ("file://localhost/srv", "/srv"), ("file:///srv/roll%20call", "/srv/roll call"),
        ("file:///srv/%C3%A4", "/srv/ä"),
    ])
    func reads(_ url: String, _ directory: String) throws {
        let location = try ObjectStoreLocation(url)
        #expect(location == .directory(directory))
        #expect(try ObjectStoreLocation(location.description) == location)
    }

    @Test(arguments: [
        ("/srv/rollcall", "write file:///"), ("", "write file:///"), ("file:/srv", "write file:///"),
        ("file://srv/rollcall", "three slashes"), ("file://", "three slashes"), ("file:///", "name a directory"),
        ("https://a/b", "scheme 'https'"),
        ("file:///a?b=c", "no query"), ("file:///a#b", "no fragment"), ("file:///a%2", "malformed"),
        ("file:///a%zz", "malformed"), ("file:///a%00b", "malformed"), ("file:///a%ff", "malformed"),
        ("https://user:secret@a/b", "scheme 'https'"), ("file://user:secret@a/b", "three slashes"),
        ("user:secret@a", "write file:///"), ("user:secret@a://b", "write file:///"), ("secret@a://b", "scheme '…@a'"),
        ("file:///x?secret@a", "no query"), ("file:/user:secret@a", "write file:///"),
    ])
    func refuses(_ url: String, _ message: String) {
        #expect { try ObjectStoreLocation(url) } throws: { error in
            (error as? ObjectStoreError)?.code == .invalidLocation && "\(error)".contains(message)
                && !"\(error)".contains("secret")
        }
    }
}
