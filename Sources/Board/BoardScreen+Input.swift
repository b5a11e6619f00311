extension BoardScreen {
    /// What terminals send for keys, read byte by byte: an escape sequence may come in pieces. Pure.
    public struct Input: Sendable {
        private var pending: [UInt8] = []

        /// Nothing was pressed yet.
        public init() {}

        /// Takes bytes, and gives the keys that they complete. What means nothing here is dropped.
        public mutating func take(_ bytes: [UInt8]) -> [Key] {
            bytes.compactMap { take($0) }
        }

        private mutating func take(_ byte: UInt8) -> Key? {
            if pending.isEmpty {
                if byte == 0x1B { pending = [byte] }
                return Self.single(byte)
            }
            pending.append(byte)
            // ESC [ or ESC O, then parameters, then a final byte (ECMA-48 section 5.4).
            if pending.count == 2 {
                if byte != UInt8(ascii: "["), byte != UInt8(ascii: "O") { pending = byte == 0x1B ? [byte] : [] }
                return nil
            }
            guard (0x40...0x7E).contains(byte) || pending.count > 8 else { return nil }
            let sequence = String(decoding: pending.dropFirst(2), as: UTF8.self)
            pending = []
            return switch sequence {
            case "A": .up
            case "B": .down
            case "H", "1~", "7~": .home
            case "F", "4~", "8~": .end
            case "5~": .pageUp
            case "6~": .pageDown
            default: nil
            }
        }

        private static func single(_ byte: UInt8) -> Key? {
            switch byte {
            case UInt8(ascii: "q"), UInt8(ascii: "Q"), 0x03, 0x04, 0x1C: .quit
            case UInt8(ascii: "j"), 0x0E, 0x0D: .down
            case UInt8(ascii: "k"), 0x10: .up
            case UInt8(ascii: " "), UInt8(ascii: "f"), 0x06: .pageDown
            case UInt8(ascii: "b"), 0x02: .pageUp
            case UInt8(ascii: "g"): .home
            case UInt8(ascii: "G"): .end
            case UInt8(ascii: "n"), 0x09: .next
            case UInt8(ascii: "p"): .previous
            case UInt8(ascii: "a"): .sites
            case UInt8(ascii: "d"): .reasons
            case UInt8(ascii: "?"), UInt8(ascii: "h"): .help
            case 0x0C: .redraw
            case 0x1A: .suspend
            default: nil
            }
        }
    }

    /// What has to be sent to a terminal that shows some lines, so that it shows others: only those that differ, so that
    /// nothing flickers.
    ///
    /// - Parameters:
    ///   - lines: what it should show, a line for each row
    ///   - shown: what it shows, as it was sent; `nil` where that is not known
    /// - Returns: what to send, and what is shown then
    public static func update(_ lines: [String], from shown: [String]?) -> (bytes: String, shown: [String]) {
        var bytes = ""
        for (row, line) in lines.enumerated() where shown.map({ row >= $0.count || $0[row] != line }) ?? true {
            bytes += "\u{1B}[\(row + 1);1H\(line)\u{1B}[K"
        }
        guard !bytes.isEmpty else { return ("", lines) }
        // Drawn at once by terminals that know mode 2026; the others do not mind.
        return ("\u{1B}[?2026h\(shown == nil ? "\u{1B}[2J" : "")\(bytes)\u{1B}[?2026l", lines)
    }
}
