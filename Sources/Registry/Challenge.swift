/// One authentication challenge of a `WWW-Authenticate` header (RFC 9110 section 11.6.1).
public struct Challenge: Hashable, Sendable {
    /// The scheme in lower case, such as `bearer` or `basic`.
    public let scheme: String
    /// Parameters by name in lower case; of a repeated parameter, the first.
    public let parameters: [String: String]

    /// - Parameters:
    ///   - scheme: the scheme, in any case
    ///   - parameters: parameters by name in lower case
    public init(scheme: String, parameters: [String: String] = [:]) {
        self.scheme = scheme.lowercased()
        self.parameters = parameters
    }

    /// Reads every challenge of every header, in order.
    ///
    /// Servers send several headers, several challenges in one header, commas and escapes within quotes, unquoted
    /// values, and blanks around `=` and commas. What cannot be read ends that header's list and keeps what came before.
    ///
    /// - Parameter headers: the values of all `WWW-Authenticate` fields
    public static func parse(_ headers: [String]) -> [Challenge] {
        headers.flatMap { header in
            var scanner = Scanner(rest: header.prefix(16 << 10).unicodeScalars[...])
            return scanner.challenges()
        }
    }
}

/// Reads one header from left to right. Bounded by the header's length: every step consumes something or ends.
private struct Scanner {
    var rest: Substring.UnicodeScalarView.SubSequence

    mutating func challenges() -> [Challenge] {
        var found: [Challenge] = []
        var scheme: String?
        var parameters: [String: String] = [:]
        func finished() -> [Challenge] { scheme.map { [Challenge(scheme: $0, parameters: parameters)] } ?? [] }
        while true {
            skip { $0 == "," || $0.isBlank }
            guard let word = token() else { break }
            let blanks = skip(while: \.isBlank)
            if scheme != nil, rest.first == "=" {
                rest.removeFirst()
                skip(while: \.isBlank)
                guard let value = rest.first == "\"" ? quoted() : unquoted() else { break }
                if parameters[word.lowercased()] == nil { parameters[word.lowercased()] = value }
                continue
            }
            // A word without '=' is the next scheme. Its token68 form, such as Negotiate's, has no parameters.
            found += finished()
            scheme = word
            parameters = [:]
            if blanks > 0 { skipToken68() }
        }
        return found + finished()
    }

    /// Skips `token68` after a scheme: one word that ends at a comma or the end. A parameter's name is not one.
    private mutating func skipToken68() {
        let start = rest
        guard take(while: { $0.isToken || $0 == "/" }) != nil else { return }
        // Padding; a value after '=' makes it a parameter.
        skip { $0 == "=" }
        skip(while: \.isBlank)
        if rest.isEmpty || rest.first == "," { return }
        rest = start
    }

    @discardableResult
    private mutating func skip(while condition: (Unicode.Scalar) -> Bool) -> Int {
        let skipped = rest.prefix(while: condition).count
        rest = rest.dropFirst(skipped)
        return skipped
    }

    private mutating func take(while condition: (Unicode.Scalar) -> Bool) -> String? {
        let taken = rest.prefix(while: condition)
        rest = rest[taken.endIndex...]
        return taken.isEmpty ? nil : String(String.UnicodeScalarView(taken))
    }

    private mutating func token() -> String? { take(while: \.isToken) }

    /// An unquoted value. Slashes, colons and `=` are no token characters, yet occur in unquoted realms.
    private mutating func unquoted() -> String? { take { $0.isToken || "/:=?&@".unicodeScalars.contains($0) } }

    private mutating func quoted() -> String? {
        guard rest.first == "\"" else { return nil }
        rest.removeFirst()
        var value = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\"": return String(value)
            case "\\": if let escaped = rest.popFirst() { value.append(escaped) }
            default: value.append(scalar)
            }
        }
        // The quote never ends: a header cut off on its way. The value is not to be trusted.
        return nil
    }
}

extension Unicode.Scalar {
    fileprivate var isBlank: Bool { self == " " || self == "\t" }

    /// RFC 9110 section 5.6.2.
    fileprivate var isToken: Bool {
        isASCII
            && (properties.isAlphabetic || ("0"..."9").contains(self)
                || "!#$%&'*+-.^_`|~".unicodeScalars.contains(self))
    }
}
