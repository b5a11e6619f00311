/// The platform of a manifest in an index: `os/architecture[/variant]`.
///
/// Implements image-spec v1.1.1, image-index.md, `platform`; `os.version` and `os.features` are not selected on.
public struct Platform: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Operating system, such as `linux`.
    public let os: String
    /// CPU architecture in Go's names, such as `amd64`.
    public let architecture: String
    /// CPU variant, such as `v8`.
    public let variant: String?

    /// Parses `os/architecture[/variant]`; `nil` for any other form.
    public init?(_ string: String) {
        let parts = string.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        os = parts[0]
        architecture = parts[1]
        variant = parts.count == 3 ? parts[2] : nil
    }

    /// Whether a wanted platform names this one: a wanted platform without a variant matches any variant.
    public func matches(_ wanted: Platform) -> Bool {
        os == wanted.os && architecture == wanted.architecture
            && (wanted.variant == nil || wanted.variant == variant)
    }

    public var description: String {
        variant.map { "\(os)/\(architecture)/\($0)" } ?? "\(os)/\(architecture)"
    }
}
