import FoundationEssentials
import Glibc
import Readiness
import TestSupport
import Testing

@testable import Agent
@testable import HTTP
@testable import Transfer

/// The alert rules over what an agent says, and not over what somebody wrote down that it says: names and labels of both
/// are held together, each alert fires in the state that it is for, and none where all is well.
@Suite(.timeLimit(.minutes(5))) struct AlertTests {
    // MARK: What Prometheus would have seen

    /// What `/metrics` said at a time.
    private struct Scrape {
        /// Seconds since 1970.
        let at: Double
        /// By name and labels, as they are written.
        var samples: [String: Double] = [:]

        init(_ text: String, at: Double) {
            self.at = at
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]),
                    value.isFinite
                else { continue }
                samples[String(line[..<space])] = value
            }
        }
    }

    /// When the agent is scraped, in minutes of the time that promtool's tests have, which begins with 1970.
    private static let start = 600

    /// Two scrapes as promtool takes series: what moved between them goes on to, times with the time, and counters by as much
    /// in each minute; everything else stays as it is.
    private static func series(_ before: Scrape, _ after: Scrape) -> String {
        var text = ""
        for (key, value) in after.samples.sorted(by: { $0.key < $1.key }) {
            let isTime = ["timestamp_seconds", "start_time_seconds"].contains { key.hasSuffix($0) }
            let moved = max(0, value - (before.samples[key] ?? value))
            let isCounter = key.prefix { $0 != "{" }.hasSuffix("_total")
            // 0 is never, whatever the time.
            let first = isTime && value > 0 ? value - after.at + Double(start * 60) : value
            let step = moved == 0 ? 0 : isTime ? 60 : isCounter ? moved : 0
            let labels = key.hasSuffix("}") ? "\(key.dropLast())," : "\(key){"
            text +=
                "      - series: '\(labels)instance=\"a\",job=\"rollcall-agent\"}'\n"
                + "        values: '_x\(start) \(number(first))+\(number(step))x260'\n"
        }
        return text
    }

    private static func number(_ value: Double) -> String { Int64(exactly: value).map { "\($0)" } ?? "\(value)" }

    /// Which alerts fire so many minutes after a scrape: their labels as Prometheus writes them.
    private struct Expectation {
        let minutes: Int
        var alerts: [String] = []
        /// Which alerts are asked for.
        var selector = "alertname!=\"RollcallDiskShort\""
    }

    /// One part of a file of promtool's tests.
    private static func test(_ series: String, _ expectations: [Expectation]) -> String {
        var text = "  - interval: 1m\n    input_series:\n\(series)    promql_expr_test:\n"
        for expectation in expectations {
            text += """
                      - expr: >-
                          count by (alertname, outcome, source, host, directory)
                          (ALERTS{alertstate="firing",\(expectation.selector)})
                        eval_time: \(start + expectation.minutes)m

                """
            if !expectation.alerts.isEmpty { text += "        exp_samples:\n" }
            for labels in expectation.alerts {
                text += "          - labels: '{\(labels)}'\n            value: 1\n"
            }
        }
        return text
    }

    /// Has promtool run tests over the rules.
    private static func evaluate(_ tests: [String]) async throws {
        guard let promtool = WatchingTests.tool("promtool") else {
            print("skipped: promtool is not installed (scripts/test installs it)")
            return
        }
        let root = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
        try await withTemporaryDirectory("alerts") { directory in
            let path = try directory.write(
                "test.yaml",
                "rule_files: ['\(root)/configs/prometheus/rollcall-alerts.yaml']\nevaluation_interval: 1m\ntests:\n"
                    + tests.joined())
            let result = try await runCommand([promtool, "test", "rules", path])
            #expect(result.status == 0, "\(result.text)\(result.errorText)")
        }
    }

    // MARK: A real agent

    private func scrape(_ daemon: Daemon) async throws -> Scrape {
        let at = Double(time(nil))
        return Scrape(try await daemon.get("/metrics").text, at: at)
    }

    /// Well, then without its store, then with settings that it refuses.
    @Test func theAlertsFireOnWhatAnAgentSays() async throws {
        try await RealSite.with { site in
            try await Daemon.with(site, settings: "verifyInterval: 1s\n") { daemon in
                try await daemon.logs("\"pass finished\"")
                var (before, after) = (try await scrape(daemon), try await scrape(daemon))
                let (proved, reached) = (
                    "rollcall_agent_proved_timestamp_seconds", "rollcall_agent_store_reached_timestamp_seconds"
                )
                try await daemon.waits("another proof") {
                    after = try await scrape(daemon)
                    return (after.samples[proved] ?? 0) > (before.samples[proved] ?? 0)
                        && (after.samples[reached] ?? 0) > (before.samples[reached] ?? 0)
                }
                var tests = [Self.test(Self.series(before, after), [.init(minutes: 10), .init(minutes: 250)])]

                let (store, away) = (site.directory.file("store"), site.directory.file("away"))
                try FileManager.default.moveItem(atPath: store, toPath: away)
                try await daemon.waits("the store's fault") {
                    guard try await daemon.get("/status").text.contains("\"fault\" : ") else { return false }
                    // A pass that was under way has ended then, and none begins.
                    return try await scrape(daemon).samples["rollcall_agent_pass_running"] == 0
                }
                (before, after) = (try await scrape(daemon), try await scrape(daemon))
                tests.append(
                    Self.test(
                        Self.series(before, after),
                        [
                            .init(minutes: 10),
                            .init(minutes: 25, alerts: ["alertname=\"RollcallStoreUnreachable\""]),
                            .init(
                                minutes: 190,
                                alerts: [
                                    "alertname=\"RollcallStoreUnreachable\"", "alertname=\"RollcallProofOld\"",
                                ]),
                        ]))
                try FileManager.default.moveItem(atPath: away, toPath: store)

                try daemon.write(daemon.settings + "limits: {blobz: 3}\n")
                daemon.process.signal(SIGHUP)
                try await daemon.logs("the settings before are still in use")
                (before, after) = (try await scrape(daemon), try await scrape(daemon))
                tests.append(
                    Self.test(
                        Self.series(before, after),
                        [.init(minutes: 10, alerts: ["alertname=\"RollcallSettingsRefused\""])]))

                // What Prometheus itself says of an agent that is gone bears the job that the pod monitor gives it.
                let gone = "      - series: 'up{instance=\"a\",job=\"rollcall-agent\"}'\n        values: '0x900'\n"
                tests.append(Self.test(gone, [.init(minutes: 10, alerts: ["alertname=\"RollcallAgentDown\""])]))
                try await Self.evaluate(tests)
            }
        }
    }

    // MARK: States that are hard to bring about

    /// Everything that an agent knows, to be changed.
    private struct Known {
        let status = AgentStatus { Timestamp(seconds: 1_700_000_000) }
        var silence = Duration.zero
        var transfer = TransferProgress()
        var hosts: [String: HostLedger.Standing] = [:]
        var disks: [DiskSpace] = []

        var view: AgentView {
            AgentView(
                at: status.now(), state: status.current, silence: silence, transfer: transfer,
                sources: [
                    SourceStanding(
                        name: "s", priority: 0, weight: 1, state: .usable, isSuspect: false, lastFailure: nil)
                ], hosts: hosts, disks: disks)
        }

        func finished(missing: Int = 0, damaged: Int = 0) {
            status.update { state in
                state.finished = AgentStatus.Finished(
                    number: 1, at: status.now(), seconds: 1, outcome: .incomplete, text: "", missing: missing,
                    damaged: damaged)
            }
        }
    }

    private static let states: [(labels: String, minutes: Int, change: @Sendable (inout Known) -> Void)] = [
        (
            "alertname=\"RollcallDiskShort\",directory=\"/d\"", 10,
            { $0.disks = [DiskSpace(path: "/d", available: 2 << 30, total: 1 << 40, needed: 3 << 29)] }
        ),
        (
            "alertname=\"RollcallClockWrong\",host=\"h\"", 15,
            { $0.hosts["h"] = HostLedger.Standing(answeredAt: 1, clockLead: -75) }
        ),
        ("alertname=\"RollcallAgentHung\"", 5, { $0.silence = .seconds(1000) }),
        ("alertname=\"RollcallDamagedContent\"", 20, { $0.finished(damaged: 2) }),
        ("alertname=\"RollcallSiteIncomplete\"", 245, { $0.finished(missing: 7) }),
        (
            "alertname=\"RollcallSourceCorrupt\",source=\"s\"", 10,
            { $0.transfer.sourceFaults["s"] = .init(corruptBlobs: 1) }
        ),
        (
            "alertname=\"RollcallSourceFails\",source=\"s\"", 40,
            { $0.transfer.sourceFaults["s"] = .init(failures: 5) }
        ),
        (
            "alertname=\"RollcallPassesFail\",outcome=\"failed\"", 40,
            { known in known.status.update { $0.passes[.failed] = 1 } }
        ),
        (
            "alertname=\"RollcallTransferStuck\"", 60,
            { known in
                known.transfer.totalBytes = 500
                _ = known.status.passStarted("test")
            }
        ),
        (
            "alertname=\"RollcallMetricsDropped\"", 10,
            { known in for number in 0..<200 { known.hosts["\(number)"] = HostLedger.Standing(answeredAt: 1) } }
        ),
    ]

    @Test func theAlertsFireOnWhatIsExported() async throws {
        let tests = Self.states.map { labels, minutes, change in
            let figures = AgentFigures(version: "1.2.3")
            var known = Known()
            let at = Double(known.status.now().seconds)
            known.finished()
            let before = Scrape(figures.text { known.view }, at: at)
            change(&known)
            let after = Scrape(figures.text { known.view }, at: at)
            let selector = labels.split(separator: ",").first.map(String.init) ?? labels
            return Self.test(
                Self.series(before, before), [.init(minutes: minutes, selector: selector)])
                + Self.test(
                    Self.series(before, after), [.init(minutes: minutes, alerts: [labels], selector: selector)])
        }
        try await Self.evaluate(tests)
        // Every alert about agents has its state here or above.
        let rules = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
        let text = String(
            decoding: try Data(contentsOf: URL(filePath: "\(rules)/configs/prometheus/rollcall-alerts.yaml")),
            as: UTF8.self)
        let named = Set(
            Self.states.map { String($0.labels.dropFirst("alertname=\"".count).prefix { $0 != "\"" }) } + [
                "RollcallStoreUnreachable", "RollcallProofOld", "RollcallSettingsRefused", "RollcallAgentDown",
            ])
        let alerts = text.split(separator: "- alert: ").dropFirst().map { $0.prefix { !$0.isNewline } }
        for alert in alerts where !alert.hasPrefix("RollcallGate") && !alert.hasPrefix("RollcallPromoted") {
            #expect(named.contains(String(alert)), "\(alert) fires on nothing that an agent says")
        }
    }
}
