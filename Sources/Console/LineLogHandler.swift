public import Logging

/// Log events as lines on standard error: JSON objects for programs, or plain text for a person at a terminal.
public struct LineLogHandler: LogHandler {
    /// How a line is written.
    public enum Form: Sendable {
        /// One JSON object.
        case json
        /// Time, level, message and `key=value`.
        case plain
    }

    /// The volume, which all copies share.
    public var logLevel: Logger.Level {
        get { volume.level }
        set { volume.level = newValue }
    }
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let form: Form
    private let bearsLevels: Bool
    private let volume: LogVolume
    private let now: @Sendable () -> String
    private let write: @Sendable (String) -> Void

    /// - Parameters:
    ///   - form: how a line is written, unless the volume says otherwise
    ///   - bearsLevels: whether each line begins with its level as the journal reads it: `<4>` for a warning
    ///   - volume: how much is logged; one's own unless it is shared
    ///   - now: the time, as the line shows it
    ///   - write: takes each line with its line feed
    public init(
        _ form: Form, bearsLevels: Bool = false, volume: LogVolume = LogVolume(), now: @escaping @Sendable () -> String,
        write: @escaping @Sendable (String) -> Void
    ) {
        self.form = form
        self.bearsLevels = bearsLevels
        self.volume = volume
        self.now = now
        self.write = write
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let own = event.metadata { fields.merge(own) { $1 } }
        if let error = event.error { fields["error"] = .string("\(error)") }
        let sorted = fields.sorted { $0.key < $1.key }
        let line =
            switch volume.form ?? form {
            case .json: Self.json(now(), event.level, "\(event.message)", sorted)
            case .plain: Self.plain(now(), event.level, "\(event.message)", sorted)
            }
        write((bearsLevels ? "<\(Self.priority(of: event.level))>" : "") + line + "\n")
    }

    /// As syslog(3) numbers levels.
    private static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// `{"time":…,"level":…,"message":…}` followed by the metadata in the order of its keys.
    private static func json(
        _ time: String, _ level: Logger.Level, _ message: String,
        _ fields: [(key: String, value: Logger.Metadata.Value)]
    ) -> String {
        var members = [
            ("time", quoted(time)), ("level", quoted(level.rawValue)), ("message", quoted(message)),
        ]
        let reserved = Set(members.map(\.0))
        members += fields.map { (reserved.contains($0.key) ? "\($0.key)_" : $0.key, json($0.value)) }
        return "{" + members.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
    }

    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text): quoted(text)
        case .stringConvertible(let number as any BinaryInteger): "\(number)"
        case .stringConvertible(let truth as Bool): "\(truth)"
        case .stringConvertible(let other): quoted("\(other)")
        case .array(let values): "[" + values.map(json).joined(separator: ",") + "]"
        case .dictionary(let members):
            "{"
                + members.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(json($0.value))" }.joined(
                    separator: ",")
                + "}"
        }
    }

    private static func plain(
        _ time: String, _ level: Logger.Level, _ message: String,
        _ fields: [(key: String, value: Logger.Metadata.Value)]
    ) -> String {
        // Text of others must not start lines of its own, nor steer the terminal.
        let text = "\(time) \(level.rawValue) \(message)" + fields.map { " \($0.key)=\($0.value)" }.joined()
        return String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }

    /// A JSON string (RFC 8259 section 7).
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
