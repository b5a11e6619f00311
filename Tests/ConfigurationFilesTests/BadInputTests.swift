import TestSupport
import Testing

@testable import ConfigurationFiles

/// One message for each way in which a file can be wrong: what, where, and what to do.
@Suite struct BadInputTests {
    private static let agent = """
        site: lab-1
        environment: lab
        sources:
          - url: https://central.example
        registry:
          url: https://lab-1.example
        objectStore:
          url: file:///srv/rollcall
        state: state

        """

    private static let keys: [(String, String)] = [
        (
            site("publicKey: ed25519:AAAA"),
            "f.yaml:7:20: 'publicKey': not a public key: write the line that 'rollcall-agent keygen' printed,"
                + " ed25519:BASE64"
        ),
        (
            site("publicKey: \(key)\n        publicKeys: [\"\(key)\"]"),
            "f.yaml:8:21: 'publicKey' and 'publicKeys' are both there: write one of them"
        ),
        (site("publicKeys: []"), "f.yaml:7:21: 'publicKeys' has 0 keys: write 1 to 8"),
        (
            site("publicKeys: [\"\(key)\", {key: \"\(key)\"}]"),
            "f.yaml:7:78: the key \(key) is listed twice"
        ),
        (
            site("publicKeys: [{key: \"\(key)\", notAfter: tomorrow}]"),
            "f.yaml:7:94: 'notAfter': 'tomorrow' is not a time: write it in UTC as 2026-03-01T12:00:00Z"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    unsignedManifests: yes\n    sites: []\n",
            "f.yaml:4:24: 'unsignedManifests' must be refuse or accept, not 'yes'"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    depth: bytes\n    sites: []\n",
            "f.yaml:4:12: 'depth' must be presence or content, not 'bytes'"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    contentWithin: 7d\n    sites: []\n",
            "f.yaml:4:20: 'contentWithin' is for 'depth: content': write that too, or leave 'contentWithin' out"
        ),
    ]

    @Test(arguments: keys) func keysOfTheFleetFile(_ text: String, _ message: String) {
        let error = #expect(throws: ConfigurationError.self) { try FleetFile.parse(text, path: "f.yaml") }
        #expect(error?.description == message)
    }

