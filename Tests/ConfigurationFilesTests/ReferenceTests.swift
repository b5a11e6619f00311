import FoundationEssentials
import Testing

@testable import ConfigurationFiles

/// The reference says what the definitions do, and nothing else.
@Suite(.timeLimit(.minutes(5))) struct ReferenceTests {
    private static let package = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
    private static let path = package + "/docs/configuration.md"

    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    /// `ROLLCALL_UPDATE_REFERENCE=1` writes it.
    @Test func theReferenceIsCurrent() throws {
        // Outside the marks it is written by hand.
        let before = (try? Self.text(Self.path)) ?? ""
        let parts = before.split(separator: Self.mark, omittingEmptySubsequences: false)
        try #require(
            parts.count == 3,
            "\(Self.path): the two lines '\(Self.mark)', between which the files' keys stand, are gone")
        let page = Reference.page(preface: String(parts[0]) + Self.mark, appendix: Self.mark + String(parts[2]))
        if page != before, ProcessInfo.processInfo.environment["ROLLCALL_UPDATE_REFERENCE"] == "1" {
            try Data(page.utf8).write(to: URL(filePath: Self.path))
            return
        }
        let changed = zip(page.split(separator: "\n"), before.split(separator: "\n")).first { $0 != $1 }
        // Not the comparison itself, which would print both pages.
        let isCurrent = page == before
        #expect(
            isCurrent,
            """
            docs/configuration.md is not what the definitions in Sources/ConfigurationFiles say (first: '\(changed?.0 ?? "")').
            Write it with: ROLLCALL_UPDATE_REFERENCE=1 swift test --filter theReferenceIsCurrent
            """)
    }

    private static let mark = "<!-- The keys of the files are written by a test, from Sources/ConfigurationFiles. -->"

    /// Each variable that the programs read is in the reference's table, and each of the table is read.
    @Test func theVariablesAreThoseThatAreRead() throws {
        let rows = try Self.text(Self.path).split(separator: "\n").filter { $0.hasPrefix("| `") }
        let told = Set(
            rows.flatMap { row in
                row.split(separator: "|").first.map { $0.matches(of: /`([A-Za-z_]+)`/).map { String($0.output.1) } }
                    ?? []
            })
        var read: Set<String> = []
        var sources = ""
        let files = try FileManager.default.subpathsOfDirectory(atPath: Self.package + "/Sources")
        for file in files where file.hasSuffix(".swift") {
            let text = try Self.text("\(Self.package)/Sources/\(file)")
            sources += text
            // Where variables are read, these words stand beside their names.
            let places = [
                "environment[", "environment?[", "environment)[", "getenv(", "value(\"", "ariable",
                "compactMap { environment",
            ]
            for line in text.split(separator: "\n") where places.contains(where: { line.contains($0) }) {
                read.formUnion(line.matches(of: /"([A-Z][A-Z_]{2,})"/).map { String($0.output.1) })
            }
        }
        // What systemd's unit reads for `rollcall serve`.
        sources += try Self.text(Self.package + "/configs/systemd/rollcall-serve.service")
        #expect(read.count > 10)
        #expect(read.subtracting(told).sorted() == [], "add them to the table in docs/configuration.md")
        #expect(told.filter { !sources.contains($0) }.sorted() == [], "nothing reads them")
    }

    /// Its links into this repository lead somewhere.
    @Test func theLinksLeadSomewhere() throws {
        let page = try Self.text(Self.path)
        var headings: [String: Set<String>] = [:]
        for match in page.matches(of: /\]\(([^)#\s:]*)(?:#([^)\s]+))?\)/) {
            let file = match.output.1.isEmpty ? "configuration.md" : String(match.output.1)
            let target = "\(Self.package)/docs/\(file)"
            #expect(FileManager.default.fileExists(atPath: target), "\(file)")
            guard let anchor = match.output.2, file.hasSuffix(".md") else { continue }
            if headings[file] == nil { headings[file] = Self.anchors(try Self.text(target)) }
            #expect(headings[file]?.contains(String(anchor)) == true, "\(file)#\(anchor)")
        }
        #expect(headings.count > 3)
    }

    private static func anchors(_ page: String) -> Set<String> {
        var counts: [String: Int] = [:]
        var anchors: Set<String> = []
        for line in page.split(separator: "\n") where line.hasPrefix("#") {
            let slug = String(
                line.drop { $0 == "#" }.dropFirst().lowercased().compactMap { character -> Character? in
                    if character == " " { return "-" }
                    return character.isLetter || character.isNumber || "-_".contains(character) ? character : nil
                })
            let count = counts[slug, default: 0]
            counts[slug] = count + 1
            anchors.insert(count == 0 ? slug : "\(slug)-\(count)")
        }
        return anchors
    }
}
