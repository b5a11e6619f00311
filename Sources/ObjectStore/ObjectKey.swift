/// The name of an object: segments joined by `/`.
///
/// A segment is 1 to 200 of `[A-Za-z0-9._=-]`, and neither `.` nor `..`; a key has at most 16 of them. So every key is a
/// safe relative file path and needs no escaping in a URL, whichever store is behind. Characters outside (such as `~`)
/// are left to the stores for files of their own.
public struct ObjectKey: Hashable, Sendable {
    /// The longest segment, in bytes.
    public static let maximumSegmentLength = 200
    /// The most segments.
    public static let maximumDepth = 16

    /// The whole key.
    public let path: String

    /// - Throws: `ObjectStoreError.invalidKey` for text outside the grammar.
    public init(_ path: String) throws(ObjectStoreError) {
        let segments = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard segments.count <= Self.maximumDepth, segments.allSatisfy(Self.isSegment) else {
            throw ObjectStoreError(
                .invalidKey, "not an object key: letters, digits, '.', '_', '=' and '-' in segments joined by '/'",
                at: "'\(path.prefix(200))'")
        }
        self.path = path
    }

    /// The last segment.
    public var name: Substring { path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...] }

    /// Whether some text can be a segment of a key.
    static func isSegment(_ bytes: some Collection<UInt8>) -> Bool {
        guard (1...maximumSegmentLength).contains(bytes.count) else { return false }
        let dots = bytes.allSatisfy { $0 == UInt8(ascii: ".") }
        return !(dots && bytes.count <= 2)
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "="),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

extension ObjectKey: CustomStringConvertible, Comparable {
    public var description: String { path }

    public static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        left.path.utf8.lexicographicallyPrecedes(right.path.utf8)
    }
}
