import FoundationEssentials
import ObjectStore
import Readiness
import Synchronization
import TestSupport
import Testing

@testable import GateServer

/// The board in a browser, where there is one: Debian's chromium or chromium-headless-shell.
@Suite(.timeLimit(.minutes(15)), .serialized) struct BrowserTests {
    private static let browser: String? = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let names = path.split(separator: ":").flatMap { directory in
            ["chromium-headless-shell", "chromium"].map { "\(directory)/\($0)" }
        }
        return names.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// What the browser writes about a page after so many seconds of the page's own time, which it lets pass at once
    /// whenever nothing is under way; `nil` where there is no browser.
    private func browse(_ url: String, after seconds: Int, _ options: String...) async throws -> String? {
        guard let browser = Self.browser else {
            print("not tested in a browser: neither chromium-headless-shell nor chromium is installed")
            return nil
        }
        return try await withTemporaryDirectory("browser") { directory in
            let result = try await runCommand(
                [
                    browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
                    "--user-data-dir=\(directory.path)", "--virtual-time-budget=\(seconds * 1000)",
                ] + options + [url])
            #expect(result.status == 0, "\(result.errorText)")
            return result.text
        }
    }

    /// The document that a page has become.
    private func document(_ url: String, after seconds: Int) async throws -> String? {
        try await browse(url, after: seconds, "--dump-dom")
    }

    /// Without being loaded again, a page shows what has become of it.
    @Test func aPageFollowsTheFleet() async throws {
        try await LiveServer.with { server in
            let looks = Atomic(0)
            server.gate.answer { list, environment in
                let isFirst = looks.add(1, ordering: .relaxed).oldValue == 0
                return try madeVerdict(list.text, in: environment.text, ready: isFirst ? ["a"] : ["a", "b"])
            }
            guard let document = try await document("\(server.origin)/", after: 20) else { return }
            #expect(looks.load(ordering: .relaxed) > 1)
            #expect(document.contains("The gate is ready."))
            #expect(document.contains("<title>Fleet · Rollcall</title>"))
            #expect(!document.contains("Fleet: 1 blocked"))
            #expect(document.contains("<p id=\"notice\" role=\"alert\" hidden=\"\">"))
        }
    }

    /// What cannot be asked any more is not shown as if it were so.
    @Test func aPageSaysThatItIsOutOfDate() async throws {
        try await LiveServer.with { server in
            let looks = Atomic(0)
            server.gate.answer { list, environment in
                guard looks.add(1, ordering: .relaxed).oldValue == 0 else {
                    throw ObjectStoreError(.unavailable, "<b>away</b>", at: "store")
                }
                return try madeVerdict(list.text, in: environment.text)
            }
            guard let document = try await document("\(server.origin)/", after: 20) else { return }
            #expect(document.contains("Out of date, since "))
            #expect(document.contains("Nothing is known at present: store: &lt;b&gt;away&lt;/b&gt;"))
            #expect(document.contains("<body class=\"stale\">"))
        }
    }

    /// A page that could not be shown shows itself when it can.
    @Test func aFailureHeals() async throws {
        try await LiveServer.with { server in
            let looks = Atomic(0)
            server.gate.answer { list, environment in
                guard looks.add(1, ordering: .relaxed).oldValue > 0 else {
                    throw ObjectStoreError(.unavailable, "away", at: "store")
                }
                return try madeVerdict(list.text, in: environment.text)
            }
            guard let document = try await document("\(server.origin)/environments/lab", after: 20) else { return }
            #expect(document.contains("<h1 id=\"title\">lab</h1>"))
            #expect(document.contains("1 of 1 gate ready"))
            #expect(!document.contains("Nothing is known"))
        }
    }

    private static let paths = ["/", "/environments/lab", "/environments/lab/sites/a", "/waivers", "/audit"]

    /// On a phone and on a desk, by day and by night. Where the variable ROLLCALL_SCREENSHOTS names a directory, the
    /// pictures are there afterwards, to be looked at.
    @Test func pagesAreDrawn() async throws {
        let kept = ProcessInfo.processInfo.environment["ROLLCALL_SCREENSHOTS"].flatMap { $0.isEmpty ? nil : $0 }
        try await LiveServer.with { server in
            server.gate.answer { list, environment in
                try madeVerdict(list.text, in: environment.text, ready: ["a"])
            }
            try await withTemporaryDirectory("screenshots") { directory in
                for path in Self.paths.prefix(3) {
                    for (width, height) in [(390, 844), (1280, 900)] {
                        var pictures: [[UInt8]] = []
                        // 0 is dark, as Blink counts.
                        for (scheme, number) in [("light", 1), ("dark", 0)] {
                            let name = "page\(path.replacing("/", with: "-"))-\(width)-\(scheme).png"
                            let drawn = try await browse(
                                "\(server.origin)\(path)", after: 1, "--screenshot=\(directory.file(name))",
                                "--window-size=\(width),\(height)", "--hide-scrollbars",
                                "--blink-settings=preferredColorScheme=\(number)")
                            guard drawn != nil else { return }
                            let picture = try directory.read(name)
                            #expect(Self.size(ofPNG: picture).map { $0 == (width, height) } == true, "\(name)")
                            pictures.append(picture)
                            if let kept { try Data(picture).write(to: URL(filePath: "\(kept)/\(name)")) }
                        }
                        #expect(pictures.first != pictures.last, "\(path) is the same by day and by night")
                    }
                }
            }
        }
    }

    /// Width and height as the header of a PNG file says them (PNG specification, section 11.2.1); `nil` for another file.
    private static func size(ofPNG bytes: [UInt8]) -> (Int, Int)? {
        guard bytes.count > 24, bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]),
            bytes[12..<16].elementsEqual("IHDR".utf8)
        else { return nil }
        func number(_ range: Range<Int>) -> Int { bytes[range].reduce(0) { $0 << 8 | Int($1) } }
        return (number(16..<20), number(20..<24))
    }

    /// Whatever can be used with a pointer can be used with the keys: it is of a kind that browsers give the focus to, it is
    /// seen where the focus is, and the first stop leads past the header.
    @Test(arguments: paths) func pagesAreUsedByKeyboard(path: String) async throws {
        try await LiveServer.with { server in
            server.gate.answer { list, environment in
                try madeVerdict(list.text, in: environment.text, ready: ["a"])
            }
            guard let document = try await document("\(server.origin)\(path)", after: 10) else { return }
            let body = try #require(document.firstRange(of: "<body"))
            let markup = document[body.lowerBound...].split(separator: "<script").first ?? ""
            let tags = markup.split(separator: "<").map { $0.prefix { $0 != ">" } }.filter { !$0.hasPrefix("/") }
            let links = tags.filter { $0.hasPrefix("a ") }
            #expect(links.first?.contains("class=\"skip\"") == true)
            #expect(links.first?.contains("href=\"#content\"") == true)
            #expect(tags.contains { $0.hasPrefix("main ") && $0.contains("id=\"content\" tabindex=\"-1\"") })
            #expect(links.count > 3)
            for tag in tags {
                let name = tag.prefix { $0 != " " }
                if name == "a" { #expect(tag.contains(" href=\""), "\(tag)") }
                // What scripts would make of something else has no place here.
                #expect(!tag.split(separator: " ").contains { $0.hasPrefix("on") && $0.contains("=\"") }, "\(tag)")
                #expect(!tag.contains(" tabindex=\"") || tag.contains(" tabindex=\"-1\""), "\(tag)")
                for role in ["button", "link", "checkbox", "tab", "menuitem", "switch", "textbox", "option"] {
                    #expect(!tag.contains(" role=\"\(role)\""), "\(tag)")
                }
                #expect(!tag.contains(" contenteditable"), "\(tag)")
            }
            let style = document[..<body.lowerBound]
            #expect(style.contains(":focus-visible{outline:3px solid"))
            #expect(style.contains(".skip:focus{left:"))
            // But where a link leads into the page, which is no stop.
            #expect(style.split(separator: "outline:none").count == 2)
        }
    }
}
