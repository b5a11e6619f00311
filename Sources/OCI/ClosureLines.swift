/// The canonical text of a closure: one line an entry, `REPOSITORY KIND DIGEST SIZE`, in the closure's order.
///
/// Its SHA-256 is the closure root, so the text proves itself to whoever knows the root, and two texts can be compared line
/// by line without being parsed: a list of 100,000 entries has 14 MB and is compared in some tens of milliseconds.
public struct ClosureLines: Hashable, Sendable {
    /// The text, in UTF-8.
    public let bytes: [UInt8]
    /// Its SHA-256: the closure root.
    public let root: Digest

    /// The text of a closure.
    public init(_ closure: Closure) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(closure.entries.count * 160)
        for entry in closure.entries { bytes.append(contentsOf: entry.canonicalLine.utf8) }
        self.bytes = bytes
        root = closure.root
    }

    /// A text that was stored.
    ///
    /// - Parameters:
    ///   - bytes: the text
    ///   - root: the closure root that it must have
    /// - Returns: `nil` where it is the text of another closure
    public init?(_ bytes: [UInt8], root: Digest) {
        guard Digest(of: bytes, algorithm: root.algorithm) == root else { return nil }
        self.bytes = bytes
        self.root = root
    }

    /// One line.
    public struct Line: Hashable, Sendable {
        /// The repository's name at the source.
        public let repository: Repository
        /// How a registry serves the content.
        public let kind: ClosureEntry.Kind
        /// The content's digest.
        public let digest: Digest
        /// The content's length in bytes.
        public let size: Int64

        /// - Returns: `nil` for a line that is not of this form
        init?(_ text: ArraySlice<UInt8>) {
            let parts = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self)
            }
            guard parts.count == 4, let repository = try? Repository(parts[0]),
                let kind = ClosureEntry.Kind(rawValue: parts[1]), let digest = try? Digest(parts[2]),
                let size = Int64(parts[3]), (0...Descriptor.maximumSize).contains(size)
            else { return nil }
            self.repository = repository
            self.kind = kind
            self.digest = digest
            self.size = size
        }
    }

    /// The lines that another text lacks.
    ///
    /// - Parameters:
    ///   - other: the other text
    ///   - limit: how many of them are read, at most; all of them are counted
    public func missing(from other: ClosureLines, limit: Int) -> (lines: [Line], count: Int) {
        var lines: [Line] = []
        var count = 0
        var (mine, theirs) = (Cursor(bytes), Cursor(other.bytes))
        while let line = mine.line {
            // Both are in order, so what is not found by now is not there.
            while let candidate = theirs.line, Self.precedes(other.bytes, candidate, bytes, line) { theirs.advance() }
            let isThere = theirs.line.map { !Self.precedes(bytes, line, other.bytes, $0) } ?? false
            if !isThere {
                count += 1
                if lines.count < limit, let line = Line(bytes[line]) { lines.append(line) }
            }
            mine.advance()
        }
        return (lines, count)
    }

    private static func precedes(
        _ left: [UInt8], _ leftLine: Range<Int>, _ right: [UInt8], _ rightLine: Range<Int>
    ) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                left[leftLine].lexicographicallyPrecedes(right[rightLine])
            }
        }
    }

    /// Goes over a text line by line.
    private struct Cursor {
        let bytes: [UInt8]
        /// The line, without its line feed; `nil` at the end.
        private(set) var line: Range<Int>?

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            line = Self.line(of: bytes, from: 0)
        }

        mutating func advance() {
            guard let end = line?.upperBound else { return }
            line = Self.line(of: bytes, from: end + 1)
        }

        private static func line(of bytes: [UInt8], from start: Int) -> Range<Int>? {
            guard start < bytes.count else { return nil }
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
            return start..<end
        }
    }
}
