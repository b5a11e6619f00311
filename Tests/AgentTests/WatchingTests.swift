import FoundationEssentials
import HTTP
import Telemetry
import TestSupport
import Testing

@testable import Agent
@testable import Transfer

/// What monitoring is given: the documentation, the alert rules, the dashboard and the unit say what the agent does.
@Suite(.timeLimit(.minutes(5))) struct WatchingTests {
    private static let root = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()

    private func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: "\(Self.root)/\(path)")), as: UTF8.self)
    }

    /// The words of a text that can be metrics' names.
    private func names(_ text: String) -> Set<String> {
        Set(
            text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
                .filter { $0.hasPrefix("rollcall_") })
    }

    private static var families: [MetricFamily] { AgentFigures.families + [PrometheusFactory.dropped] }

    /// Everything that the agent exports, and what the gate server does.
    private func exported() throws -> Set<String> {
        var exported: Set<String> = []
        for family in Self.families {
            exported.insert(family.name)
            if case .histogram = family.kind {
                exported.formUnion(["_bucket", "_sum", "_count"].map { family.name + $0 })
            }
        }
        // As its source spells them.
        return exported.union(names(try text("Sources/GateServer/GateMetrics.swift")))
    }

    @Test func theDocumentationHasEveryMetricWithItsLabels() throws {
        var rows: [String: (kind: String, labels: [String], help: String)] = [:]
        for line in try text("docs/metrics.md").split(separator: "\n") where line.hasPrefix("| `rollcall_") {
            let cells = line.split(separator: "|").map { cell in
                String(cell.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            }
            guard cells.count == 4 else {
                Issue.record("\(line)")
                continue
            }
            let labels = cells[2].split(separator: ", ").map { $0.filter { $0 != "`" } }.filter { !$0.isEmpty }
            rows[cells[0].filter { $0 != "`" }] = (cells[1], labels, cells[3])
        }
        for family in Self.families {
            let known = rows.removeValue(forKey: family.name)
            let row = try #require(known, "docs/metrics.md lacks \(family.name)")
            let kind =
                switch family.kind {
                case .counter: "counter"
                case .gauge: "gauge"
                case .histogram: "histogram"
                }
            #expect(row.kind == kind, "\(family.name)")
            #expect(row.labels == family.labels, "\(family.name)")
            #expect(row.help == family.help, "\(family.name)")
            #expect((family.kind == .counter) == family.name.hasSuffix("_total"))
        }
        #expect(rows.isEmpty, "docs/metrics.md has metrics that nobody exports: \(rows.keys.sorted())")
    }

    @Test(arguments: [
        "configs/prometheus/rollcall-alerts.yaml", "configs/prometheus/rollcall-alerts.test.yaml",
        "configs/grafana/rollcall-agent.json", "docs/runbooks.md", "docs/operations.md",
    ])
    func noUnknownMetricIsNamed(path: String) throws {
        let known = try exported()
        for name in names(try text(path)) { #expect(known.contains(name), "\(path): \(name)") }
    }

    @Test func everyAlertHasARunbookAndFiresInATest() throws {
        let rules = try text("configs/prometheus/rollcall-alerts.yaml")
        let alerts = rules.split(separator: "\n").compactMap { line in
            line.split(separator: "- alert: ").dropFirst().first.map(String.init)
        }
        #expect(alerts.count == 18)
        let headings = Set(
            try text("docs/runbooks.md").split(separator: "\n").filter { $0.hasPrefix("## ") }.map { $0.dropFirst(3) })
        let test = try text("configs/prometheus/rollcall-alerts.test.yaml")
        for alert in alerts {
            #expect(headings.contains(Substring(alert)), "docs/runbooks.md lacks \(alert)")
            #expect(rules.contains("runbook: docs/runbooks.md#\(alert.lowercased())\n"), "\(alert)")
            #expect(
                test.contains("alertname: \(alert)\n        exp_alerts:\n          - exp_labels:"),
                "\(alert) fires in no test")
        }
        #expect(headings.count == alerts.count)
    }

    /// Where Prometheus's operator calls the jobs otherwise, an alert that names one never fires.
    @Test func theJobsOfTheRulesAreThoseOfThePodMonitors() throws {
        /// The values of a key, wherever it is in a file.
        func values(of key: String, in yaml: String) -> [String] {
            yaml.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { $0.hasPrefix("\(key): ") }
                .map { String($0.dropFirst(key.count + 2)) }
        }
        let rules = try text("configs/prometheus/rollcall-alerts.yaml")
        let named = Set(rules.split(separator: "job=\"").dropFirst().map { String($0.prefix { $0 != "\"" }) })
        var jobs: Set<String> = []
        for workload in ["agent/statefulset.yaml", "coordinator/deployment.yaml"] {
            let base = "configs/kubernetes/base/\(workload.prefix { $0 != "/" })"
            let monitor = try text("\(base)/podmonitor.yaml")
            let label = try #require(values(of: "jobLabel", in: monitor).first, "\(base)")
            let job = try #require(values(of: label, in: monitor).first, "\(base)")
            // The pods bear it, and the workload finds them by it.
            #expect(try values(of: label, in: text("configs/kubernetes/base/\(workload)")) == [job, job])
            jobs.insert(job)
        }
        #expect(jobs == named)
    }

    @Test func promtoolTakesTheRules() async throws {
        guard let promtool = Self.tool("promtool") else {
            print("skipped: promtool is not installed (scripts/test installs it)")
            return
        }
        let directory = "\(Self.root)/configs/prometheus"
        for command in [
            ["check", "rules", "--lint=all", "--lint-fatal", "rollcall-alerts.yaml"],
            ["test", "rules", "rollcall-alerts.test.yaml"],
        ] {
            let result = try await runCommand([promtool] + command, directory: directory)
            #expect(result.status == 0, "\(result.text)\(result.errorText)")
        }
    }

    /// Prometheus's own parser reads each expression of the dashboard, as a rule.
    @Test func promtoolTakesTheDashboard() async throws {
        let dashboard = try JSONDecoder().decode(
            Dashboard.self, from: Data(try text("configs/grafana/rollcall-agent.json").utf8))
        let expressions = dashboard.panels.flatMap { $0.targets.map(\.expr) }
        #expect(expressions.count >= 18)
        guard let promtool = Self.tool("promtool") else {
            print("skipped: promtool is not installed (scripts/test installs it)")
            return
        }
        try await withTemporaryDirectory("dashboard") { directory in
            var rules = "groups:\n  - name: dashboard\n    rules:\n"
            for (index, expression) in expressions.enumerated() {
                rules += "      - record: panel:\(index)\n        expr: >-\n          \(expression)\n"
            }
            let path = try directory.write("rules.yaml", rules)
            let result = try await runCommand([promtool, "check", "rules", path])
            #expect(result.status == 0, "\(result.text)\(result.errorText)")
        }
    }

    private struct Dashboard: Decodable {
        struct Target: Decodable { let expr: String }
        struct Panel: Decodable { let targets: [Target] }
        let panels: [Panel]
    }

    /// What the agent exports is what Prometheus reads.
    @Test func promtoolTakesTheExposition() async throws {
        guard let promtool = Self.tool("promtool") else {
            print("skipped: promtool is not installed (scripts/test installs it)")
            return
        }
        let status = AgentStatus()
        let view = AgentTeller(
            status: status, heartbeat: Heartbeat(), ledger: .init(), version: "1.\"2\"\n3"
        )
        let result = try await runCommand([promtool, "check", "metrics"], input: Array(view.metrics.utf8))
        #expect(result.status == 0, "\(result.text)\(result.errorText)")
    }

    /// Who goes back to an older release reads there what that costs.
    @Test func theVersionsOfTheJournalsAreWrittenDown() throws {
        let page = try text("docs/installation.md")
        #expect(page.contains("| `spool/journal.sqlite` | \(ResumeJournal.version) |"))
        #expect(page.contains("| `proofs.sqlite` | \(ProofJournal.version) |"))
    }

    @Test func systemdTakesTheUnit() async throws {
        guard let analyze = Self.tool("systemd-analyze") else {
            print("skipped: systemd-analyze is not installed")
            return
        }
        try await withTemporaryDirectory("unit") { directory in
            // The program is where the package puts it, and not where the tests run.
            let unit = try text("configs/systemd/rollcall-agent.service")
                .replacing("/usr/bin/rollcall-agent", with: "/bin/true")
                .replacing("Documentation=man:rollcall-agent(1)\n", with: "")
            let path = try directory.write("rollcall-agent.service", unit)
            var result = try await runCommand([analyze, "verify", path])
            #expect(result.status == 0, "\(result.errorText)")
            #expect(result.errorText.isEmpty, "\(result.errorText)")
            // 0 is locked away, 10 is open; 1.5 at most.
            result = try await runCommand([analyze, "security", "--offline=true", "--threshold=15", path])
            #expect(result.status == 0, "\(result.text.suffix(200))")
        }
    }

    /// A program on the `PATH`, or where scripts/test puts it.
    static func tool(_ name: String) -> String? {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? "\(environment["HOME"] ?? "")/.cache"
        let places = (environment["PATH"] ?? "").split(separator: ":").map(String.init) + ["\(cache)/rollcall"]
        return places.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}
