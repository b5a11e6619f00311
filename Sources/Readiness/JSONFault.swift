/// Where a text stops to be JSON (RFC 8259), for messages: the decoder says only that it does.
struct JSONFault: Hashable {
    /// Counted from 1.
    let line: Int

    /// - Returns: `nil` where the text is JSON
    init?(in bytes: [UInt8]) {
        var scanner = Scanner(bytes: bytes)
        if scanner.value(depth: 0), scanner.skipSpace(), scanner.position == bytes.count { return nil }
        line = 1 + bytes.prefix(scanner.position).count { $0 == UInt8(ascii: "\n") }
    }

    /// Stops at the first byte that cannot follow.
    private struct Scanner {
        /// As deep as the decoder reads.
        static let maximumDepth = 512

        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var next: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard next == UInt8(ascii: character) else { return false }
            position += 1
            return true
        }

        mutating func skip(while matches: (UInt8) -> Bool) -> Int {
            let start = position
            while let byte = next, matches(byte) { position += 1 }
            return position - start
        }

        /// Always true, to stand in a chain.
        mutating func skipSpace() -> Bool {
            _ = skip { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
            return true
        }

        mutating func digits() -> Bool { skip { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } > 0 }

        mutating func value(depth: Int) -> Bool {
            guard depth < Self.maximumDepth, skipSpace() else { return false }
            switch next {
            case UInt8(ascii: "{"):
                return members(until: "}") { scanner in
                    scanner.string() && scanner.skipSpace() && scanner.take(":") && scanner.value(depth: depth + 1)
                }
            case UInt8(ascii: "["):
                return members(until: "]") { $0.value(depth: depth + 1) }
            case UInt8(ascii: "\""): return string()
            case UInt8(ascii: "t"): return word("true")
            case UInt8(ascii: "f"): return word("false")
            case UInt8(ascii: "n"): return word("null")
            default: return number()
            }
        }

        private mutating func members(until end: Unicode.Scalar, _ member: (inout Scanner) -> Bool) -> Bool {
            position += 1
            _ = skipSpace()
            if take(end) { return true }
            repeat {
                guard skipSpace(), member(&self), skipSpace() else { return false }
            } while take(",")
            return take(end)
        }

        private mutating func word(_ text: String) -> Bool {
            text.unicodeScalars.allSatisfy { take($0) }
        }

        private mutating func number() -> Bool {
            _ = take("-")
            guard digits() else { return false }
            if take("."), !digits() { return false }
            if take("e") || take("E") {
                if !take("+") { _ = take("-") }
                return digits()
            }
            return true
        }

        mutating func string() -> Bool {
            guard take("\"") else { return false }
            while let byte = next, byte >= 0x20 {
                if take("\"") { return true }
                if take("\\") {
                    guard let escape = next, "\"\\/bfnrtu".utf8.contains(escape) else { return false }
                }
                position += 1
            }
            return false
        }
    }
}
