import FoundationEssentials

/// The form that `--output` asks for.
enum OutputForm: String, CaseIterable {
    /// Aligned columns for people. Not stable.
    case table
    /// Indented JSON with sorted keys. Stable: keys are added, never renamed or removed.
    case json
}

/// A value as indented JSON with sorted keys.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
