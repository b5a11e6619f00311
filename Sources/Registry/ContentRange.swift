import HTTP

/// The `Content-Range` of a partial response: `bytes FIRST-LAST/TOTAL` (RFC 9110 section 14.4).
public struct ContentRange: Hashable, Sendable {
    /// The positions of the first and last byte.
    public let bytes: ClosedRange<Int64>
    /// The whole content's length in bytes; `nil` where the server says `*`.
    public let total: Int64?

    /// Strict: one range, digits only, within its total. Anything else is `nil`.
    public init?(_ value: String) {
        let words = value.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count == 2, words[0].equalsIgnoringCase("bytes") else { return nil }
        let parts = words[1].split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = ends[0].decimal, let last = ends[1].decimal, first <= last else {
            return nil
        }
        bytes = first...last
        if parts[1] == "*" {
            total = nil
        } else {
            guard let total = parts[1].decimal, last < total else { return nil }
            self.total = total
        }
    }
}
