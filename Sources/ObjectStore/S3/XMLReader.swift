/// A reader for the XML that S3 stores answer with: elements, text, the five predefined entities and character
/// references.
///
/// Not an XML parser: a document type declaration, and with it every entity that a document could define, is an error;
/// attributes and namespaces are passed over. The document is in memory and bounded by whoever read it; elements nest at
/// most `maximumDepth` deep. docs/decisions tells why it is not libxml2.
struct XMLReader {
    /// What comes next in a document.
    enum Event: Hashable {
        /// An element's start, by its name without a prefix.
        case start(String)
        /// Text between tags, with its references resolved; an element's text may come in several pieces.
        case text(String)
        /// An element's end. An empty element has one too.
        case end(String)
    }

    /// Bytes that are not such a document, with the offset of the fault.
    struct Fault: Error, Hashable {
        let offset: Int
    }

    static let maximumDepth = 32

    private let bytes: [UInt8]
    private var position = 0
    private var open: [String] = []
    private var pendingEnd: String?
    private var sawRoot = false

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    /// The next event; `nil` at the end of a complete document.
    mutating func next() throws(Fault) -> Event? {
        if let name = pendingEnd {
            pendingEnd = nil
            open.removeLast()
            return .end(name)
        }
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: "<") {
                if try skipsMarkup() { continue }
                return try tag()
            }
            if let text = try text() { return .text(text) }
        }
        guard open.isEmpty, sawRoot else { throw fault }
        return nil
    }

    private var fault: Fault { Fault(offset: position) }

    private func starts(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { bytes[position...].starts(with: $0) }
    }

    /// Passes over processing instructions and comments.
    private mutating func skipsMarkup() throws(Fault) -> Bool {
        if starts("<?") {
            try skip(past: "?>")
        } else if starts("<!--") {
            try skip(past: "-->")
        } else if starts("<!") && !starts("<![CDATA[") {
            throw fault
        } else {
            return false
        }
        return true
    }

    private mutating func skip(past end: StaticString) throws(Fault) {
        while position < bytes.count {
            if starts(end) {
                position += end.utf8CodeUnitCount
                return
            }
            position += 1
        }
        throw fault
    }

    /// Text up to the next `<`, or one CDATA section; `nil` for blanks outside the document's element.
    private mutating func text() throws(Fault) -> String? {
        var text: [UInt8] = []
        while position < bytes.count, bytes[position] != UInt8(ascii: "<") {
            if bytes[position] == UInt8(ascii: "&") {
                text += try reference()
            } else {
                text.append(bytes[position])
                position += 1
            }
        }
        if open.isEmpty {
            guard text.allSatisfy({ [9, 10, 13, 32].contains($0) }) else { throw fault }
            return nil
        }
        guard let string = String(validating: text, as: UTF8.self) else { throw fault }
        return string
    }

    private mutating func reference() throws(Fault) -> [UInt8] {
        guard let length = bytes[position...].prefix(12).firstIndex(of: UInt8(ascii: ";")) else { throw fault }
        let name = String(decoding: bytes[(position + 1)..<length], as: UTF8.self)
        let scalar: Unicode.Scalar?
        switch name {
        case "amp": scalar = "&"
        case "lt": scalar = "<"
        case "gt": scalar = ">"
        case "quot": scalar = "\""
        case "apos": scalar = "'"
        default:
            let digits = name.hasPrefix("#x") ? (name.dropFirst(2), 16) : (name.dropFirst(1), 10)
            guard name.hasPrefix("#"), digits.0.first?.isHexDigit == true else { throw fault }
            scalar = UInt32(digits.0, radix: digits.1).flatMap(Unicode.Scalar.init)
        }
        guard let scalar else { throw fault }
        position = length + 1
        return Array(String(Character(scalar)).utf8)
    }

    /// A start tag, an end tag, or a CDATA section.
    private mutating func tag() throws(Fault) -> Event {
        if starts("<![CDATA[") {
            let start = position + 9
            try skip(past: "]]>")
            guard !open.isEmpty, start <= position - 3,
                let text = String(validating: bytes[start..<(position - 3)], as: UTF8.self)
            else { throw fault }
            return .text(text)
        }
        position += 1
        let isEnd = position < bytes.count && bytes[position] == UInt8(ascii: "/")
        if isEnd { position += 1 }
        let name = try elementName()
        if isEnd {
            skipBlanks()
            guard starts(">"), open.last == name else { throw fault }
            position += 1
            open.removeLast()
            return .end(name)
        }
        guard !(open.isEmpty && sawRoot), open.count < Self.maximumDepth else { throw fault }
        sawRoot = true
        open.append(name)
        try skipAttributes()
        if starts("/>") {
            position += 2
            pendingEnd = name
        } else {
            position += 1
        }
        return .start(name)
    }

    /// Up to `>` or `/>`; values in quotes may hold either.
    private mutating func skipAttributes() throws(Fault) {
        var quote: UInt8?
        while position < bytes.count {
            let byte = bytes[position]
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                quote = byte
            } else if byte == UInt8(ascii: ">") || starts("/>") {
                return
            } else if byte == UInt8(ascii: "<") {
                throw fault
            }
            position += 1
        }
        throw fault
    }

    private mutating func skipBlanks() {
        while position < bytes.count, [9, 10, 13, 32].contains(bytes[position]) { position += 1 }
    }

    /// At most 128 bytes.
    private mutating func elementName() throws(Fault) -> String {
        let start = position
        while position < bytes.count, ![9, 10, 13, 32, 0x2F, 0x3E, 0x3C].contains(bytes[position]) { position += 1 }
        guard (1...128).contains(position - start), position < bytes.count else { throw fault }
        let name = bytes[start..<position]
        let local = name.lastIndex(of: UInt8(ascii: ":")).map { name[($0 + 1)...] } ?? name
        guard let first = local.first, first.isNameStart else { throw fault }
        return String(decoding: local, as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var isNameStart: Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) || self == UInt8(ascii: "_") || self >= 0x80
    }
}
