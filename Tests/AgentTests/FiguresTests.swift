import Readiness
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import Agent
@testable import HTTP
@testable import Transfer

/// What `/metrics` is made of.
@Suite struct FiguresTests {
    private let figures = AgentFigures(version: "1.2.3")
    private let status = AgentStatus { Timestamp(seconds: 1000) }

    private func view(
        hosts: [String: HostLedger.Standing] = [:], sources: [String] = [], _ transfer: TransferProgress = .init()
    ) -> AgentView {
        AgentView(
            at: Timestamp(seconds: 1000), state: status.current, silence: .zero, transfer: transfer,
            sources: sources.map {
                SourceStanding(name: $0, priority: 0, weight: 1, state: .usable, isSuspect: false, lastFailure: nil)
            }, hosts: hosts, disks: [])
    }

    private func text(
        hosts: [String: HostLedger.Standing] = [:], sources: [String] = [], _ transfer: TransferProgress = .init()
    ) -> String { figures.text { view(hosts: hosts, sources: sources, transfer) } }

    /// What is gone is told no more; what comes back begins anew.
    @Test func whatIsGoneIsTakenOut() {
        var transfer = TransferProgress()
        transfer.sources = ["a": 5, "b": 7]
        var text = text(
            hosts: ["x": .init(answeredAt: 1, faults: 3, clockLead: 75), "y": .init(answeredAt: 1, clockLead: -80)],
            sources: ["a", "b"], transfer)
        for line in [
            "rollcall_agent_host_faults_total{host=\"x\"} 3\n", "rollcall_agent_clock_lead_seconds{host=\"x\"} 75\n",
            "rollcall_agent_clock_lead_seconds{host=\"y\"} -80\n",
            "rollcall_agent_fetched_bytes_total{source=\"a\"} 5\n",
            "rollcall_agent_fetched_bytes_total{source=\"b\"} 7\n",
        ] { #expect(text.contains(line), "\(line)") }

        // Other settings name one source; one clock was not heard of for long, and one host.
        text = self.text(hosts: ["x": .init(answeredAt: 1, faults: 4)], sources: ["a"])
        #expect(text.contains("rollcall_agent_host_faults_total{host=\"x\"} 4\n"))
        #expect(!text.contains("rollcall_agent_clock_lead_seconds{"))
        #expect(!text.contains("\"y\""))
        #expect(!text.contains("\"b\""))
        #expect(text.contains("rollcall_metrics_dropped_total 0\n"))

        text = self.text(hosts: ["y": .init(answeredAt: 1, faults: 2)], sources: ["a", "b"])
        #expect(!text.contains("\"x\""))
        #expect(text.contains("rollcall_agent_host_faults_total{host=\"y\"} 2\n"))
        #expect(text.contains("rollcall_agent_fetched_bytes_total{source=\"b\"} 0\n"))
    }

    /// Who looks at the same time as another counts nothing twice.
    @Test func looksAtTheSameTimeCountOnce() async {
        final class Counter: Sendable { let value = Atomic(0) }
        let delivered = Counter()
        await withTaskGroup { group in
            for _ in 0..<200 {
                group.addTask {
                    _ = figures.text {
                        var transfer = TransferProgress()
                        transfer.deliveredBlobs = delivered.value.add(1, ordering: .relaxed).newValue
                        return view(transfer)
                    }
                }
            }
        }
        #expect(
            figures.text {
                var transfer = TransferProgress()
                transfer.deliveredBlobs = 200
                return view(transfer)
            }.contains("rollcall_agent_delivered_blobs_total 200\n"))
    }

    /// As many hosts as are remembered are told, also where all of them are others at once.
    @Test func everyHostThatIsRememberedIsTold() {
        #expect(HostLedger.maximumHosts <= AgentFigures.hostFaults.maximumSeries)
        #expect(HostLedger.maximumHosts <= AgentFigures.clockLead.maximumSeries)
        for round in 0..<2 {
            let hosts = (0..<HostLedger.maximumHosts).map {
                ("host-\(round)-\($0)", HostLedger.Standing(answeredAt: 1, clockLead: 1))
            }
            let text = text(hosts: Dictionary(uniqueKeysWithValues: hosts))
            #expect(text.contains("rollcall_metrics_dropped_total 0\n"))
            #expect(
                text.split(separator: "\n").count { $0.hasPrefix("rollcall_agent_clock_lead_seconds{") }
                    == HostLedger.maximumHosts)
        }
    }
}
