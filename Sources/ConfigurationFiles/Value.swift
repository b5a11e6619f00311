import FoundationEssentials
import HTTP
import Yams

/// One value of a file, with its place and its name for messages.
struct Value {
    let node: Node
    /// How messages name it, such as `'interval'` or `an entry of 'sources'`.
    let name: String
    /// The file as the user named it.
    let file: String
    let location: ConfigurationError.Location
    /// The form that its key's setting gives it; `nil` for a whole file.
    var form: Setting.Form?

    /// The same value, to be read as another form.
    func read(as form: Setting.Form) -> Value {
        var value = self
        value.form = form
        return value
    }

    /// An error at this value.
    func error(_ code: ConfigurationError.Code, _ message: String) -> ConfigurationError {
        ConfigurationError(code, message, in: file, at: location)
    }

    // MARK: Text

    /// The text as it was written, whatever else it could be read as.
    func string() throws(ConfigurationError) -> String {
        guard let text = try text(expecting: "text") else { throw error(.invalidValue, "\(name) is empty") }
        return text
    }

    /// The text, which may be `""`; a value that is not there is still an error.
    func stringOrEmpty() throws(ConfigurationError) -> String {
        if case .scalar(let scalar) = node, scalar.string.isEmpty, !node.isAbsent { return "" }
        return try string()
    }

    /// A key's text; unlike a value it may be written as nothing.
    func keyText() throws(ConfigurationError) -> String {
        guard case .scalar(let scalar) = node else { throw mismatch(expecting: "text") }
        return scalar.string
    }

    /// A value that another module's initializer reads from the text; its error becomes this file's.
    func parsed<Result, Failure: Error>(
        _ parse: (String) throws(Failure) -> Result
    ) throws(ConfigurationError) -> Result {
        let text = try string()
        do {
            return try parse(text)
        } catch {
            throw self.error(.invalidValue, "\(name): \(error)")
        }
    }

    /// A path; a relative one starts at the directory of the file that says it.
    func path() throws(ConfigurationError) -> String {
        let text = try string()
        guard !text.hasPrefix("/") else { return text }
        guard let slash = file.lastIndex(of: "/") else { return text }
        return file[...slash] + text
    }

    // MARK: Scalars

    /// `true` or `false`; YAML 1.1's other spellings are refused, since they surprise.
    func bool() throws(ConfigurationError) -> Bool {
        switch try string() {
        case "true": return true
        case "false": return false
        case let text: throw error(.wrongType, "\(name) must be true or false, not '\(text.shown)'")
        }
    }

    /// A decimal number within the form's range.
    func integer() throws(ConfigurationError) -> Int {
        guard case .integer(let range)? = form else { throw undeclared("a whole number") }
        return try integer(in: range)
    }

