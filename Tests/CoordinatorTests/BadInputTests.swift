import FoundationEssentials
import Glibc
import Readiness
import TestSupport
import Testing

/// Each mistake ends with one line that says what and where, and with its exit code.
@Suite(.timeLimit(.minutes(5))) struct BadInputTests {
    struct Mistake: CustomTestStringConvertible, Sendable {
        let arguments: [String]
        let status: Int
        /// Parts of the message.
        let words: [String]
        var prepare: @Sendable (Workplace) throws -> Void = { _ in }

        var testDescription: String { "\(arguments.joined(separator: " ")): \(words)" }
    }

    static let stage = ["stage", "list.json", "--environment", "lab"]
    static let check = ["check", "platform", "--environment", "lab"]

    static let mistakes = [
        Mistake(arguments: ["bogus"], status: 64, words: ["'bogus'", "(see --help)"]),
        Mistake(arguments: ["check"], status: 64, words: ["<name>"]),
        Mistake(arguments: ["check", "platform"], status: 64, words: ["--environment"]),
        Mistake(arguments: ["check", "a/b", "--environment", "lab"], status: 64, words: ["'a/b'", "image list"]),
        Mistake(arguments: ["check", "a", "--environment", ".."], status: 64, words: ["'..'", "environment"]),
        Mistake(arguments: check + ["--output", "xml"], status: 64, words: ["xml"]),
        Mistake(arguments: check + ["--timeout", "5m"], status: 64, words: ["--wait"]),
        Mistake(arguments: check + ["--wait", "--timeout", "5"], status: 64, words: ["30m"]),
        Mistake(arguments: ["check", "a", "--environment", "qa"], status: 64, words: ["'qa'", "lab, production"]),
        Mistake(arguments: check + ["--fleet", "none.yaml"], status: 64, words: ["none.yaml", "No such file"]),
        Mistake(arguments: check, status: 64, words: ["fleet.yaml:2:", "'urk'", "url"]) {
            try $0.directory.write("fleet.yaml", "objectStore:\n  urk: file:///srv\nenvironments: []\n")
        },
        Mistake(arguments: check, status: 64, words: ["fleet.yaml:2:", "'gs'"]) {
            try $0.directory.write("fleet.yaml", "objectStore:\n  url: gs://bucket\nenvironments: []\n")
        },
        Mistake(arguments: stage, status: 64, words: ["list.json", "No such file"]),
        Mistake(arguments: stage, status: 64, words: ["list.json: line 2: not valid JSON"]) {
            try $0.directory.write("list.json", "{\n  \"a\" 1\n}\n")
        },
        Mistake(arguments: stage, status: 64, words: ["list.json", "changed by hand"]) {
            let text = String(decoding: try Workplace.list().documentBytes, as: UTF8.self)
            try $0.directory.write("list.json", text.replacing("\"platform\"", with: "\"other\""))
        },
        Mistake(arguments: ["list", "show", "list.json"], status: 64, words: ["list.json", "upgrade"]) {
            let text = String(decoding: try Workplace.list().documentBytes, as: UTF8.self)
            try $0.directory.write("list.json", text.replacing("image-list/v1", with: "image-list/v2"))
        },
        Mistake(arguments: check, status: 1, words: ["/store", "create the directory"]) {
            try FileManager.default.removeItem(atPath: $0.directory.file("store"))
        },
        Mistake(arguments: check, status: 1, words: ["environments/lab/record.json", "line 1: not valid JSON"]) {
            try $0.directory.write("store/environments/lab/record.json", "{")
        },
        Mistake(arguments: check, status: 1, words: ["environments/lab/sites/readme.txt", "delete it"]) {
            try $0.directory.write("store/environments/lab/sites/readme.txt", "hello")
        },
        Mistake(
            arguments: ["list", "resolve", "images.yaml", "--output", "l.json"], status: 64, words: ["images.yaml"]),
        Mistake(
            arguments: ["list", "resolve", "images.yaml", "--output", "l.json"], status: 64,
            words: ["images.yaml:4:", "'Platform'"]
        ) {
            try $0.directory.write(
                "images.yaml", "name: a\nsource: https://r.example\nimages:\n  - repository: Platform\n    tag: '1'\n")
        },
        Mistake(
            arguments: ["list", "resolve", "images.yaml", "--output", "l.json", "--plain-http", "http://x"], status: 64,
            words: ["--plain-http 'http://x'"]
        ) {
            try $0.directory.write(
                "images.yaml", "name: a\nsource: https://r.example\nimages:\n  - repository: p\n    tag: '1'\n")
        },
    ]

    @Test(arguments: mistakes)
    func endsWithOneLine(_ mistake: Mistake) async throws {
        try await Workplace.with { workplace in
            try mistake.prepare(workplace)
            let result = try await runCommand(
                [Workplace.executable] + mistake.arguments, environment: ["ROLLCALL_FLEET": ""],
                directory: workplace.directory.path)
            #expect(result.status == mistake.status)
            #expect(result.text == "")
            #expect(result.errorText.hasPrefix("rollcall: "))
            #expect(result.errorText.count { $0 == "\n" } == 1, "\(result.errorText)")
            for word in mistake.words { #expect(result.errorText.contains(word), "\(result.errorText)") }
        }
    }

    @Test func helpAndVersionAreNoMistakes() async throws {
        try await Workplace.with { workplace in
            #expect(try await workplace.run("--version").text == "0.1.0\n")
            for arguments in [["--help"], ["check", "--help"], ["--generate-completion-script", "bash"]] {
                let result = try await runCommand([Workplace.executable] + arguments)
                #expect(result.status == 0)
                #expect(!result.text.isEmpty)
                #expect(result.errorText == "")
            }
        }
    }
}
