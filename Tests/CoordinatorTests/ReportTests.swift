import Console
import ArgumentParser
import OCI
import ObjectStore
import Readiness
import Testing
import Trust

@testable import Coordinator

@Suite struct ReportTests {
    @Test func tablesAreAlignedAndHarmless() {
        var table = Table("A", "LONG NAME", "C")
        table.add("first", "x", "")
        table.add("b", "\u{1B}[31mred\n", "end")
        #expect(table.lines.map(\.plain) == ["A      LONG NAME  C", "first  x", "b      ?[31mred?  end"])
    }

    @Test func manyMissingEntriesAreCounted() async throws {
        try await Workplace.with { workplace in
            let list = try Workplace.list(layers: 30)
            let fleet = try Self.fleet()
            _ = try await workplace.central.stage(list, to: workplace.lab, of: fleet, act: Self.act)
            try await workplace.prove(list, missing: list.closure.entries, at: "lab-1")
            let verdict = try await workplace.central.check(list.name, in: workplace.lab, of: fleet, act: Self.act)
            let lines = VerdictReport(verdict).lines.map(\.plain)
            #expect(lines.count { $0.hasPrefix("  platform/api@sha256:") } == VerdictReport.namedEntries)
            #expect(lines.last == "  and 11 more: --output json names them all")
            #expect(VerdictReport(verdict).sites[0].missing.count == 31)
        }
    }

    @Test func errorsHaveTheirExitCodes() {
        #expect(Rollcall.exitCode(of: UsageError("x")) == .validationFailure)
        #expect(Rollcall.exitCode(of: ReadinessError(.invalidFleet, "x")) == .validationFailure)
        #expect(Rollcall.exitCode(of: ReadinessError(.invalidRecord, "x")) == .failure)
        #expect(Rollcall.exitCode(of: ObjectStoreError(.unavailable, "x", at: "y")) == .failure)
        #expect(Rollcall.exitCode(of: CancellationError()) == .failure)
        #expect(Rollcall.exitCode(of: ValidationError("x")) == .validationFailure)
    }

    static var act: Act { Act(by: "test@host", at: .current) }

    static func fleet() throws -> Fleet {
        try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [
                Fleet.Environment(
                    name: EnvironmentName("lab"),
                    sites: [
                        .init(
                            name: SiteName("lab-1"), registry: "https://r.example",
                            keys: [.init(Workplace.key(of: "lab-1").publicKey)])
                    ]
                )
            ])
    }
}

@Suite struct WaitTests {
    /// Time that passes by sleeping only.
    final class SleptTime: Clock {
        struct Instant: InstantProtocol {
            var offset: Duration
            func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
            func duration(to other: Instant) -> Duration { other.offset - offset }
            static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
        }
        nonisolated(unsafe) private(set) var now = Instant(offset: .zero)
        let minimumResolution = Duration.zero
        func sleep(until deadline: Instant, tolerance: Duration?) async throws { now = deadline }
    }

    private func verdict(ready: Bool) throws -> Verdict {
        let list = try Workplace.list()
        let now = Timestamp.current
        let manifest = try CacheManifest(
            environment: EnvironmentName("lab"), site: SiteName("lab-1"), sequence: 1, issuedAt: now,
            expiresAt: now.advanced(by: .seconds(60)), agentVersion: "test",
            holdings: [.init(of: list, missing: [], verifiedAt: now, depth: .presence)])
        let key = try Workplace.key(of: "lab-1")
        let report = SiteReport(reading: try manifest.objectBytes(signedBy: key), keys: [key.publicKey])
        return compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: now),
            environment: try ReportTests.fleet().environments[0],
            evidence: try Evidence(
                reports: ready ? [manifest.site: report] : [:],
                memory: GateMemory(environment: EnvironmentName("lab"))), now: now)
    }

    /// Looks, one after the other; the last one is repeated.
    private func wait(_ looks: [Result<Verdict, ObjectStoreError>]) async throws -> (Bool, [String], Int) {
        var lines: [String] = []
        var count = 0
        let verdict = try await Wait(timeout: .seconds(25), interval: .seconds(10)).untilReady(
            clock: SleptTime(), progress: { lines.append($0) }
        ) {
            defer { count += 1 }
            return try looks[min(count, looks.count - 1)].get()
        }
        return (verdict.isReady, lines, count)
    }

    @Test func looksUntilReady() async throws {
        let (blocked, ready) = (try verdict(ready: false), try verdict(ready: true))
        #expect(try await wait([.success(ready)]) == (true, [], 1))
        let (isReady, lines, count) = try await wait([.success(blocked), .success(blocked), .success(ready)])
        #expect((isReady, count) == (true, 3))
        #expect(lines == ["waiting: 0 of 1 sites ready", "  lab-1: silent: no estimate yet"])
    }

    @Test func givesTheLastAnswerWhenTheTimeIsOver() async throws {
        // At 0, 10, 20 and 25 seconds.
        #expect(try await wait([.success(verdict(ready: false))]).2 == 4)
        let away = ObjectStoreError(.unavailable, "away", at: "store")
        let (isReady, lines, _) = try await wait([.failure(away), .success(verdict(ready: true))])
        #expect(isReady)
        #expect(lines == ["waiting: store: away"])
        await #expect(throws: ObjectStoreError.self) { try await wait([.failure(away)]) }
    }
}
