import FoundationEssentials

/// A JSON value, for comparing documents with schemas.
public indirect enum JSONValue: Hashable, Sendable, Decodable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// Reads a document.
    public init(parsing bytes: [UInt8]) throws { self = try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) }

    /// A member of an object.
    public subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    /// The text of a string.
    public var text: String? {
        if case .string(let text) = self { text } else { nil }
    }
}

/// The part of JSON Schema (draft 2020-12) that docs/schemas and configs/schema use. A keyword beyond it is an error, so that none is
/// written down and not checked.
public struct JSONSchema: Sendable {
    private let root: JSONValue
    private static let annotations: Set = ["$schema", "$defs", "title", "description", "default"]

    /// - Parameter bytes: the schema's document
    public init(parsing bytes: [UInt8]) throws { root = try JSONValue(parsing: bytes) }

    /// Where a document does not fit, one line each; empty where it fits.
    ///
    /// - Throws: `TestSupportError` for a schema that uses more than this knows
    public func faults(in document: JSONValue) throws -> [String] { try faults(document, root, at: "$") }

    private func faults(_ value: JSONValue, _ schema: JSONValue, at path: String) throws -> [String] {
        guard case .object(let keywords) = schema else { throw TestSupportError("\(path): the schema is no object") }
        var found: [String] = []
        for (keyword, argument) in keywords.sorted(by: { $0.key < $1.key }) where !Self.annotations.contains(keyword) {
            found += try faults(value, keyword, argument, of: keywords, at: path)
        }
        return found
    }

    private func faults(
        _ value: JSONValue, _ keyword: String, _ argument: JSONValue, of schema: [String: JSONValue], at path: String
    ) throws -> [String] {
        func expect(_ holds: Bool) -> [String] { holds ? [] : ["\(path): \(keyword) \(argument): \(value)"] }
        switch (keyword, argument) {
        case ("$ref", .string(let reference)):
            guard reference.hasPrefix("#/$defs/"),
                let target = root["$defs"]?[String(reference.dropFirst("#/$defs/".count))]
            else { throw TestSupportError("\(path): \(reference) leads nowhere") }
            return try faults(value, target, at: path)
        case ("type", .string(let type)): return expect(Self.isOf(type, value))
        case ("type", .array(let types)):
            return expect(types.contains { $0.text.map { Self.isOf($0, value) } ?? false })
        case ("anyOf", .array(let schemas)):
            return expect(try schemas.contains { try faults(value, $0, at: path).isEmpty })
        case ("const", _): return expect(value == argument)
        case ("enum", .array(let allowed)): return expect(allowed.contains(value))
        case ("pattern", .string(let pattern)):
            guard case .string(let text) = value else { return [] }
            return expect(try text.firstMatch(of: Regex(pattern)) != nil)
        case ("minLength", .integer(let length)):
            return expect(value.text.map { $0.unicodeScalars.count >= length } ?? true)
        case ("maxLength", .integer(let length)):
            return expect(value.text.map { $0.unicodeScalars.count <= length } ?? true)
        case ("minimum", .integer(let bound)):
            if case .integer(let number) = value { return expect(number >= bound) }
            return []
        case ("maximum", .integer(let bound)):
            if case .integer(let number) = value { return expect(number <= bound) }
            return []
        case ("minItems", .integer(let count)):
            if case .array(let items) = value { return expect(items.count >= count) }
            return []
        case ("maxItems", .integer(let count)):
            if case .array(let items) = value { return expect(items.count <= count) }
            return []
        case ("items", _):
            guard case .array(let items) = value else { return [] }
            return try items.enumerated().flatMap { try faults($0.element, argument, at: "\(path)[\($0.offset)]") }
        case ("required", .array(let names)):
            guard case .object(let members) = value else { return [] }
            return names.compactMap(\.text).filter { members[$0] == nil }.map { "\(path): '\($0)' is missing" }
        case ("properties", .object(let properties)):
            guard case .object(let members) = value else { return [] }
            return try properties.sorted { $0.key < $1.key }.flatMap { name, schema in
                try members[name].map { try faults($0, schema, at: "\(path).\(name)") } ?? []
            }
        case ("propertyNames", _):
            guard case .object(let members) = value else { return [] }
            return try members.keys.sorted().flatMap { try faults(.string($0), argument, at: "\(path) key") }
        case ("additionalProperties", _):
            guard case .object(let members) = value else { return [] }
            var known: Set<String> = []
            if case .object(let properties)? = schema["properties"] { known = Set(properties.keys) }
            let others = members.filter { !known.contains($0.key) }.sorted { $0.key < $1.key }
            if argument == .bool(false) { return others.map { "\(path): '\($0.key)' is not in the schema" } }
            return try others.flatMap { try faults($0.value, argument, at: "\(path).\($0.key)") }
        default: throw TestSupportError("\(path): the keyword '\(keyword)' is not known")
        }
    }

    private static func isOf(_ type: String, _ value: JSONValue) -> Bool {
        switch (type, value) {
        case ("object", .object), ("array", .array), ("string", .string), ("integer", .integer), ("boolean", .bool),
            ("number", .integer), ("number", .number), ("null", .null):
            true
        default: false
        }
    }
}
