/// Header fields in order, with case-insensitive names (RFC 9110 section 5.1). Values hold no line breaks.
public struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
    /// Names and values in the order they were sent or set.
    public private(set) var fields: [(name: String, value: String)] = []

    /// No fields.
    public init() {}

    public init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { add(name, value) }
    }

    /// The first value of a field; setting replaces every value, `nil` removes them.
    public subscript(name: String) -> String? {
        get { fields.first { $0.name.equalsIgnoringCase(name) }?.value }
        set {
            fields.removeAll { $0.name.equalsIgnoringCase(name) }
            if let newValue { add(name, newValue) }
        }
    }

    /// Every value of a field, in order: challenges and links come in several headers.
    public func all(_ name: String) -> [String] {
        fields.filter { $0.name.equalsIgnoringCase(name) }.map(\.value)
    }

    /// Appends a field. Carriage returns and line feeds are dropped, so that no value can add a header.
    public mutating func add(_ name: String, _ value: String) {
        let isBreak = { (scalar: Unicode.Scalar) in scalar == "\r" || scalar == "\n" || scalar == "\0" }
        guard name.unicodeScalars.contains(where: isBreak) || value.unicodeScalars.contains(where: isBreak) else {
            fields.append((name, value))
            return
        }
        var cleanName = String.UnicodeScalarView()
        cleanName.append(contentsOf: name.unicodeScalars.filter { !isBreak($0) })
        var cleanValue = String.UnicodeScalarView()
        cleanValue.append(contentsOf: value.unicodeScalars.filter { !isBreak($0) })
        fields.append((String(cleanName), String(cleanValue)))
    }
}
