import Readiness
import Testing

@testable import GateServer

/// The figures of gates, of what is staged and of what is promoted.
@Suite struct MetricsTests {
    /// The lines about gates of a fleet that has one list.
    private func lines(_ list: FleetStanding.List) throws -> [String] {
        let place = try Fleet.Environment(name: list.verdict.environment, sites: [])
        let standing = FleetStanding(
            environments: [
                .init(
                    environment: place, lists: [list],
                    evidence: Evidence(reports: [:], memory: GateMemory(environment: place.name)))
            ], decidedAt: list.verdict.decidedAt)
        return GateMetrics(version: "1").text(standing).split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix("rollcall_gate_ready{") || $0.hasPrefix("rollcall_gates{") }
    }

    private static let gate = "rollcall_gate_ready{environment=\"lab\",list=\"platform\""

    @Test func whatIsStagedAloneHasOneSeries() throws {
        let verdict = try madeVerdict(ready: ["a"])
        #expect(
            try lines(.init(promoted: nil, verdict: verdict)) == [
                "rollcall_gates{state=\"ready\"} 0", "rollcall_gates{state=\"blocked\"} 1",
                "\(Self.gate),of=\"staged\"} 0",
            ])
    }

    /// An alert on what is promoted must find it also while nothing else is staged.
    @Test func whatIsPromotedAndStagedHasBoth() throws {
        let verdict = try madeVerdict()
        #expect(
            try lines(.init(promoted: verdict.judged, verdict: verdict)) == [
                "rollcall_gates{state=\"ready\"} 1", "rollcall_gates{state=\"blocked\"} 0",
                "\(Self.gate),of=\"staged\"} 1", "\(Self.gate),of=\"promoted\"} 1",
            ])
    }

    @Test func whatIsPromotedHasItsOwnWhereAnotherIsStaged() throws {
        let (staged, promoted) = (try madeVerdict(ready: []), try madeVerdict())
        #expect(
            try lines(.init(promoted: nil, verdict: staged, promotedVerdict: promoted)) == [
                "rollcall_gates{state=\"ready\"} 0", "rollcall_gates{state=\"blocked\"} 1",
                "\(Self.gate),of=\"staged\"} 0", "\(Self.gate),of=\"promoted\"} 1",
            ])
    }
}
