@testable import ConfigurationFiles

/// A JSON Schema (draft-07, which editors know) of a file that users write, from its definitions.
///
/// It is what an editor can know of a file: keys, forms and numbers. Bounds of times, sizes and rates, and what names and
/// URLs are made of, are in its descriptions only.
indirect enum EditorSchema {
    case word(String)
    case text(String)
    case array([EditorSchema])
    case object([(String, EditorSchema)])

    /// The schema of a file.
    init(of file: Reference.File) {
        self = .object(
            [
                ("$schema", .text("http://json-schema.org/draft-07/schema#")),
                ("title", .text("Rollcall: \(file.name)")),
                ("description", .text("Written by a test, from Sources/ConfigurationFiles.")),
            ] + Self.keywords(.section(file.keys)))
    }

    /// What a schema says of a value.
    private static func keywords(_ form: Setting.Form) -> [(String, EditorSchema)] {
        switch form {
        // YAML takes `4.17` for a number, and the programs take it as it was written.
        case .text: [("type", .array([.text("string"), .text("number")]))]
        case .path: [("type", .text("string"))]
        case .bool: [("type", .text("boolean"))]
        case .integer(let range):
            [
                ("type", .text("integer")), ("minimum", .word("\(range.lowerBound)")),
                ("maximum", .word("\(range.upperBound)")),
            ]
        case .duration: pattern("^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$")
        case .byteSize: pattern("^[0-9]+ ?([kMGTPE]?B|[KMGTPE]iB)$")
        case .byteRate: pattern("^[0-9]+ ?([kMG]?bit|[kMGTPE]?B|[KMGTPE]iB)/s$")
        case .timeOfDay: pattern("^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")
        case .choice(let words): [("enum", .array(words.map { .text($0) }))]
        case .orNone(let form):
            [("anyOf", .array([.object([("const", .text("none"))]), .object(keywords(form))]))]
        case .either(let one, let other):
            [("anyOf", .array([.object(keywords(one)), .object(keywords(other))]))]
        case .list(let form): [("type", .text("array")), ("items", .object(keywords(form)))]
        case .pairs(_, let form): [("type", .text("object")), ("additionalProperties", .object(keywords(form)))]
        case .section(let keys): section(keys.settings)
        }
    }

    private static func section(_ settings: [(name: String, setting: Setting)]) -> [(String, EditorSchema)] {
        var keywords: [(String, EditorSchema)] = [
            ("type", .text("object")),
            ("properties", .object(settings.map { ($0.name, property($0.setting)) })),
            ("additionalProperties", .word("false")),
        ]
        let required = settings.filter { if case .required = $0.setting.absence { true } else { false } }
        if !required.isEmpty { keywords.append(("required", .array(required.map { .text($0.name) }))) }
        let alternatives = settings.filter {
            if case .requiredUnless = $0.setting.absence { true } else { false }
        }
        if !alternatives.isEmpty {
            keywords.append(
                ("anyOf", .array(alternatives.map { .object([("required", .array([.text($0.name)]))]) })))
        }
        return keywords
    }

    /// A key's value, with its words.
    private static func property(_ setting: Setting) -> EditorSchema {
        // Links lead from the page, not from an editor.
        var text = setting.text.replacing(#/ \(\[[^\]]+\]\([^)]*\)\)/#, with: "")
            .replacing(/\[([^\]]+)\]\([^)]*\)/) { $0.output.1 }
        var standard: [(String, EditorSchema)] = []
        switch setting.absence {
        case .standard(let value):
            switch setting.form {
            case .integer, .bool: standard = [("default", .word(value))]
            default: standard = [("default", .text(value))]
            }
            text += " Default: \(value)."
        case .otherwise(let words): text += " Default: \(words)."
        case .requiredUnless(let other): text += " Required, unless there is `\(other)`."
        case .required: text += " Required."
        case .standards: break
        }
        return .object([("description", .text(text))] + keywords(setting.form) + standard)
    }

    private static func pattern(_ pattern: String) -> [(String, EditorSchema)] {
        [("type", .text("string")), ("pattern", .text(pattern))]
    }

    /// The document, two spaces a level.
    func json(_ indent: String = "") -> String {
        switch self {
        case .word(let word): word
        case .text(let text):
            "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        case .array(let values) where values.allSatisfy(\.isText):
            "[\(values.map { $0.json() }.joined(separator: ", "))]"
        case .array(let values): Self.block("[", values.map { $0.json(indent + "  ") }, "]", indent)
        case .object(let members):
            Self.block("{", members.map { "\"\($0.0)\": \($0.1.json(indent + "  "))" }, "}", indent)
        }
    }

    private var isText: Bool { if case .text = self { true } else { false } }

    private static func block(_ open: String, _ lines: [String], _ close: String, _ indent: String) -> String {
        "\(open)\n\(lines.map { "\(indent)  \($0)" }.joined(separator: ",\n"))\n\(indent)\(close)"
    }
}
