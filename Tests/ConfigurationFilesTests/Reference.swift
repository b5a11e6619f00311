@testable import ConfigurationFiles

/// `docs/configuration.md`, as the definitions of the files have it.
struct Reference {
    /// A file that users write.
    struct File: Sendable {
        /// What it is usually called.
        let name: String
        /// The keys at its top.
        let keys: any MappingKey.Type
        /// What it is for, in Markdown.
        let introduction: String
    }

    static let files = [
        File(
            name: "agent.yaml", keys: AgentFile.Key.self,
            introduction: """
                One site's agent: `rollcall-agent run --config agent.yaml`, or any other of its commands. With comments, to \
                copy from: [agent.example.yaml](../configs/agent.example.yaml), and \
                [agent-embedded.example.yaml](../configs/agent-embedded.example.yaml) for a site without a registry. \
                `run` reads it again when it changes, and goes on as before where the new one is wrong \
                ([the daemon](operations.md#the-daemon)).
                """),
        File(
            name: "fleet.yaml", keys: FleetFile.Key.self,
            introduction: """
                The fleet: where the central object store is, and which sites have to prove what they hold before a list \
                is promoted. `rollcall` reads it from `--fleet FILE`, else from the file that `ROLLCALL_FLEET` names, else \
                from `./fleet.yaml`. With comments: [fleet.example.yaml](../configs/fleet.example.yaml). `rollcall serve` \
                reads it again when it changes.
                """),
        File(
            name: "images.yaml", keys: ImagesFile.Key.self,
            introduction: """
                The images of one image list. `rollcall list resolve images.yaml --output list.json` pins every tag to its \
                digest and walks everything that the images need. With comments: \
                [images.example.yaml](../configs/images.example.yaml).
                """),
    ]

    private var lines: [String] = []
    private var anchors: [String: Int] = [:]

    /// The page.
    ///
    /// - Parameters:
    ///   - preface: what stands before the files
    ///   - appendix: what stands after them
    static func page(preface: String, appendix: String) -> String {
        var page = Reference()
        page.lines = preface.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for file in files { page.add(file) }
        return (page.lines + ["", ""]).joined(separator: "\n") + appendix
    }

    private mutating func add(_ file: File) {
        _ = heading(2, file.name)
        paragraph(file.introduction)
        let place = lines.count
        var links: [String] = []
        for (name, setting) in file.keys.settings {
            let anchor = heading(3, "`\(name)`")
            let isRequired = if case .required = setting.absence { true } else { false }
            links.append("[`\(name)`](#\(anchor))\(isRequired ? " (required)" : "")")
            add(setting, name: name, path: name)
        }
        let above = lines[..<place]
        let below = lines[place...]
        lines = Array(above)
        paragraph("Its keys: \(links.joined(separator: ", ")).")
        lines += below
    }

    private mutating func add(_ setting: Setting, name: String, path: String) {
        paragraph(setting.text)
        lines.append("")
        item("value: \(setting.form.words)")
        switch setting.absence {
        case .required: item("required")
        case .requiredUnless(let other): item("required, unless there is `\(other)`")
        case .standard(let text): item("default: `\(text)`")
        case .standards: item("default: those of its keys")
        case .otherwise(let words): item("default: \(words)")
        }
        if let example = setting.example { item("example: `\(name): \(example)`") }
        let (section, suffix) = setting.form.below
        for (key, setting) in section?.settings ?? [] {
            _ = heading(4, "`\(path)\(suffix).\(key)`")
            add(setting, name: key, path: "\(path)\(suffix).\(key)")
        }
    }

    /// - Returns: its anchor, as GitHub makes them
    private mutating func heading(_ level: Int, _ text: String) -> String {
        lines += ["", "\(String(repeating: "#", count: level)) \(text)"]
        let slug = String(text.lowercased().filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" })
        let count = anchors[slug, default: 0]
        anchors[slug] = count + 1
        return count == 0 ? slug : "\(slug)-\(count)"
    }

    private mutating func paragraph(_ text: String) { lines += [""] + wrapped(text, indent: "") }

    private mutating func item(_ text: String) {
        lines += wrapped("- " + text, indent: "  ")
    }

    /// Lines of at most 120 characters; what stands between backticks is not broken.
    private func wrapped(_ text: String, indent: String) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in Self.words(text) {
            if !line.isEmpty, line.count + 1 + word.count > 120 {
                lines.append(line)
                line = indent + word
            } else {
                line += line.isEmpty ? word : " " + word
            }
        }
        return lines + [line]
    }

    private static func words(_ text: String) -> [String] {
        var words = [""]
        var isCode = false
        for character in text {
            if character == "`" { isCode.toggle() }
            if !isCode, character.isWhitespace {
                words.append("")
            } else {
                words[words.count - 1].append(character)
            }
        }
        return words.filter { !$0.isEmpty }
    }
}

extension Setting.Form {
    /// The form in words.
    var words: String {
        switch self {
        case .text(let words): words
        case .path: "a path"
        case .bool: "`true` or `false`"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .duration(let range): "a time from `\(range.lowerBound.written)` to `\(range.upperBound.written)`"
        case .byteSize(let range):
            "a size from `\(ByteSize(bytes: range.lowerBound))` to `\(ByteSize(bytes: range.upperBound))`"
        case .byteRate(let range):
            "a rate from `\(ByteRate(bytesPerSecond: range.lowerBound))` to"
                + " `\(ByteRate(bytesPerSecond: range.upperBound))`"
        case .timeOfDay: "a time of the day from `00:00` to `24:00`"
        case .choice(let words):
            words.count < 2
                ? words.map { "`\($0)`" }.joined()
                : words.dropLast().map { "`\($0)`" }.joined(separator: ", ") + " or `\(words.last ?? "")`"
        case .orNone(let form): "\(form.words), or `none`"
        case .either(let one, let other): "\(one.words), or \(other.words)"
        case .list(.section): "a list of mappings, whose keys follow"
        case .list(let form): "a list; each entry is \(form.words)"
        case .pairs(let key, .section): "a mapping from \(key) to mappings, whose keys follow"
        case .pairs(let key, let form): "a mapping from \(key) to \(form.words)"
        case .section: "a mapping, whose keys follow"
        }
    }

    /// The section in it, if any, and what stands between the key's name and those of the section.
    var below: (section: (any MappingKey.Type)?, suffix: String) {
        switch self {
        case .section(let keys): (keys, "")
        case .list(let form): (form.below.section, "[]")
        case .pairs(let key, let form): (form.below.section, ".\(key.prefix { $0 != " " })")
        case .either(let one, let other): (one.below.section ?? other.below.section, "")
        case .orNone(let form): form.below
        case .text, .path, .bool, .integer, .duration, .byteSize, .byteRate, .timeOfDay, .choice: (nil, "")
        }
    }
}
