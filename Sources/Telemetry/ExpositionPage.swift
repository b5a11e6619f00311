/// Prometheus text (exposition format 0.0.4) under construction.
public struct ExpositionPage: Sendable {
    /// The media type that it is served as.
    public static let mediaType = "text/plain; version=0.0.4; charset=utf-8"

    /// What was written so far.
    public private(set) var text = ""

    /// Nothing yet.
    public init() {}

    /// Writes a family of counters or gauges.
    ///
    /// - Parameter samples: each series' labels, in order, with its value
    public mutating func write(_ family: MetricFamily, _ samples: [(labels: [(String, String)], value: Double)]) {
        begin(family)
        for (labels, value) in samples { sample(family.name, labels, value) }
    }

    /// Writes one series of a counter or a gauge. Its family must have been begun.
    mutating func sample(of family: MetricFamily, _ labels: [(String, String)], _ value: Double) {
        sample(family.name, labels, value)
    }

    /// Writes one series of a histogram. Its family must have been begun.
    ///
    /// - Parameters:
    ///   - family: the family
    ///   - labels: the series' labels
    ///   - counts: for each of the family's bounds, how many observations were at most that
    ///   - sum: the sum of all observations
    ///   - count: how many there were
    public mutating func series(
        of family: MetricFamily, _ labels: [(String, String)], counts: [Int], sum: Double, count: Int
    ) {
        guard case .histogram(let bounds) = family.kind else { return }
        for (bound, count) in zip(bounds, counts) {
            sample("\(family.name)_bucket", labels + [("le", Self.number(bound))], Double(count))
        }
        sample("\(family.name)_bucket", labels + [("le", "+Inf")], Double(count))
        sample("\(family.name)_sum", labels, sum)
        sample("\(family.name)_count", labels, Double(count))
    }

    /// Writes what the family is.
    public mutating func begin(_ family: MetricFamily) {
        text += "# HELP \(family.name) \(Self.escaped(family.help))\n# TYPE \(family.name) \(family.kind.name)\n"
    }

    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: Double) {
        let list = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
        text += "\(name)\(list.isEmpty ? "" : "{\(list)}") \(Self.number(value))\n"
    }

    private static func number(_ value: Double) -> String {
        if value == .infinity { return "+Inf" }
        if value == -.infinity { return "-Inf" }
        if value.isNaN { return "NaN" }
        return Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