    @Test(arguments: [
        ("{}", "f.yaml:1:108: 'registry' has neither 'url' nor 'embedded': write one of them"),
        (
            "{url: 'http://a', embedded: {layout: a, listen: 'a:1'}}",
            "f.yaml:1:108: 'registry' has both 'url' and 'embedded': a site has one registry"
        ),
        ("{embedded: {listen: 'a:1'}}", "f.yaml:1:119: 'embedded' has no 'layout'"),
        ("{embedded: {layout: a}}", "f.yaml:1:119: 'embedded' has no 'listen'"),
        (
            "{embedded: {layout: a, listen: 5000}}",
            "f.yaml:1:139: '5000' is not an address to listen on: write HOST:PORT, such as 0.0.0.0:5000"
        ),
        (
            "{embedded: {layout: a, listen: 'a:99999'}}",
            "f.yaml:1:139: 'a:99999' is not an address to listen on: write HOST:PORT, such as 0.0.0.0:5000"
        ),
        (
            "{embedded: {layout: a, listen: 'a:1', tls: {certificate: c}}}",
            "f.yaml:1:151: 'tls' has no 'key'"
        ),
        (
            "{embedded: {layout: a, listen: 'a:1', writers: [ci]}}",
            "f.yaml:1:155: 'writers' names users, and there is no 'users': name their file"
        ),
        (
            "{embedded: {layout: a, listen: 'a:1', users: u, writers: [ci], anonymousPush: true}}",
            "f.yaml:1:186: with 'anonymousPush', 'writers' says nothing: leave one of them out"
        ),
        (
            "{embedded: {layout: a, listen: 'a:1', readOnly: true}}",
            "f.yaml:1:146: unknown key 'readOnly' in 'embedded': known keys are layout, listen, tls, users, anonymousPull,"
                + " writers, anonymousPush, allowDelete"
        ),
    ])
    func registriesOfTheAgentsFile(_ registry: String, _ message: String) {
        let text =
            "{site: a, environment: b, sources: [url: 'http://c'], objectStore: {url: 'file:///e'}, state: f, registry: "
        let error = #expect(throws: ConfigurationError.self) {
            try AgentFile(text: text + registry + "}", path: "f.yaml")
        }
        #expect(error?.description == message)
    }

    private static let key = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

    /// A fleet file with one site, which has these lines too, from line 7 on.
    private static func site(_ lines: String) -> String {
        "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    sites:\n      - name: a\n"
            + "        registry: https://a\n        \(lines)\n"
    }

    @Test(arguments: [
        ("", "f.yaml: the fleet file is empty"),
        ("# nothing\n", "f.yaml: the fleet file is empty"),
        ("~\n", "f.yaml:1:1: the fleet file is empty: it must be a mapping (key: value)"),
        ("just text\n", "f.yaml:1:1: the fleet file must be a mapping (key: value), not text"),
        ("- a\n- b\n", "f.yaml:1:1: the fleet file must be a mapping (key: value), not a list"),
        (
            "environments: []\nobjektStore:\n  url: file:///srv\n",
            "f.yaml:2:1: unknown key 'objektStore' in the fleet file: did you mean 'objectStore'?"
        ),
        (
            "zones: []\n",
            "f.yaml:1:1: unknown key 'zones' in the fleet file: known keys are objectStore, environments, approvers,"
                + " coordinators"
        ),
        (
            "objectStore:\n  url: file:///srv\nenvironments:\n  - name: lab\n    sites:\n      - name: a\n"
                + "        registy: https://a\n",
            "f.yaml:7:9: unknown key 'registy' in site: did you mean 'registry'?"
        ),
        ("objectStore:\n  url: file:///srv\n", "f.yaml:1:1: the fleet file has no 'environments'"),
        (
            "objectStore:\n  url: file:///srv\nobjectStore:\n  url: file:///srv\n",
            "f.yaml:1:1: malformed YAML: the key 'objectStore' occurs twice in the same mapping"
        ),
        ("objectStore:\n  url:\nenvironments: []\n", "f.yaml:2:3: 'url' is empty"),
        ("objectStore:\n  url: ''\nenvironments: []\n", "f.yaml:2:8: 'url' is empty"),
        (
            "objectStore: [a]\nenvironments: []\n",
            "f.yaml:1:14: 'objectStore' must be a mapping (key: value), not a list"
        ),
        (
            "objectStore:\n  url: file:///srv\nenvironments: lab\n",
            "f.yaml:3:15: 'environments' must be a list, not text"
        ),
        (
            "objectStore:\n  url: file:///srv\nenvironments:\n",
            "f.yaml:3:1: 'environments' is empty: it must be a list"
        ),
        (
            "objectStore:\n  url: file:///srv\nenvironments: []\n",
            "f.yaml:3:15: the fleet has no environments: name at least one, with its sites"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: [lab]\n    sites: []\n",
            "f.yaml:3:11: 'name' must be text, not a list"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    sites:\n      - name: a\n"
                + "        registry: a.example\n",
            "f.yaml:6:19: 'registry': 'a.example' is not a registry's URL: write https://HOST[:PORT]"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    sites:\n      - name: a\n"
                + "        registry: https://a.example/prefix\n",
            "f.yaml:6:19: 'registry': a registry's URL has no path: write https://a.example"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    sites:\n      - name: a\n"
                + "        registry: https://u:hunter2@a.example\n",
            "f.yaml:6:19: 'registry': …@a.example: a URL must not carry a user name or password: use the credentials file"
        ),
        (
            "objectStore: {url: file:///srv}\nenvironments:\n  - name: lab\n    sites:\n      - {name: a, registry:"
                + " 'https://a'}\n      - {name: a, registry: 'https://b'}\n",
            "f.yaml:5:7: the site 'a' is named twice: site names are unique"
        ),
        (
            "a: &x 1\nb: *x\n",
            "f.yaml:1:4: anchors and aliases ('&x') are not supported: write the value out"
        ),
        ("a: *x\n", "f.yaml:1:4: malformed YAML: found undefined alias"),
        (
            "a: 1\n---\nb: 2\n",
            "f.yaml:2:1: malformed YAML: expected a single document in the stream but found another document"
        ),
        ("? [a]\n: b\n", "f.yaml:1:3: a key in the fleet file is not text"),
        (
            "objectStore:\n\turl: file:///srv\n",
            "f.yaml:2:1: malformed YAML: while scanning for the next token found character that cannot start any token"
                + " (YAML is indented with spaces; this line has a tab)"
        ),
        ("a: \"open\n", "f.yaml:2:1: malformed YAML: while scanning a quoted scalar found unexpected end of stream"),
        ("a: \u{1}\n", "f.yaml: malformed YAML: control characters are not allowed"),
    ])
    func theFleetFile(text: String, message: String) {
        let error = #expect(throws: ConfigurationError.self) { try FleetFile.parse(text, path: "f.yaml") }
        #expect(error?.description == message)
    }

    @Test func deepNestingIsAnErrorAndNotACrash() {
        let text = "a: " + String(repeating: "[", count: 100_000)
        let error = #expect(throws: ConfigurationError.self) { try FleetFile.parse(text, path: "f.yaml") }
        #expect(error?.code == .malformed)
    }

    @Test(
        arguments: [
            (
                "name: a b\nsource: https://c\nimages: []\n", .invalidValue,
                "i.yaml:1:7: 'name': 'a b' is not the name of"
            ),
            ("name: a\nsource: ftp://c\nimages: []\n", .invalidValue, "i.yaml:2:9: 'source': "),
            ("name: a\nsource: https://c\nimages: []\n", .invalidValue, "i.yaml:3:9: 'images' is empty"),
            (
                "name: a\nsource: https://c\nimages:\n  - repository: x\n", .missingKey,
                "i.yaml:4:5: the image 'x' has neither 'tag' nor 'digest'"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - repository: X\n    tag: t\n", .invalidValue,
                "i.yaml:4:17: 'repository': 'X' is not a repository name"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - repository: x\n    tag: '-'\n", .invalidValue,
                "i.yaml:5:10: 'tag': '-' is not a tag"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - repository: x\n    digest: sha256:ab\n", .invalidValue,
                "i.yaml:5:13: 'digest': 'sha256:ab' is not a digest"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - repository: x\n    tag: t\n  - repository: y\n    tag: t\n"
                    + "  - repository: x\n    tag: t\n", .invalidValue,
                "i.yaml:8:5: 'x:t' is listed twice: first on line 4"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - {repository: x, tag: t, platforms: []}\n", .invalidValue,
                "i.yaml:4:40: 'platforms' is empty"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - {repository: x, tag: t, platforms: [amd64]}\n", .invalidValue,
                "i.yaml:4:41: 'amd64' is not a platform"
            ),
            (
                "name: a\nsource: https://c\nimages:\n  - x:t\n", .wrongType,
                "i.yaml:4:5: an entry of 'images' must be a mapping"
            ),
        ] as [(String, ConfigurationError.Code, String)])
    func theImagesFile(text: String, code: ConfigurationError.Code, message: String) {
        let error = #expect(throws: ConfigurationError.self) { try ImagesFile(text: text, path: "i.yaml") }
        #expect(error?.description.hasPrefix(message) == true, "\(error.debugDescription)")
        #expect(error?.code == code)
    }

    @Test(
        arguments: [
            (
                "interval: soon", .wrongType,
                "a.yaml:10:11: 'interval' must be a time such as 90s, 30m or 24h, not 'soon'"
            ),
            ("interval: 2d", .invalidValue, "a.yaml:10:11: 'interval' must be from 1s to 1d, not 2d"),
            ("interval: 60", .wrongType, "a.yaml:10:11: 'interval' must be a time"),
            (
                "validity: 1h\nverifyInterval: 2h", .invalidValue,
                "a.yaml:11:17: 'verifyInterval' (2h) must be below 'validity' (1h)"
            ),
            ("limits: {blobs: 0}", .invalidValue, "a.yaml:10:17: 'blobs' must be from 1 to 256, not 0"),
            ("limits: {blobs: many}", .wrongType, "a.yaml:10:17: 'blobs' must be a whole number, not 'many'"),
            ("limits: {siteConnections: 0}", .invalidValue, "a.yaml:10:27: 'siteConnections' must be from 1 to 1024"),
            (
                "hosts: {a.example: {connections: 0}}", .invalidValue,
                "a.yaml:10:34: 'connections' must be from 1 to 256"
            ),
            ("limits: {spool: 8G}", .wrongType, "a.yaml:10:17: 'spool' must be a size such as 64MiB or 2GB, not '8G'"),
            ("limits: {memory: 1B}", .invalidValue, "a.yaml:10:18: 'memory' must be from 4MiB to 1TiB, not 1B"),
            (
                "limits: {memroy: 1GiB}", .unknownKey,
                "a.yaml:10:10: unknown key 'memroy' in 'limits': did you mean 'memory'?"
            ),
            (
                "limits: {rate: 200Mbps}", .wrongType,
                "a.yaml:10:16: 'rate' must be a rate such as 200Mbit/s or 25MiB/s, not '200Mbps'"
            ),
            (
                "limits: {rate: 1kbit/s}", .invalidValue,
                "a.yaml:10:16: 'rate' must be from 64kbit/s to 1TiB/s, not 1kbit/s"
            ),
            ("limits: {quotaPerDay: 5}", .wrongType, "a.yaml:10:23: 'quotaPerDay' must be a size"),
            (
                "limits: {quotaPerMonth: 5kB}", .invalidValue,
                "a.yaml:10:25: 'quotaPerMonth' must be from 1MiB to 1EiB, not 5kB"
            ),
            (
                "timeZone: CET", .invalidValue,
                "a.yaml:10:11: 'timeZone': 'CET' is not a time zone: write UTC or a name of the IANA database, such as"
            ),
            ("windows: []", .invalidValue, "a.yaml:10:10: 'windows' is empty: leave it out to transfer at any time"),
            ("windows: [{from: '20:00'}]", .missingKey, "a.yaml:10:11: window has no 'to'"),
            (
                "windows: [{from: 8pm, to: '06:00'}]", .wrongType,
                "a.yaml:10:18: 'from' must be a time of the day such as 06:30, not '8pm'"
            ),
            ("windows: [{from: '24:00', to: '06:00'}]", .invalidValue, "a.yaml:10:18: 'from' must be before 24:00"),
            ("windows: [{from: '20:00', to: '24:01'}]", .wrongType, "a.yaml:10:31: 'to' must be a time of the day"),
            ("windows: [{from: '6:00', to: '7:00'}]", .wrongType, "a.yaml:10:18: 'from' must be a time of the day"),
            ("windows: [{from: '٠6:00', to: '07:00'}]", .wrongType, "a.yaml:10:18: 'from' must be a time of the day"),
            (
                "windows: [{from: '06:00', to: '06:00'}]", .invalidValue,
                "a.yaml:10:31: 'to' is 'from': the window is either empty or a whole day: write 00:00 to 24:00"
            ),
            (
                "windows: [{days: [monday], from: '06:00', to: '07:00'}]", .invalidValue,
                "a.yaml:10:19: an entry of 'days' must be mon, tue, wed, thu, fri, sat or sun, not 'monday'"
            ),
            (
                "windows: [{days: [], from: '06:00', to: '07:00'}]", .invalidValue,
                "a.yaml:10:18: 'days' is empty: leave it out for every day"
            ),
            (
                "windows: [{day: mon, from: '06:00', to: '07:00'}]", .unknownKey,
                "a.yaml:10:12: unknown key 'day' in window: did you mean 'days'?"
            ),
            ("repositories: {a/: b}", .invalidValue, "a.yaml:10:16: 'repositories': 'a/' is not a repository name"),
            ("repositories: {a: }", .invalidValue, "a.yaml:10:16: 'a' is empty"),
            (
                "hosts: {'https://a': {}}", .invalidValue,
                "a.yaml:10:9: 'https://a' is not a host: write HOST or HOST:PORT"
            ),
            ("hosts: {a: {}, A: {}}", .invalidValue, "a.yaml:10:16: the host 'a' is listed twice"),
            ("hosts: {a: {insecure: yes}}", .wrongType, "a.yaml:10:23: 'insecure' must be true or false, not 'yes'"),
            (
                "log: {level: loud}", .invalidValue,
                "a.yaml:10:14: 'level' must be trace, debug, info, notice, warning, error"
            ),
            ("hosts: {a: {key: k.pem}}", .missingKey, "a.yaml:10:12: 'a' has only one of 'certificate' and 'key'"),
            ("hosts: {a: {ca: c, insecure: true}}", .invalidValue, "a.yaml:10:12: 'a' has both 'ca' and 'insecure'"),
            ("hosts: {a: {proxy: 'ftp://p'}}", .invalidValue, "a.yaml:10:20: 'proxy': "),
            ("password: x", .unknownKey, "a.yaml:10:1: unknown key 'password' in the agent's file: known keys are"),
        ] as [(String, ConfigurationError.Code, String)])
    func theAgentsFile(addition: String, code: ConfigurationError.Code, message: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try AgentFile(text: Self.agent + addition + "\n", path: "a.yaml")
        }
        #expect(error?.description.hasPrefix(message) == true, "\(error.debugDescription)")
        #expect(error?.code == code)
    }

    @Test func noSources() {
        let text = Self.agent.replacing("  - url: https://central.example", with: "  []")
        let error = #expect(throws: ConfigurationError.self) { try AgentFile(text: text, path: "a.yaml") }
        #expect(error?.description == "a.yaml:4:3: 'sources' is empty: name at least one registry")
    }

    @Test(arguments: [
        ("priority: 0", "a.yaml:5:15: 'priority' must be from 1 to 1000, not 0"),
        ("weight: 0", "a.yaml:5:13: 'weight' must be from 1 to 1000, not 0"),
        ("repositories: {a/: b}", "a.yaml:5:20: 'repositories': 'a/' is not a repository name"),
        ("prority: 1", "a.yaml:5:5: unknown key 'prority' in source: did you mean 'priority'?"),
    ])
    func sources(addition: String, message: String) {
        let text = Self.agent.replacing(
            "  - url: https://central.example", with: "  - url: https://central.example\n    \(addition)")
        let error = #expect(throws: ConfigurationError.self) { try AgentFile(text: text, path: "a.yaml") }
        #expect(error?.description.hasPrefix(message) == true, "\(error.debugDescription)")
    }

    @Test func unreadableFiles() throws {
        let directory = try TemporaryDirectory("configuration")
        defer { directory.remove() }
        let missing = directory.path + "/missing.yaml"
        var error = #expect(throws: ConfigurationError.self) { try AgentFile(path: missing) }
        #expect(error?.description == "\(missing): cannot read the agent's file: No such file or directory")
        error = #expect(throws: ConfigurationError.self) { try AgentFile(path: directory.path) }
        #expect(error?.description == "\(directory.path): cannot read the agent's file: Is a directory")
    }

    @Test func filesThatAreNoText() throws {
        let directory = try TemporaryDirectory("configuration")
        defer { directory.remove() }
        let latin = try directory.write("latin.yaml", Array("site: caf".utf8) + [0xE9])
        let error = #expect(throws: ConfigurationError.self) { try AgentFile(path: latin) }
        #expect(error?.description == "\(latin): the agent's file is not UTF-8 text")
    }

    @Test func filesAboveTheirLimit() throws {
        let directory = try TemporaryDirectory("configuration")
        defer { directory.remove() }
        let large = try directory.write(
            "large.yaml", [UInt8](repeating: UInt8(ascii: "#"), count: (1 << 20) + 1))
        let error = #expect(throws: ConfigurationError.self) { try AgentFile(path: large) }
        #expect(error?.code == .tooLarge)
        #expect(error?.description == "\(large): the agent's file is larger than 1 MiB")
        // The same size is allowed in a list of images: what fails then is its content.
        #expect(throws: ConfigurationError.self) { try ImagesFile(path: large) }.map { #expect($0.code == .malformed) }
    }
}
