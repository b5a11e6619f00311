import Readiness
import Synchronization
import Telemetry

/// The server's figures as Prometheus text (exposition format 0.0.4). The names are stable; docs/operations.md lists them.
///
/// What is said of gates is decided anew for each scrape, as every answer is, and is left out where nothing is known: a
/// figure from before would be a latch.
final class GateMetrics: Sendable {
    /// The most gates that are shown one by one. A label for each list of a large fleet is more than Prometheus bears;
    /// `rollcall_gates` counts them all.
    static let maximumGates = 1000
    /// Upper bounds of the buckets of `rollcall_gate_answer_seconds`.
    static let buckets: [Double] = [0.01, 0.05, 0.1, 0.5, 1, 5, 30]

    private struct Figures {
        var answers: [GateAnswer.Outcome: Int] = [:]
        var requests: [Request: Int] = [:]
        var bucketCounts = [Int](repeating: 0, count: GateMetrics.buckets.count)
        var seconds = 0.0
        var count = 0
    }

    /// A request's labels: a route's name, never its path, and a status.
    struct Request: Hashable {
        let route: Route
        let status: Int
    }

    /// The routes by their names in labels.
    enum Route: String, CaseIterable {
        case gate, status, board, metrics, healthz, other
    }

    private let version: String
    private let figures = Mutex(Figures())

    init(version: String) { self.version = version }

    /// Counts a finished request.
    func record(_ route: Route, status: Int) {
        figures.withLock { $0.requests[Request(route: route, status: status), default: 0] += 1 }
    }

    /// Counts a gate's answer, and how long it took.
    func record(_ outcome: GateAnswer.Outcome, seconds: Double) {
        figures.withLock { figures in
            figures.answers[outcome, default: 0] += 1
            figures.seconds += seconds
            figures.count += 1
            for (index, bound) in Self.buckets.enumerated() where seconds <= bound { figures.bucketCounts[index] += 1 }
        }
    }

    /// - Parameter standing: how every gate stands now; `nil` where that is not known
    func text(_ standing: FleetStanding?) -> String {
        var page = ExpositionPage()
        page.write(MetricFamily("rollcall_info", .gauge, "The version that serves."), [([("version", version)], 1)])
        page.write(
            MetricFamily(
                "rollcall_store_reachable", .gauge,
                "Whether the object store and the fleet file could be read for this scrape."),
            [([], standing == nil ? 0 : 1)])
        if let standing { gates(standing, &page) }
        let figures = figures.withLock { $0 }
        page.write(
            MetricFamily("rollcall_gate_answers_total", .counter, "Answers of gates."),
            GateAnswer.Outcome.allCases.map { ([("answer", $0.rawValue)], Double(figures.answers[$0] ?? 0)) })
        page.write(
            MetricFamily("rollcall_http_requests_total", .counter, "Requests by route and status."),
            figures.requests.sorted { ($0.key.route.rawValue, $0.key.status) < ($1.key.route.rawValue, $1.key.status) }
                .map { ([("route", $0.key.route.rawValue), ("status", "\($0.key.status)")], Double($0.value)) })
        let seconds = MetricFamily(
            "rollcall_gate_answer_seconds", .histogram(Self.buckets), "How long gates took to answer.")
        page.begin(seconds)
        page.series(of: seconds, [], counts: figures.bucketCounts, sum: figures.seconds, count: figures.count)
        return page.text
    }

    private func gates(_ standing: FleetStanding, _ page: inout ExpositionPage) {
        let verdicts = standing.verdicts
        page.write(
            MetricFamily("rollcall_gates", .gauge, "Lists of all environments, by whether they are ready."),
            [true, false].map { ready in
                ([("state", ready ? "ready" : "blocked")], Double(verdicts.count { $0.isReady == ready }))
            })
        // What is promoted has its own series also where the same is staged: an alert on it finds every list that is.
        let lists = standing.environments.flatMap(\.lists).prefix(Self.maximumGates)
        let shown: [(subject: Verdict.Subject, verdict: Verdict)] = lists.flatMap { list in
            Verdict.Subject.allCases.compactMap { subject in
                list.decision(about: subject).map { (subject: subject, verdict: $0) }
            }
        }
        func labels(_ gate: (subject: Verdict.Subject, verdict: Verdict)) -> [(String, String)] {
            [
                ("environment", gate.verdict.environment.text), ("list", gate.verdict.list.text),
                ("of", gate.subject.rawValue),
            ]
        }
        page.write(
            MetricFamily("rollcall_gate_ready", .gauge, "Whether every site of the environment proved the list."),
            shown.map { (labels($0), $0.verdict.isReady ? 1 : 0) })
        page.write(
            MetricFamily("rollcall_gate_sites", .gauge, "Sites of the environment, by whether they proved the list."),
            shown.flatMap { gate in
                [true, false].map { ready in
                    (
                        labels(gate) + [("state", ready ? "ready" : "blocked")],
                        Double(gate.verdict.sites.count { $0.isReady == ready })
                    )
                }
            })
        page.write(
            MetricFamily(
                "rollcall_gate_reasons", .gauge, "Sites that block, by the reason's code; a site can have several."),
            shown.flatMap { gate in
                let codes =
                    gate.verdict.sites.flatMap { Set($0.reasons.map(\.code.text)) }
                    + gate.verdict.reasons.map(\.code.text)
                return Dictionary(grouping: codes, by: \.self).sorted { $0.key < $1.key }.map { code, all in
                    (labels(gate) + [("code", code)], Double(all.count))
                }
            })
    }
}
