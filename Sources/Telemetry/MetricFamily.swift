/// What a metric is: everything that its exposition says of it, beside the values.
public struct MetricFamily: Hashable, Sendable {
    /// How its values behave.
    public enum Kind: Hashable, Sendable {
        /// Only grows while the process lives; its name ends in `_total`.
        case counter
        /// Goes up and down.
        case gauge
        /// Observations, counted by upper bounds in ascending order.
        case histogram([Double])

        /// As `# TYPE` has it.
        var name: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    /// The most series of a family unless it says otherwise: 100.
    public static let usualMaximum = 100

    /// The name, with its unit.
    public let name: String
    /// How its values behave.
    public let kind: Kind
    /// What it says, in one sentence.
    public let help: String
    /// The names of its labels; every series has all of them.
    public let labels: [String]
    /// The most series that are kept; values of others are counted as dropped.
    public let maximumSeries: Int

    /// - Parameters:
    ///   - name: the name, with its unit
    ///   - kind: how its values behave
    ///   - help: what it says, in one sentence
    ///   - labels: the names of its labels
    ///   - maximumSeries: the most series that are kept
    public init(
        _ name: String, _ kind: Kind, _ help: String, labels: [String] = [], maximumSeries: Int = Self.usualMaximum
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
        self.maximumSeries = maximumSeries
    }
}
