import FoundationEssentials
import TestSupport
import Testing
import Yams

@testable import ConfigurationFiles

/// The schemas for editors are what the definitions say, the examples fit them, and mistakes do not.
@Suite(.timeLimit(.minutes(5))) struct EditorSchemaTests {
    private static let configs = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/configs"

    private static func path(_ file: Reference.File) -> String {
        "\(configs)/schema/\(file.name.replacing(".yaml", with: "")).schema.json"
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    /// `ROLLCALL_UPDATE_REFERENCE=1` writes them.
    @Test func theSchemasAreCurrent() throws {
        for file in Reference.files {
            let path = Self.path(file)
            let schema = EditorSchema(of: file).json() + "\n"
            let isCurrent = (try? Self.text(path)) == schema
            if !isCurrent, ProcessInfo.processInfo.environment["ROLLCALL_UPDATE_REFERENCE"] == "1" {
                try Data(schema.utf8).write(to: URL(filePath: path))
            } else {
                #expect(
                    isCurrent,
                    """
                    \(path) is not what the definitions in Sources/ConfigurationFiles say. Write it with: \
                    ROLLCALL_UPDATE_REFERENCE=1 swift test --filter theSchemasAreCurrent
                    """)
            }
        }
    }

    private static func faults(_ text: String, _ name: String) throws -> [String] {
        let file = try #require(Reference.files.first { $0.name == name })
        let schema = try JSONSchema(parsing: Array(EditorSchema(of: file).json().utf8))
        return try schema.faults(in: value(Document(text: text, path: name, title: name).root.node))
    }

    /// A document as an editor reads it, which is YAML 1.2's core schema.
    private static func value(_ node: Node) throws -> JSONValue {
        switch node {
        case .mapping(let mapping):
            .object(
                Dictionary(
                    try mapping.map { (try #require($0.key.scalar).string, try value($0.value)) },
                    uniquingKeysWith: { $1 }))
        case .sequence(let sequence): .array(try sequence.map(value))
        case .scalar(let scalar):
            switch scalar.string {
            case let text where scalar.style != .plain: .string(text)
            case "true": .bool(true)
            case "false": .bool(false)
            case "", "~", "null": .null
            case let text: Int64(text).map { .integer($0) } ?? Double(text).map { .number($0) } ?? .string(text)
            }
        case .alias: .null
        }
    }

    @Test(arguments: [
        ("agent", "agent.yaml"), ("agent-embedded", "agent.yaml"), ("fleet", "fleet.yaml"), ("images", "images.yaml"),
    ])
    func theExamplesFit(example: String, name: String) throws {
        let text = try Self.text("\(Self.configs)/\(example).example.yaml")
        #expect(try Self.faults(text, name) == [])
        // Editors find the schema by this line.
        #expect(
            text.hasPrefix("# yaml-language-server: $schema=schema/\(name.replacing(".yaml", with: "")).schema.json\n"))
    }

    @Test(arguments: SettingTests.Alternative.allCases)
    func whatIsReadFits(alternative: SettingTests.Alternative) throws {
        for file in Reference.files {
            let text = try #require(SettingTests.text(.section(file.keys), alternative))
            #expect(try Self.faults(text, file.name) == [], "\(text)")
        }
    }

    private static let agent =
        "{site: a, environment: b, sources: [url: 'http://c'], registry: {url: 'http://d'},"
        + " objectStore: {url: 'file:///e'}, state: f"

    @Test(arguments: [
        "", ", limits: {rate: 200Mbit/s, quotaPerDay: 1GiB, spool: 2 TB}", ", validity: 1h30m",
        ", audit: {period: none}",
        ", shard: {index: hostname, of: 3}", ", windows: [{from: 20:00, to: '24:00'}]",
        ", repositories: {'': mirror}", ", hosts: {h: {insecure: true}}",
    ])
    func whatFits(addition: String) throws {
        #expect(try Self.faults(Self.agent + addition + "}", "agent.yaml") == [])
        _ = try AgentFile(text: Self.agent + addition + "}", path: "agent.yaml")
    }

    @Test(arguments: [
        ", limit: {}", ", limits: {blobs: 0}", ", limits: {blobs: 257}", ", limits: {blobs: many}", ", limits: []",
        ", limits: {rate: 200Mbps}", ", limits: {spool: 8G}", ", validity: 1h1h", ", validity: 60", ", validity: ''",
        ", shard: {index: host, of: 3}", ", shard: {of: 3}", ", windows: [{from: '25:00', to: '06:00'}]",
        ", windows: [{days: [monday], from: '20:00', to: '06:00'}]", ", log: {level: loud}",
        ", hosts: {h: {insecure: 'no'}}", ", hosts: {h: {cafile: x}}", ", repositories: [a]",
    ])
    func whatDoesNotFit(addition: String) throws {
        #expect(try Self.faults(Self.agent + addition + "}", "agent.yaml") != [])
        #expect(throws: ConfigurationError.self) {
            try AgentFile(text: Self.agent + addition + "}", path: "agent.yaml")
        }
    }

    @Test func whatIsMissing() throws {
        let without = Self.agent.replacing("{url: 'http://d'}", with: "{}")
        #expect(try Self.faults(without + "}", "agent.yaml") != [])
        #expect(try Self.faults("{name: a, source: 'http://b', images: [repository: c]}", "images.yaml") != [])
        #expect(
            try Self.faults("{name: a, source: 'http://b', images: [{repository: c, tag: 4.17}]}", "images.yaml") == [])
        #expect(try Self.faults("{objectStore: {url: 'file:///e'}}", "fleet.yaml") != [])
    }
}
