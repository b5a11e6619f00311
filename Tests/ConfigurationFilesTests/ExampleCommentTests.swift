import FoundationEssentials
import Testing

@testable import ConfigurationFiles

/// The examples show every key, and say the same of it as its setting: whether it is required, and its default.
@Suite(.timeLimit(.minutes(5))) struct ExampleCommentTests {
    private static let directory = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/configs"

    /// A key as an example shows it.
    private struct Shown {
        /// Its section and its name: a section that occurs twice needs to be shown once.
        let key: String
        let setting: Setting
        /// The comment above it, or above keys before it that have the same; empty where there is none.
        let comment: String
        let line: Int
    }

    /// The keys of an example. Lines are read as these files are written: block style, comments above keys.
    private static func keys(_ name: String, _ root: any MappingKey.Type) throws -> [Shown] {
        let text = String(
            decoding: try Data(contentsOf: URL(filePath: "\(directory)/\(name).example.yaml")), as: UTF8.self)
        var found: [Shown] = []
        // The keys that the line is below of, with their columns.
        var above: [(column: Int, form: Setting.Form)] = [(-1, .section(root))]
        var comment: (column: Int, lines: [Substring]) = (0, [])
        var continues = false
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var content = line.drop { $0 == " " }
            if content.hasPrefix("#") {
                if !continues { comment = (line.count - content.count, []) }
                comment.lines.append(content.drop { "# ".contains($0) })
                continues = true
                continue
            }
            continues = false
            if content.isEmpty { comment.lines = [] }
            // A comment about the first key of an entry stands above the dash.
            let start = line.count - content.count
            if content.hasPrefix("- ") { content = content.dropFirst(2) }
            let name = content.hasSuffix(":") ? content.dropLast() : content.split(separator: ": ").first ?? ""
            guard !name.isEmpty, name != content, !name.hasPrefix("\"") else { continue }
            let column = line.count - content.count
            above.removeAll { $0.column >= column }
            let (section, isUsers) = section(above.last?.form)
            if isUsers {
                above.append((column, section.map { .section($0) } ?? .path))
                continue
            }
            let keys = try #require(section, "\(number + 1): \(line)")
            let setting = try #require(
                keys.settings.first { $0.name == name }?.setting,
                "\(number + 1): \(name) is no key of \(String(reflecting: keys))")
            above.append((column, setting.form))
            found.append(
                Shown(
                    key: "\(String(reflecting: keys)).\(name)", setting: setting,
                    comment: comment.column == start ? comment.lines.joined(separator: " ") : "", line: number + 1))
        }
        return found
    }

    /// The section below a form, and whether the user's own keys come before it.
    private static func section(_ form: Setting.Form?) -> (keys: (any MappingKey.Type)?, isUsers: Bool) {
        guard let form else { return (nil, false) }
        if case .pairs = form { return (form.below.section, true) }
        return (form.below.section, false)
    }

    private static let examples: [(name: String, root: any MappingKey.Type)] = [
        ("agent", AgentFile.Key.self), ("agent-embedded", AgentFile.Key.self), ("fleet", FleetFile.Key.self),
        ("images", ImagesFile.Key.self),
    ]

    @Test func everyKeyIsShown() throws {
        let shown = Set(try Self.examples.flatMap { try Self.keys($0.name, $0.root) }.map(\.key))
        var pending = Reference.files.map(\.keys)
        while let keys = pending.popLast() {
            for (name, setting) in keys.settings {
                #expect(shown.contains("\(String(reflecting: keys)).\(name)"), "no example shows '\(name)' of \(keys)")
                if let below = setting.form.below.section { pending.append(below) }
            }
        }
    }

    @Test func theCommentsSayWhatTheDefinitionsDo() throws {
        var count = 0
        for (file, root) in Self.examples {
            var explained: Set<String> = []
            // What is shown again need not be explained again.
            for key in try Self.keys(file, root) where !key.comment.isEmpty && explained.insert(key.key).inserted {
                let place = "configs/\(file).example.yaml:\(key.line): \(key.key)"
                let stated = key.comment.firstMatch(of: /Default: (.+?)\.( |$)/).map { String($0.output.1) }
                let saysRequired = key.comment.contains("Required")
                switch key.setting.absence {
                case .required: #expect(saysRequired, "\(place): is required")
                case .requiredUnless: #expect(stated == nil, "\(place): has no default")
                case .standards: #expect(stated == nil && !saysRequired, "\(place): its keys have defaults")
                case .standard(let text):
                    #expect(!saysRequired, "\(place): is not required")
                    #expect(stated.map { Self.isSame($0, text) } == true, "\(place): write 'Default: \(text).'")
                case .otherwise(let words):
                    #expect(!saysRequired, "\(place): is not required")
                    #expect(
                        stated.map { Self.isSame($0, words) } ?? true,
                        "\(place): write 'Default: \(words).', or nothing")
                }
                count += stated == nil ? 0 : 1
                for bound in Self.bounds(in: key.comment) {
                    #expect(key.setting.form.words.contains(bound), "\(place): '\(bound)' is not its bound")
                }
            }
        }
        #expect(count > 40)
    }

    /// The bounds that a comment states, as the reference would have them.
    private static func bounds(in comment: String) -> [String] {
        comment.matches(of: /(?:^|[ ,])([0-9]+) to ([0-9]+)[.;]/).map { "from \($0.output.1) to \($0.output.2)" }
            + comment.matches(of: /at least ([0-9][^ ,.]+)/).map { "from `\($0.output.1)` to" }
            + comment.matches(of: /at most ([0-9]+) days/).map { "to `\($0.output.1)d`" }
    }

    private static func isSame(_ one: String, _ other: String) -> Bool {
        if let one = Duration(written: one), let other = Duration(written: other) { return one == other }
        return one.filter { $0 != "`" } == other.filter { $0 != "`" }
    }
}
