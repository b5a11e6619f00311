public import CoreMetrics
import Synchronization

/// The backend of swift-metrics that `/metrics` is written from.
///
/// Only families that were declared are kept, and of each a bounded number of series: neither a library that measures
/// something of its own nor a label whose values others choose makes the exposition grow. What was left out is counted.
public final class PrometheusFactory: MetricsFactory {
    /// Counts what was left out: values of undeclared families, of wrong labels, and of series beyond a family's bound.
    public static let dropped = MetricFamily(
        "rollcall_metrics_dropped_total", .counter,
        "Metrics that were not kept: undeclared, or beyond their family's bound of series.")

    private struct Key: Hashable {
        let family: Int
        let values: [String]
    }

    private struct State {
        var series: [Key: Series] = [:]
        var counts: [Int: Int] = [:]
        var dropped = 0
    }

    /// What it exports, in this order.
    public let families: [MetricFamily]
    private let indices: [String: Int]
    private let state = Mutex(State())

    /// - Parameter families: what it exports; of two of one name the first counts
    public init(_ families: [MetricFamily]) {
        self.families = families + [Self.dropped]
        indices = Dictionary(self.families.enumerated().map { ($1.name, $0) }) { first, _ in first }
    }

    /// Everything as Prometheus text.
    public var text: String {
        let (series, dropped) = state.withLock { ($0.series, $0.dropped) }
        let grouped = Dictionary(grouping: series, by: \.key.family)
        var page = ExpositionPage()
        for (index, family) in families.enumerated() {
            page.begin(family)
            if family == Self.dropped {
                page.sample(of: family, [], Double(dropped))
                continue
            }
            for (key, series) in (grouped[index] ?? []).sorted(by: {
                $0.key.values.lexicographicallyPrecedes($1.key.values)
            }) {
                let labels = Array(zip(family.labels, key.values))
                switch series.reading {
                case .value(let value): page.sample(of: family, labels, value)
                case .observations(let counts, let sum, let count):
                    page.series(of: family, labels, counts: counts, sum: sum, count: count)
                }
            }
        }
        return page.text
    }

    /// The series of a label and dimensions; one that nobody reads where there is none to keep.
    private func series(_ label: String, _ dimensions: [(String, String)]) -> Series {
        guard let index = indices[label] else { return drop() }
        let family = families[index]
        let given = Dictionary(dimensions) { first, _ in first }
        let values = family.labels.compactMap { given[$0] }
        guard values.count == family.labels.count, given.count == values.count else { return drop() }
        let key = Key(family: index, values: values)
        return state.withLock { state in
            if let series = state.series[key] { return series }
            guard state.counts[index, default: 0] < family.maximumSeries else {
                state.dropped += 1
                return Series(.gauge, key: nil)
            }
            let series = Series(family.kind, key: [String(index)] + values)
            state.series[key] = series
            state.counts[index, default: 0] += 1
            return series
        }
    }

    private func drop() -> Series {
        state.withLock { $0.dropped += 1 }
        return Series(.gauge, key: nil)
    }

    private func remove(_ handler: AnyObject) {
        guard let series = handler as? Series, let name = series.key, let index = name.first.flatMap({ Int($0) }) else {
            return
        }
        let key = Key(family: index, values: Array(name.dropFirst()))
        state.withLock { state in
            guard state.series[key] === series else { return }
            state.series[key] = nil
            state.counts[index, default: 1] -= 1
        }
    }

    // MARK: MetricsFactory

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions)
    }

    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { series(label, dimensions) }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions)
    }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        series(label, dimensions)
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions)
    }

    public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
    public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
    public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
    public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }
}
