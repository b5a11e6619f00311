import Glibc

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
        bytes.withUnsafeBytes { mine in
            other.bytes.withUnsafeBytes { theirs in
                var (line, candidate) = (Text(mine).first, Text(theirs).first)
                while let current = line {
                    // Both are in order, so what is not found by now is not there.
                    while let earlier = candidate, earlier.precedes(current) { candidate = earlier.next }
                    if candidate.map({ current.precedes($0) }) ?? true {
                        count += 1
                        if lines.count < limit, let line = Line(Array(current.bytes)[...]) { lines.append(line) }
                    }
                    line = current.next
                }
            }
        }
        return (lines, count)
    }

    /// A text in memory that lives as long as it is looked at, and one line of it. libc's searches and comparisons are what
    /// makes 28 MB cost milliseconds.
    private struct Text {
        let bytes: UnsafeRawBufferPointer

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        var first: Position? { Position(in: bytes, from: 0) }

        struct Position {
            let whole: UnsafeRawBufferPointer
            let range: Range<Int>

            /// The line, without its line feed.
            var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: whole[range]) }
            var next: Position? { Position(in: whole, from: range.upperBound + 1) }

            init?(in whole: UnsafeRawBufferPointer, from start: Int) {
                guard start < whole.count, let base = whole.baseAddress else { return nil }
                let end = memchr(base + start, Int32(UInt8(ascii: "\n")), whole.count - start)
                self.whole = whole
                range = start..<(end.map { UnsafeRawPointer($0) - base } ?? whole.count)
            }

            func precedes(_ other: Position) -> Bool {
                guard let mine = whole.baseAddress, let theirs = other.whole.baseAddress else { return false }
                let order = memcmp(
                    mine + range.lowerBound, theirs + other.range.lowerBound, min(range.count, other.range.count))
                return order == 0 ? range.count < other.range.count : order < 0
            }
        }
    }
}
