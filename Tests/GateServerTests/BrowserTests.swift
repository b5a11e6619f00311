import FoundationEssentials
import ObjectStore
import Readiness
import Synchronization
import TestSupport
import Testing

@testable import GateServer

/// The board in a browser, where there is one: Debian's chromium or chromium-headless-shell.
@Suite(.timeLimit(.minutes(5)), .serialized) struct BrowserTests {
    private static let browser: String? = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let names = path.split(separator: ":").flatMap { directory in
            ["chromium-headless-shell", "chromium"].map { "\(directory)/\($0)" }
        }
        return names.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// The document that a page has become after so many seconds of its own time, which a browser lets pass at once
    /// whenever nothing is under way.
    private func document(_ url: String, after seconds: Int) async throws -> String? {
        guard let browser = Self.browser else {
            print("not tested in a browser: neither chromium-headless-shell nor chromium is installed")
            return nil
        }
        return try await withTemporaryDirectory("browser") { directory in
            let result = try await runCommand([
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
                "--user-data-dir=\(directory.path)", "--virtual-time-budget=\(seconds * 1000)", "--dump-dom", url,
            ])
            #expect(result.status == 0, "\(result.errorText)")
            return result.text
        }
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
}
