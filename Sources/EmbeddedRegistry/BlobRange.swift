/// What part of some content a `Range` header asks for (RFC 9110 section 14). Pure.
enum BlobRange: Hashable {
    /// All of it: there is no header, or one that is ignored, as section 14.2 allows: several ranges, other units, or
    /// none that can be read.
    case whole
    /// These bytes.
    case part(Range<Int64>)
    /// Bytes that are not there: 416.
    case unsatisfiable

    init(header: String?, size: Int64) {
        self = .whole
        guard let header, header.utf8.count <= 100 else { return }
        let parts = header.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bytes" else { return }
        let ends = parts[1].trimmed.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard ends.count == 2 else { return }
        let first = Self.number(ends[0])
        let last = Self.number(ends[1])
        switch (first, last) {
        case (.value(let first), .none):
            self = first < size ? .part(first..<size) : .unsatisfiable
        case (.value(let first), .value(let last)):
            guard last >= first else { return }
            self = first < size ? .part(first..<(min(last, size - 1) + 1)) : .unsatisfiable
        case (.none, .value(let count)):
            self = count > 0 && size > 0 ? .part(max(0, size - count)..<size) : .unsatisfiable
        default: return
        }
    }

    private enum Number {
        case none
        case value(Int64)
        case malformed
    }

    private static func number(_ text: Substring) -> Number {
        let text = text.trimmed
        guard !text.isEmpty else { return .none }
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return .malformed }
        // A number beyond 64 bits is beyond any content.
        return .value(Int64(text) ?? .max - 1)
    }
}

/// What a `Content-Range` header of an upload says: `FIRST-LAST` (distribution-spec v1.1.1, Pushing a blob in chunks).
struct ChunkRange: Hashable {
    let first: Int64
    let last: Int64

    /// - Returns: `nil` for another form; `bytes ` before it and `/…` after it are passed over, since clients that take
    ///   it for RFC 9110's header write them
    init?(_ header: String) {
        var text = header[...].trimmed
        if text.lowercased().hasPrefix("bytes ") { text = text.dropFirst(6).trimmed }
        text = text.prefix { $0 != "/" }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Int64(ends[0]), let last = Int64(ends[1]), first >= 0,
            last >= first - 1, last < Int64.max
        else { return nil }
        self.first = first
        self.last = last
    }

    /// The number of bytes.
    var count: Int64 { last - first + 1 }
}

extension Substring {
    /// Without blanks at its ends.
    var trimmed: Substring {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
