import GRDB
import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// The site's limits at work: engines between scripted registries, on a wall clock that is set by hand.
@Suite(.timeLimit(.minutes(5))) struct LimitsTests {
    private let api: Repository
    private let image = TestImage(seed: 5, layers: [3_000_000, 700, 2_000_000])

    init() throws { api = try Repository("platform/api") }

    /// What a list claims of a manifest is not charged beyond what is read of one: it could use up a month's quota.
    @Test(arguments: [(100, 100), (1 << 42, Manifest.maximumSize)] as [(Int64, Int)])
    func aClaimedSizeIsChargedUpToTheBound(size: Int64, charged: Int) {
        let entry = ClosureEntry(
            repository: api, digest: Digest(of: []), size: size, kind: .manifest, mediaType: .ociManifest)
        #expect(entry.chargedBytes == charged)
    }

    /// Enough for the cap over 200 ms where there can be few connections, and no more than it was where there can be many.
    @Test(
        arguments: [
            (64, 78_125), (16, 78_125), (8, 156_250), (4, 312_500), (1, 1 << 20), (0, 1 << 20), (1000, 78_125),
        ])
    func buffersHoldWhatTheCapHasOnItsWay(connections: Int, bytes: Int) {
        var limits = TransferLimits()
        #expect(limits.receiveBuffer(connections: connections) == nil)
        // 50 Mbit/s.
        limits.rate = 6_250_000
        #expect(limits.receiveBuffer(connections: connections) == bytes)
        limits.siteConnections = 4
        #expect(limits.receiveBuffer(connections: connections) == max(312_500, bytes))
        limits.rate = 8000
        #expect(limits.receiveBuffer(connections: connections) == 8 << 10)
    }

    /// Counts what a meter lets through, and does something when it has let through enough.
    private final class Watched: ByteMeter {
        struct Count {
            var bytes: Int64 = 0
            var trigger: Int64 = .max
        }

        let meter: any ByteMeter
        let count = Recorded(Count())
        let onTrigger: @Sendable () -> Void

        init(_ meter: any ByteMeter, onTrigger: @escaping @Sendable () -> Void = {}) {
            self.meter = meter
            self.onTrigger = onTrigger
        }

        func admit(_ bytes: Int, of flow: MeteredFlow) -> ByteMeterAnswer {
            let answer = meter.admit(bytes, of: flow)
            guard case .now = answer else { return answer }
            var isTriggered = false
            count.update { count in
                count.bytes += Int64(bytes)
                guard count.bytes >= count.trigger else { return }
                count.trigger = .max
                isTriggered = true
            }
            if isTriggered { onTrigger() }
            return answer
        }

        var standing: MeterStanding { meter.standing }
        func flush() { meter.flush() }
    }

    private func engine(_ fixture: EngineFixture, _ meter: any ByteMeter) throws -> TransferEngine {
        try TransferEngine(
            sources: [TransferSource(name: fixture.source.authority, client: fixture.client(fixture.source))],
            destination: fixture.client(fixture.destination), mapping: RepositoryMapping(),
            spool: fixture.directory.file("spool"), limits: TransferLimits(), meter: meter)
    }

    /// 1 800 000 000 is 2027-01-15 08:00 UTC.
    private static let opening: Int64 = 1_800_000_000
    private static let hour = TransferWindows(windows: [.init(days: Set(Weekday.allCases), from: 8 * 60, to: 9 * 60)])

    /// At the window's end nothing more is taken; the next window goes on from there.
    @Test func aWindowEndsHard() async throws {
        try await withFixture { fixture in
            fixture.source.store(image, in: api.name, tag: "1")
            let entries = try await fixture.entries([(api, image)])
            let time = Recorded(Self.opening)
            let meter = Watched(
                SiteMeter(rate: nil, windows: Self.hour, clock: { 0 }, unixTime: { time.value })
            ) {
                time.update { $0 = Self.opening + 3600 }
            }
            meter.count.update { $0.trigger = 1_000_000 }
            var engine = try engine(fixture, meter)
            var report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.failures.map(\.error.message) == [])
            #expect(!report.isComplete)
            #expect(report.pause?.reason == .window)
            #expect(report.pause?.until == Self.opening + 86_400)
            #expect(engine.progress.snapshot.pause == report.pause)
            let first = meter.count.value.bytes
            // The piece that was the last one.
            #expect(first < 1_000_000 + (16 << 10))
            #expect(report.postponed == (try await engine.inventory(of: entries)).missing.count)

            // Another try outside the window takes nothing, and does not even ask. What was asked before, and waited for
            // by nobody, is on record once its connection has ended.
            for server in [fixture.source.server, fixture.destination.server] {
                server.dropConnections()
                try await server.untilOpenConnections(0)
            }
            let requests = fixture.source.requests.count
            let uploads = fixture.destination.requests.count { $0.method != "GET" }
            report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.pause?.reason == .window)
            #expect(fixture.source.requests.count == requests)
            #expect(fixture.destination.requests.count { $0.method != "GET" } == uploads)

            // A new process in the next window.
            time.update { $0 = Self.opening + 86_400 }
            engine = try self.engine(fixture, meter)
            report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.isComplete)
            #expect(report.pause == nil)
            #expect(engine.progress.snapshot.pause == nil)
            #expect(engine.progress.snapshot.resumedBytes > 0)
            let all = image.blobs.reduce(0) { $0 + $1.descriptor.size }
            #expect(meter.count.value.bytes <= all * 105 / 100)
        }
    }

    /// Also of one blob, and where others may have fewer.
    @Test func aSourceMayHaveMoreConnectionsThanOthers() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 7, layers: [12_000_000])
            let layer = image.blobs[1].descriptor.digest
            fixture.source.store(image, in: api.name, tag: "1")
            let entries = try await fixture.entries([(api, image)])
            // Before any answer, since the first one tells that a few are enough at this distance.
            let all = Gate()
            fixture.source.intercept(where: \.fetchesBlob) { exchange, answer in
                try exchange.wait(all)
                return try answer()
            }
            var limits = TransferLimits()
            limits.connections = 1
            let engine = try TransferEngine(
                sources: [
                    TransferSource(name: "central", client: fixture.client(fixture.source), connections: 8)
                ], destination: fixture.client(fixture.destination), spool: fixture.directory.file("spool"),
                limits: limits)
            let run = Task { await engine.bring(Inventory(missing: entries)) }
            // One is for the config.
            try await fixture.source.server.until {
                $0.count { $0.fetchesBlob && $0.path.contains(layer.hex) } > Int(BlobFetch.helpers) + 1
            }
            all.open()
            #expect(await run.value.failures.map(\.error.message) == [])
        }
    }

    /// A quota is never gone over, and each new day goes on from where the last one ended.
    @Test func aQuotaIsSpreadOverDays() async throws {
        try await withFixture { fixture in
            fixture.source.store(image, in: api.name, tag: "1")
            let entries = try await fixture.entries([(api, image)])
            let time = Recorded(Self.opening)
            let quota: Int64 = 2 << 20
            var days = 0
            var isComplete = false
            while !isComplete, days < 6 {
                days += 1
                // A new process each day.
                let ledger = try ByteLedger(
                    path: fixture.directory.file("ledger.sqlite"), quotas: .init(perDay: quota), timeZone: .utc,
                    now: time.value)
                let meter = Watched(SiteMeter(rate: nil, ledger: ledger, clock: { 0 }, unixTime: { time.value }))
                let engine = try engine(fixture, meter)
                let report = await engine.bring(try await engine.inventory(of: entries))
                #expect(report.failures.map(\.error.message) == [])
                isComplete = report.isComplete
                #expect(isComplete || report.pause?.reason == .quotaPerDay)
                #expect(meter.count.value.bytes <= quota)
                // Manifests count too.
                #expect(ledger.bytes(at: time.value).day >= meter.count.value.bytes)
                time.update { $0 += 86_400 }
            }
            // 4.8 MiB at 2 MiB a day.
            #expect(days == 3)
        }
    }

    @Test func theEngineCountsIntoItsLedger() async throws {
        try await withFixture { fixture in
            fixture.source.store(image, in: api.name, tag: "1")
            let entries = try await fixture.entries([(api, image)])
            let path = fixture.directory.file("ledger.sqlite")
            let engine = try TransferEngine(
                sources: [TransferSource(name: "central", client: fixture.client(fixture.source))],
                destination: fixture.client(fixture.destination), spool: fixture.directory.file("spool"), ledger: path)
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.isComplete)
            let total = try await DatabaseQueue(path: path).read {
                try Int64.fetchOne($0, sql: "SELECT sum(bytes) FROM traffic")
            }
            #expect(total == engine.progress.snapshot.fetchedBytes + Int64(image.manifest.count))
        }
    }

    /// A real run under a cap: it takes the time that the cap makes it take, at least, and brings everything.
    @Test func aCapHoldsOverAllConnections() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 6, layers: [1_500_000, 1_500_000, 200_000, 200_000, 200_000])
            fixture.source.store(image, in: api.name, tag: "1")
            let entries = try await fixture.entries([(api, image)])
            var limits = TransferLimits()
            limits.rate = 3_000_000
            let engine = try TransferEngine(
                sources: [TransferSource(name: "central", client: fixture.client(fixture.source))],
                destination: fixture.client(fixture.destination), spool: fixture.directory.file("spool"),
                limits: limits)
            let clock = ContinuousClock()
            let start = clock.now
            let report = await engine.bring(try await engine.inventory(of: entries))
            let elapsed = clock.now - start
            #expect(report.isComplete)
            // 3.6 MB, of which the bucket gives a twentieth of a second's worth, and one piece, in advance. A slow
            // machine takes longer, none can be faster.
            #expect(elapsed > .milliseconds(1100))
        }
    }
}
