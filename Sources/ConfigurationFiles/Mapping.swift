import Yams

/// The keys that a mapping may have: an enumeration whose raw values are the keys' spelling.
protocol MappingKey: RawRepresentable<String>, CaseIterable, Hashable, Sendable {
    /// What the key may say, and what it means: no key is without that.
    var setting: Setting { get }
}

/// A mapping with known keys only, each at most once.
struct Mapping<Key: MappingKey> {
    private let values: [Key: Value]
    private let whole: Value
    private let title: String

    init(_ value: Value, title: String) throws(ConfigurationError) {
        var values: [Key: Value] = [:]
        for (keyValue, entry) in try value.pairs() {
            let text = try keyValue.keyText()
            guard let key = Key(rawValue: text) else {
                throw keyValue.error(.unknownKey, "unknown key '\(text.shown)' in \(title): \(Self.advice(on: text))")
            }
            guard values.updateValue(entry.read(as: key.setting.form), forKey: key) == nil else {
                throw keyValue.error(.malformed, "the key '\(text)' occurs twice in \(title)")
            }
        }
        self.values = values
        self.whole = value
        self.title = title
    }

    /// A key's value; `nil` where the key is not there, whatever its standard. A key that is there without a value is not absent: reading it
    /// fails.
    subscript(key: Key) -> Value? { values[key] }

    /// The value that counts: the one that is there, else the standard of the key's setting.
    ///
    /// A standard is read as if the file said it, so that what is documented is what holds.
    ///
    /// - Throws: `ConfigurationError.Code.missingKey` where the key is not there and has no standard
    func value(_ key: Key) throws(ConfigurationError) -> Value {
        if let value = values[key] { return value }
        let setting = key.setting
        let node: Node
        switch setting.absence {
        case .standard(let text): node = Node(text)
        case .standards: node = .mapping(Node.Mapping([]))
        case .required, .requiredUnless, .otherwise:
            throw whole.error(.missingKey, "\(title) has no '\(key.rawValue)'")
        }
        return Value(
            node: node, name: "'\(key.rawValue)'", file: whole.file, location: whole.location, form: setting.form)
    }

    /// An error at a key's value, or at the mapping where the key is not there.
    func error(at key: Key, _ message: String) -> ConfigurationError {
        (values[key] ?? whole).error(.invalidValue, message)
    }

    private static func advice(on unknown: String) -> String {
        let known = Key.allCases.map(\.rawValue)
        let nearest = known.map { (key: $0, distance: editDistance(unknown, $0)) }.min { $0.distance < $1.distance }
        // Beyond a third of the key's length, what is nearest is not what was meant.
        if let nearest, nearest.distance <= max(2, nearest.key.count / 3) {
            return "did you mean '\(nearest.key)'?"
        }
        return "known keys are \(known.joined(separator: ", "))"
    }
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour to make one text the other,
/// regardless of case (optimal string alignment distance). Keys over 64 characters are not compared in full.
func editDistance(_ left: String, _ right: String) -> Int {
    let left = Array(left.lowercased().prefix(64))
    let right = Array(right.lowercased().prefix(64))
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for (row, character) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in right.enumerated() {
            var distance = min(
                last[column] + (character == other ? 0 : 1), last[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, character == right[column - 1], left[row - 1] == other {
                distance = min(distance, beforeLast[column - 1] + 1)
            }
            current.append(distance)
        }
        beforeLast = last
        last = current
    }
    return last[right.count]
}
