import CoreMetrics
import Testing

@testable import Telemetry

@Suite(.timeLimit(.minutes(5))) struct PrometheusFactoryTests {
    private let fetched = MetricFamily("fetched_bytes_total", .counter, "Bytes.", labels: ["source"], maximumSeries: 2)
    private let lists = MetricFamily("lists", .gauge, "Lists of \"all\" kinds\nand places.")
    private let passes = MetricFamily("pass_seconds", .histogram([1, 10]), "How long.", labels: ["mode"])

    @Test func everyDeclaredFamilyIsThere() {
        let factory = PrometheusFactory([fetched, lists])
        #expect(
            factory.text == """
                # HELP fetched_bytes_total Bytes.
                # TYPE fetched_bytes_total counter
                # HELP lists Lists of \\"all\\" kinds\\nand places.
                # TYPE lists gauge
                # HELP rollcall_metrics_dropped_total \(PrometheusFactory.dropped.help)
                # TYPE rollcall_metrics_dropped_total counter
                rollcall_metrics_dropped_total 0

                """)
    }

    @Test func countersGaugesAndHistogramsKeepTheirValues() {
        let factory = PrometheusFactory([fetched, lists, passes])
        let counter = Counter(label: "fetched_bytes_total", dimensions: [("source", "a\"b\\c")], factory: factory)
        counter.increment(by: 5)
        counter.increment(by: -3)
        Counter(label: "fetched_bytes_total", dimensions: [("source", "a\"b\\c")], factory: factory).increment(by: 2)
        Gauge(label: "lists", factory: factory).record(2.5)
        let recorder = Recorder(label: "pass_seconds", dimensions: [("mode", "sync")], factory: factory)
        for seconds in [0.5, 1, 9, 100] { recorder.record(seconds) }
        let text = factory.text
        #expect(text.contains(#"fetched_bytes_total{source="a\"b\\c"} 7"#))
        #expect(text.contains("\nlists 2.5\n"))
        #expect(
            text.contains(
                """
                pass_seconds_bucket{mode="sync",le="1"} 2
                pass_seconds_bucket{mode="sync",le="10"} 3
                pass_seconds_bucket{mode="sync",le="+Inf"} 4
                pass_seconds_sum{mode="sync"} 110.5
                pass_seconds_count{mode="sync"} 4

                """))
    }

    @Test func seriesAreBounded() {
        let factory = PrometheusFactory([fetched])
        for source in 0..<5 {
            Counter(label: "fetched_bytes_total", dimensions: [("source", "\(source)")], factory: factory).increment()
        }
        Counter(label: "unheard_of", factory: factory).increment()
        Counter(label: "fetched_bytes_total", dimensions: [("host", "a")], factory: factory).increment()
        Counter(label: "fetched_bytes_total", dimensions: [("source", "1"), ("x", "a")], factory: factory).increment()
        let text = factory.text
        #expect(text.split(separator: "\n").count { $0.hasPrefix("fetched_bytes_total{") } == 2)
        #expect(text.contains("rollcall_metrics_dropped_total 6\n"))
        #expect(!text.contains("unheard_of"))
    }

    @Test func aDestroyedSeriesGoesAndMakesRoom() {
        let factory = PrometheusFactory([fetched])
        let first = Counter(label: "fetched_bytes_total", dimensions: [("source", "0")], factory: factory)
        Counter(label: "fetched_bytes_total", dimensions: [("source", "1")], factory: factory).increment()
        first.increment()
        first.destroy()
        Counter(label: "fetched_bytes_total", dimensions: [("source", "2")], factory: factory).increment()
        let text = factory.text
        #expect(!text.contains(#"source="0""#))
        #expect(text.contains(#"source="2"} 1"#))
    }
}
