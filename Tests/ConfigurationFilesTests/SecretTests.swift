import TestSupport
import Testing

@testable import ConfigurationFiles

/// A URL with a password that somebody wrote into a file, however malformed: no message shows the password.
@Suite struct SecretTests {
    /// Each in double quotes, as YAML has them.
    private static let urls = [
        "https://user:secret@a:port/", "https://user:sec ret@a/", "user:secret@a", "//user:secret@a/",
        "https:/user:secret@a", "https://user:x/secret@a/", "https://user:12/secret@a/", "https://user:secret?x@a/",
        "https://user:x?secret@a/", "https://user:secret#x@a/", "https://[secret@a/", "ftp://user:secret@a/",
        "s3://user:secret@bucket", "s3://bucket?endpoint=https://user:x&secret@a", "file://user:secret@a/b",
        "https://user:secret@secret@a:x/",
    ]

    /// Files, each with a place for the URL.
    private static let agents = [
        "sources": "sources: [{url: URL}]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\n",
        "a source": "sources: [URL]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\n",
        "a key": "sources: [{URL: x}]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\n",
        "registry": "sources: [{url: https://a}]\nregistry: {url: URL}\nobjectStore: {url: file:///s}\n",
        "registry itself": "sources: [{url: https://a}]\nregistry: URL\nobjectStore: {url: file:///s}\n",
        "store": "sources: [{url: https://a}]\nregistry: {url: https://b}\nobjectStore: {url: URL}\n",
        "host":
            "sources: [{url: https://a}]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\nhosts: {URL: {}}\n",
        "proxy":
            "sources: [{url: https://a}]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\nhosts: {a: {proxy: URL}}\n",
        "listen":
            "sources: [{url: https://a}]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\nhttp: {listen: URL}\n",
        "interval":
            "sources: [{url: https://a}]\nregistry: {url: https://b}\nobjectStore: {url: file:///s}\ninterval: URL\n",
    ]

    @Test(arguments: urls) func theAgentsFileShowsNoPassword(url: String) {
        for (place, text) in Self.agents {
            let error = #expect(throws: ConfigurationError.self, "\(place)") {
                try AgentFile(
                    text: "site: lab-1\nenvironment: lab\nstate: state\n" + text.replacing("URL", with: "\"\(url)\""),
                    path: "a.yaml")
            }
            #expect(error?.description.contains("sec") == false, "\(place): \(error?.description ?? "")")
        }
    }

    @Test(arguments: urls) func theOtherFilesShowNoPassword(url: String) {
        for text in [
            "objectStore: {url: URL}\nenvironments: []\n",
            "objectStore: {url: file:///s}\nenvironments: [{name: lab, sites: [{name: a, registry: URL}]}]\n",
        ] {
            let error = #expect(throws: ConfigurationError.self) {
                try FleetFile.parse(text.replacing("URL", with: "\"\(url)\""), path: "f.yaml")
            }
            #expect(error?.description.contains("sec") == false, "\(error?.description ?? "")")
        }
        for text in [
            "name: x\nsource: URL\nimages: [{repository: a, tag: b}]\n",
            "name: x\nsource: https://a\nimages: [{repository: URL, tag: b}]\n",
            "name: x\nsource: https://a\nimages: [{repository: a, tag: URL}]\n",
        ] {
            let error = #expect(throws: ConfigurationError.self) {
                try ImagesFile(text: text.replacing("URL", with: "\"\(url)\""), path: "i.yaml")
            }
            #expect(error?.description.contains("sec") == false, "\(error?.description ?? "")")
        }
    }
}
