/// What a `Name` names.
public protocol NameSubject: Sendable {
    /// The word for it in messages, such as `environment`.
    static var term: String { get }
}

/// A name that operators choose: `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 128 characters.
///
/// Names come from files and become parts of object keys; within this grammar no name is `.`, `..` or an option.
public struct Name<Subject: NameSubject>: Hashable, Sendable {
    /// The name's text.
    public let text: String

    /// - Throws: `ReadinessError.invalidName` for text outside the grammar.
    public init(_ text: String) throws(ReadinessError) {
        let valid =
            (1...128).contains(text.utf8.count)
            && text.utf8.enumerated().allSatisfy { index, byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): index > 0
                default: false
                }
            }
        guard valid else {
            let shown = text.count <= 140 ? text : "\(text.prefix(140))…"
            throw ReadinessError(
                .invalidName,
                "'\(shown)' is not the name of \(Subject.term): letters, digits, '.', '_' and '-', starting with a letter or"
                    + " digit, 128 characters at most")
        }
        self.text = text
    }
}

/// The name of an environment: a rung of the promotion ladder.
public typealias EnvironmentName = Name<EnvironmentSubject>
/// The name of a site: one datacenter or region of an environment.
public typealias SiteName = Name<SiteSubject>
/// The name of an image list, under which its generations follow each other.
public typealias ListName = Name<ListSubject>

/// The name of a person who may give waivers.
public typealias ApproverName = Name<ApproverSubject>

/// The name of a person, or a pipeline, that decides and signs that.
public typealias CoordinatorName = Name<CoordinatorSubject>

/// See `ApproverName`.
public enum ApproverSubject: NameSubject {
    public static var term: String { "an approver" }
}

/// See `CoordinatorName`.
public enum CoordinatorSubject: NameSubject {
    public static var term: String { "a coordinator" }
}

/// See `EnvironmentName`.
public enum EnvironmentSubject: NameSubject {
    public static var term: String { "an environment" }
}

/// See `SiteName`.
public enum SiteSubject: NameSubject {
    public static var term: String { "a site" }
}

/// See `ListName`.
public enum ListSubject: NameSubject {
    public static var term: String { "an image list" }
}

extension Name: CustomStringConvertible, Comparable, Codable {
    public var description: String { text }

    public static func < (left: Name, right: Name) -> Bool { left.text < right.text }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

// Dictionaries by name are JSON objects.
extension Name: CodingKeyRepresentable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public var codingKey: any CodingKey { Key(stringValue: text) }

    public init?(codingKey: some CodingKey) {
        guard let name = try? Self(codingKey.stringValue) else { return nil }
        self = name
    }
}