    /// A decimal number within a range.
    func integer(in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
        let text = try string()
        guard let number = Int(text) else {
            throw error(.wrongType, "\(name) must be a whole number, not '\(text.shown)'")
        }
        guard range.contains(number) else {
            throw error(
                .invalidValue, "\(name) must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return number
    }

    /// A time such as `90s`, `30m`, `24h` or `1h30m`.
    func duration() throws(ConfigurationError) -> Duration {
        guard case .duration(let range)? = form else { throw undeclared("a time") }
        let text = try string()
        guard let duration = Duration(written: text) else {
            throw error(.wrongType, "\(name) must be a time such as 90s, 30m or 24h, not '\(text.shown)'")
        }
        guard range.contains(duration) else {
            throw error(
                .invalidValue,
                "\(name) must be from \(range.lowerBound.written) to \(range.upperBound.written), not \(text.shown)")
        }
        return duration
    }

    /// A size such as `64MiB` or `2GB`, in bytes.
    func byteSize() throws(ConfigurationError) -> Int64 {
        guard case .byteSize(let range)? = form else { throw undeclared("a size") }
        let text = try string()
        guard let bytes = ByteSize(written: text)?.bytes else {
            throw error(.wrongType, "\(name) must be a size such as 64MiB or 2GB, not '\(text.shown)'")
        }
        guard range.contains(bytes) else {
            throw error(
                .invalidValue,
                "\(name) must be from \(ByteSize(bytes: range.lowerBound)) to \(ByteSize(bytes: range.upperBound)),"
                    + " not \(text.shown)")
        }
        return bytes
    }

    /// A rate such as `200Mbit/s` or `25MiB/s`, in bytes a second.
    func byteRate() throws(ConfigurationError) -> Int64 {
        guard case .byteRate(let range)? = form else { throw undeclared("a rate") }
        let text = try string()
        guard let rate = ByteRate(written: text)?.bytesPerSecond else {
            throw error(.wrongType, "\(name) must be a rate such as 200Mbit/s or 25MiB/s, not '\(text.shown)'")
        }
        guard range.contains(rate) else {
            throw error(
                .invalidValue,
                "\(name) must be from \(ByteRate(bytesPerSecond: range.lowerBound)) to"
                    + " \(ByteRate(bytesPerSecond: range.upperBound)), not \(text.shown)")
        }
        return rate
    }

    /// A time of the day such as `06:30`, in minutes after midnight; `24:00` is the day's end.
    func timeOfDay() throws(ConfigurationError) -> Int {
        let text = try string()
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.count == 2 && $0.allSatisfy { $0.isASCII && $0.isNumber } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), minute < 60, hour * 60 + minute <= 24 * 60
        else { throw error(.wrongType, "\(name) must be a time of the day such as 06:30, not '\(text.shown)'") }
        return hour * 60 + minute
    }

    /// One of the words of the form.
    func choice<Choice: RawRepresentable<String>>(
        of type: Choice.Type = Choice.self
    ) throws(ConfigurationError) -> Choice {
        guard case .choice(let words)? = form else { throw undeclared("a choice") }
        let text = try string()
        guard words.contains(text), let choice = Choice(rawValue: text) else {
            let known = "\(words.dropLast().joined(separator: ", ")) or \(words.last ?? "")"
            throw error(.invalidValue, "\(name) must be \(known), not '\(text.shown)'")
        }
        return choice
    }

    /// The value; `nil` where it is the word `none`.
    func orNone() throws(ConfigurationError) -> Value? {
        guard case .orNone(let form)? = form else { throw undeclared("none") }
        return try string() == "none" ? nil : read(as: form)
    }

    // MARK: Collections

    /// Whether it is a mapping, where a value may be written in two ways.
    var isMapping: Bool {
        if case .mapping = node { true } else { false }
    }

    /// The entries of a list, each to be read in turn.
    func list() throws(ConfigurationError) -> [Value] {
        guard case .list(let form)? = form else { throw undeclared("a list") }
        guard case .sequence(let sequence) = node else { throw mismatch(expecting: "a list") }
        return sequence.map {
            Value(node: $0, name: "an entry of \(name)", file: file, location: $0.location ?? location, form: form)
        }
    }

    /// The pairs of a mapping in the order of the file. Where the keys are the user's own, the values have their form.
    func pairs() throws(ConfigurationError) -> [(key: Value, value: Value)] {
        guard case .mapping(let mapping) = node else { throw mismatch(expecting: "a mapping (key: value)") }
        let ofValues: Setting.Form? = if case .pairs(_, let form)? = form { form } else { nil }
        var pairs: [(key: Value, value: Value)] = []
        for (keyNode, valueNode) in mapping {
            let place = keyNode.location ?? location
            guard case .scalar(let scalar) = keyNode else {
                throw ConfigurationError(.malformed, "a key in \(name) is not text", in: file, at: place)
            }
            let key = Value(node: keyNode, name: "a key of \(name)", file: file, location: place)
            // libyaml puts a value that is not there at the next token: the key is where the user has to look.
            let value = Value(
                node: valueNode, name: "'\(scalar.string.shown)'", file: file,
                location: valueNode.isAbsent ? place : valueNode.location ?? place, form: ofValues)
            pairs.append((key, value))
        }
        return pairs
    }

    /// A mapping with known keys; any other key is an error.
    ///
    /// - Parameters:
    ///   - keys: the keys that it may have
    ///   - title: how messages name the mapping, such as `site`
    func mapping<Key: MappingKey>(
        _ keys: Key.Type = Key.self, title: String
    ) throws(ConfigurationError) -> Mapping<Key> {
        try Mapping(self, title: title)
    }

    // MARK: Private

    /// The parser and the key's setting differ. Nothing that a user writes comes here: tests read every key.
    private func undeclared(_ form: String) -> ConfigurationError {
        error(.wrongType, "\(name) is not declared as \(form): that is a fault of Rollcall's, please report it")
    }

    /// The text; `nil` for a value that is not there, `~`, `null` or `""`.
    private func text(expecting expected: String) throws(ConfigurationError) -> String? {
        guard case .scalar(let scalar) = node else { throw mismatch(expecting: expected) }
        return node.isAbsent || scalar.string.isEmpty ? nil : scalar.string
    }

    private func mismatch(expecting expected: String) -> ConfigurationError {
        let found =
            switch node {
            case .mapping: "a mapping"
            case .sequence: "a list"
            case .scalar, .alias: "text"
            }
        guard !node.isAbsent else { return error(.invalidValue, "\(name) is empty: it must be \(expected)") }
        return error(.wrongType, "\(name) must be \(expected), not \(found)")
    }
}

extension Node {
    /// A plain scalar that YAML reads as nothing.
    fileprivate var isAbsent: Bool {
        guard case .scalar(let scalar) = self, scalar.style == .plain else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }
}

extension String {
    /// At most 100 characters on one line, so that no message carries a whole document; and no password of a URL that
    /// stands where something else should.
    var shown: String {
        let line = String((contains("@") ? shownAsURL : self).map { $0.isNewline ? " " : $0 })
        return line.count <= 100 ? line : line.prefix(100) + "…"
    }
}
