/// What one key of a file may say, and what it means: the parser takes the form and the default from here, and
/// `docs/configuration.md`, which a test writes, takes all of it. So what is documented is what is read.
struct Setting: Sendable {
    /// The form of a value.
    indirect enum Form: Sendable {
        /// Text of a grammar of its own, which the words name.
        case text(String)
        /// A file or directory; a relative path starts at the directory of the file that says it.
        case path
        /// `true` or `false`.
        case bool
        /// A whole number.
        case integer(ClosedRange<Int>)
        /// A time such as `90s` or `1h30m`.
        case duration(ClosedRange<Duration>)
        /// A size such as `64MiB`, in bytes.
        case byteSize(ClosedRange<Int64>)
        /// A rate such as `200Mbit/s`, in bytes a second.
        case byteRate(ClosedRange<Int64>)
        /// A time of the day such as `06:30`.
        case timeOfDay
        /// One of some words.
        case choice([String])
        /// The word `none`, or a value.
        case orNone(Form)
        /// One form or the other.
        case either(Form, Form)
        /// A list of values.
        case list(of: Form)
        /// A mapping whose keys are the user's own; the words name them.
        case pairs(by: String, of: Form)
        /// A mapping with known keys.
        case section(any MappingKey.Type)

        /// One of the words that a type knows.
        static func choice<Choice: RawRepresentable<String> & CaseIterable>(of type: Choice.Type) -> Form {
            .choice(type.allCases.map(\.rawValue))
        }
    }

    /// What holds where the key is not there.
    enum Absence: Sendable {
        /// Nothing: it is an error.
        case required
        /// Nothing, unless the key is there that is named.
        case requiredUnless(String)
        /// This value, written as a file would write it.
        case standard(String)
        /// The standards of the section's keys.
        case standards
        /// What the words say.
        case otherwise(String)
    }

    /// What its value looks like.
    let form: Form
    /// What holds without it.
    let absence: Absence
    /// A value as a file would write it, on one line; `nil` for sections, whose keys have examples.
    let example: String?
    /// What it does: sentences in Markdown.
    let text: String

    /// - Parameters:
    ///   - form: what its value looks like
    ///   - absence: what holds without it
    ///   - example: a value as a file would write it; the standard unless said
    ///   - text: what it does
    init(_ form: Form, _ absence: Absence, example: String? = nil, _ text: String) {
        self.form = form
        self.absence = absence
        self.text = text
        if example == nil, case .standard(let standard) = absence {
            self.example = standard
        } else {
            self.example = example
        }
    }
}

extension MappingKey {
    /// All keys with their settings, in the order of their declaration.
    static var settings: [(name: String, setting: Setting)] { allCases.map { ($0.rawValue, $0.setting) } }
}
