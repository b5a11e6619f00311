/// A repository's name within a registry, such as `platform/api`.
///
/// Implements the `<name>` grammar of
/// [distribution-spec v1.1.1, Pulling manifests](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests):
/// components of lower-case letters and digits, joined by `.`, `_`, `__` or hyphens, separated by `/`; 255 characters
/// at most. A name that passes is safe in a URL path and in a file path: no component is empty, `.` or `..`.
public struct Repository: Hashable, Sendable {
    /// The whole name.
    public let name: String

    /// - Throws: `OCIError.invalidRepository` naming the rule that the input breaks.
    public init(_ name: String) throws(OCIError) {
        guard !name.isEmpty, name.utf8.count <= 255 else {
            throw OCIError(.invalidRepository, "'\(name.abridged)' is not a repository name: 1 to 255 characters")
        }
        for component in name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        where !Self.isComponent(component) {
            throw OCIError(
                .invalidRepository,
                "'\(name.abridged)' is not a repository name: each part between slashes is lower-case letters and"
                    + " digits, joined by '.', '_', '__' or '-'")
        }
        self.name = name
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
    private static func isComponent(_ bytes: Substring.UTF8View) -> Bool {
        var separator: [UInt8] = []
        var sawAlphanumeric = false
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                guard separator.isEmpty || isSeparator(separator) else { return false }
                separator = []
                sawAlphanumeric = true
            case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                guard sawAlphanumeric else { return false }
                separator.append(byte)
            default:
                return false
            }
        }
        return sawAlphanumeric && separator.isEmpty
    }

    private static func isSeparator(_ bytes: [UInt8]) -> Bool {
        switch bytes {
        case [UInt8(ascii: ".")], [UInt8(ascii: "_")], [UInt8(ascii: "_"), UInt8(ascii: "_")]: true
        default: bytes.allSatisfy { $0 == UInt8(ascii: "-") }
        }
    }
}

extension Repository: CustomStringConvertible, Comparable, Codable {
    public var description: String { name }

    public static func < (left: Repository, right: Repository) -> Bool { left.name < right.name }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }
}

/// A tag, such as `4.17.3`: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec v1.1.1, Pulling manifests).
public struct Tag: Hashable, Sendable {
    /// The tag's text.
    public let name: String

    /// - Throws: `OCIError.invalidTag` for text outside the grammar.
    public init(_ name: String) throws(OCIError) {
        let valid =
            (1...128).contains(name.utf8.count)
            && name.utf8.enumerated().allSatisfy { index, byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    true
                case UInt8(ascii: "."), UInt8(ascii: "-"): index > 0
                default: false
                }
            }
        guard valid else {
            throw OCIError(
                .invalidTag,
                "'\(name.abridged)' is not a tag: letters, digits, '_', '.' and '-', not starting with '.' or '-',"
                    + " 128 characters at most")
        }
        self.name = name
    }
}

extension Tag: CustomStringConvertible, Comparable, Codable {
    public var description: String { name }

    public static func < (left: Tag, right: Tag) -> Bool { left.name < right.name }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }
}
