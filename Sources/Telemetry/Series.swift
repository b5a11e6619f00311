import CoreMetrics
import Synchronization

/// The values of one metric with one set of labels.
final class Series: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    /// What it holds at one moment.
    enum Reading {
        case value(Double)
        /// For each bound how many were at most that, the sum, and how many there were.
        case observations([Int], sum: Double, count: Int)
    }

    private struct State {
        var value = 0.0
        var counts: [Int]
        var count = 0
    }

    /// Where the factory keeps it; `nil` where it does not.
    let key: [String]?
    private let bounds: [Double]?
    private let state: Mutex<State>

    init(_ kind: MetricFamily.Kind, key: [String]?) {
        self.key = key
        if case .histogram(let bounds) = kind { self.bounds = bounds } else { bounds = nil }
        state = Mutex(State(counts: [Int](repeating: 0, count: bounds?.count ?? 0)))
    }

    var reading: Reading {
        state.withLock { state in
            bounds == nil
                ? .value(state.value) : .observations(state.counts, sum: state.value, count: state.count)
        }
    }

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    func increment(by amount: Double) {
        // A counter that fell would look like a restart.
        if amount > 0 { state.withLock { $0.value += amount } }
    }
    func decrement(by amount: Double) { state.withLock { $0.value -= amount } }
    func reset() { state.withLock { $0.value = 0 } }

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0.value = value } }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        guard let bounds else { return set(value) }
        state.withLock { state in
            state.value += value
            state.count += 1
            for (index, bound) in bounds.enumerated() where value <= bound { state.counts[index] += 1 }
        }
    }

    /// Timers are exported in seconds.
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}
