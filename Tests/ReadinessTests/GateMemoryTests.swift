import FoundationEssentials
import Glibc
import OCI
import ObjectStore
import TestSupport
import Testing
import Trust

@testable import Readiness

/// Whose word a cache manifest is, and whether it is the latest: each fault with its own reason.
@Suite(.timeLimit(.minutes(5))) struct AuthenticityTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory) }

    /// What the gate makes of site-1, with the list staged.
    private func codes(
        _ report: SiteReport, in environment: Fleet.Environment? = nil, memory: GateMemory? = nil,
        at now: Timestamp = Fixture.now
    ) throws -> (codes: [Reason.Code], verdict: Verdict) {
        let list = try Fixture.list()
        let environment = try environment ?? Fixture.environment(sites: ["site-1"])
        let verdict = compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now), environment: environment,
            evidence: Evidence(
                reports: [try SiteName("site-1"): report],
                memory: try memory ?? GateMemory(environment: EnvironmentName("lab"))), now: now)
        #expect(verdict.isReady == verdict.sites.allSatisfy { $0.reasons.isEmpty })
        return (try #require(verdict.sites.first).reasons.map(\.code), verdict)
    }

    private func manifest(sequence: Int64 = 1, issued: Duration = .seconds(-30)) throws -> CacheManifest {
        try Fixture.manifest(
            sequence: sequence, issued: issued, Fixture.holding(Fixture.list(), verified: issued - .seconds(30)))
    }

    @Test func onlyASitesOwnSignatureCounts() throws {
        let manifest = try manifest()
        #expect(try codes(Fixture.report(manifest)).codes == [])
        #expect(try codes(Fixture.report(manifest, signedBy: nil)).codes == [.unsigned])
        let (codes, verdict) = try codes(Fixture.report(manifest, signedBy: "site-2"))
        #expect(codes == [.wronglySigned])
        #expect(verdict.sites[0].reasons[0].message.contains(try Fixture.key(of: "site-2").publicKey.id.description))
    }

    @Test func aSiteWithoutAKeyBlocksUnlessItsEnvironmentAcceptsThat() throws {
        let manifest = try manifest()
        let keyless = try Fixture.environment(sites: ["site-1"], hasKeys: false)
        let lenient = try Fixture.environment(sites: ["site-1"], hasKeys: false, acceptsUnsigned: true)
        for signer in [nil, "site-1"] {
            let key = try signer.map { try Fixture.key(of: $0) }
            let report = SiteReport(reading: try manifest.objectBytes(signedBy: key), keys: [])
            #expect(try codes(report, in: keyless).codes == [.noPublicKey])
            let (codes, verdict) = try codes(report, in: lenient)
            #expect(codes == [])
            #expect(verdict.unprovedSites.map(\.text) == ["site-1"])
        }
        // Accepting what has no key takes no key away: a site that has one must use it.
        let strict = try Fixture.environment(sites: ["site-1"], acceptsUnsigned: true)
        #expect(try codes(Fixture.report(manifest, signedBy: nil), in: strict).codes == [.unsigned])
        #expect(try codes(Fixture.report(manifest, signedBy: "site-2"), in: strict).codes == [.wronglySigned])
        #expect(try codes(Fixture.report(manifest), in: strict).verdict.unprovedSites == [])
    }

    @Test func keysRotateWithAnOverlap() throws {
        let (old, new) = (try Fixture.key(of: "old"), try Fixture.key(of: "new"))
        let site = Fleet.Site(
            name: try SiteName("site-1"), registry: "https://r.example",
            keys: [.init(old.publicKey, notAfter: Fixture.now), .init(new.publicKey)])
        #expect(site.keys.map(\.publicKey) == [new, old].map(\.publicKey))
        let environment = try Fleet.Environment(
            name: EnvironmentName("lab"), sites: [site], freshness: .seconds(7200))
        let manifest = try manifest()
        for (key, seconds, expected) in [
            (old, 0, []), (new, 0, []), (old, 1, [.keyExpired]), (new, 1, []),
        ] as [(PrivateKey, Int, [Reason.Code])] {
            let report = SiteReport(
                reading: try manifest.objectBytes(signedBy: key), keys: site.keys.map(\.publicKey))
            #expect(
                try codes(report, in: environment, at: Fixture.now.advanced(by: .seconds(seconds))).codes == expected)
        }
    }

    @Test func anOlderManifestIsNotBelieved() throws {
        var memory = GateMemory(environment: try EnvironmentName("lab"))
        let environment = try Fixture.environment(sites: ["site-1"])
        let site = try SiteName("site-1")
        let latest = try Fixture.report(manifest(sequence: 7, issued: .seconds(-30)))
        memory.remember([site: latest], of: environment, at: Fixture.now)
        #expect(memory.sites[site]?.sequence == 7)
        #expect(try codes(latest, memory: memory).codes == [])
        for (sequence, issued, expected) in [
            (8, -20, []), (8, -40, []), (6, -60, [.replayed]), (6, -30, [.replayed]),
            (6, -20, [.sequenceRolledBack]), (7, -20, [.sequenceRolledBack]), (7, -40, [.sequenceRolledBack]),
            (0, -10, [.sequenceRolledBack]),
        ] as [(Int64, Int, [Reason.Code])] {
            let report = try Fixture.report(manifest(sequence: sequence, issued: .seconds(issued)))
            #expect(try codes(report, memory: memory).codes == expected, "number \(sequence), issued \(issued)")
            // What is not believed is not remembered either.
            var next = memory
            next.remember([site: report], of: environment, at: Fixture.now)
            #expect(next.sites[site]?.sequence == max(7, sequence))
        }
    }

    @Test func onlyWhatIsASitesOwnIsRemembered() throws {
        let environment = try Fixture.environment(sites: ["site-1"])
        let site = try SiteName("site-1")
        let empty = GateMemory(environment: environment.name)
        for report in [
            try Fixture.report(manifest(), signedBy: nil), try Fixture.report(manifest(), signedBy: "site-2"),
            try Fixture.report(Fixture.manifest(of: "site-2")), try Fixture.report(Fixture.manifest(in: "production")),
            SiteReport(.unreadable("bad"), digest: Fixture.digest("bad")),
        ] {
            var memory = empty
            memory.remember([site: report], of: environment, at: Fixture.now)
            #expect(memory == empty)
        }
        // A site that another fleet file does not name stays remembered: the next one may name it again.
        var memory = empty
        memory.remember([site: try Fixture.report(manifest())], of: environment, at: Fixture.now)
        #expect(memory != empty)
        let before = memory
        memory.remember([:], of: try Fixture.environment(sites: ["site-2"]), at: Fixture.now)
        #expect(memory == before)
    }

    /// The memory is the store's, not the process's: any coordinator notices.
    @Test func coordinatorsShareTheirMemory() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        func publish(_ sequence: Int64, at site: String) async throws {
            try await store.publish(
                try Fixture.manifest(
                    of: site, sequence: sequence, issued: .seconds(Int(sequence) - 60), Fixture.holding(list)),
                signedBy: Fixture.key(of: site))
        }
        try await publish(2, at: "site-1")
        try await publish(1, at: "site-2")
        #expect(try await store.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        let site = try SiteName("site-1")
        #expect(try await store.lastSequence(of: site, in: lab) == 2)

        try await publish(1, at: "site-1")
        let verdict = try await CentralStore(memory).check(list.name, in: lab, of: fleet, act: Fixture.act)
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[.replayed], []])
        guard case .refused = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act) else {
            Issue.record("an old manifest must not promote anything")
            return
        }
        // Who only looks is told the same.
        let place = try fleet.environment(lab)
        #expect(try await store.observe(place, at: Fixture.now).evidence.memory.sites[site]?.sequence == 2)
        // A site that is forgotten may start again.
        #expect(try await store.forget(site, in: lab, act: Fixture.act))
        try await publish(1, at: "site-1")
        #expect(try await store.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
    }

    /// A coordinator that reads while a site publishes and another coordinator looks reads again, and blocks nothing.
    @Test func aManifestThatChangesMeanwhileIsReadAgain() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        let publish: @Sendable (Int64) async throws -> Void = { [store] sequence in
            for site in ["site-1", "site-2"] {
                try await store.publish(
                    try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list)),
                    signedBy: Fixture.key(of: site))
            }
        }
        try await publish(1)
        memory.beforeNextPut { [store] _ in
            try? await publish(2)
            _ = try? await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        }
        #expect(try await store.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        #expect(try await store.lastSequence(of: SiteName("site-1"), in: lab) == 2)
    }

    /// All that is below `environments/`: what goes back with a store that goes back, but for the chain.
    private func snapshot() async throws -> [ObjectKey: [UInt8]] {
        var objects: [ObjectKey: [UInt8]] = [:]
        for key in try await memory.list(below: ObjectKey("environments")) {
            objects[key] = try #require(try await memory.get(key)).bytes
        }
        return objects
    }

    private func restore(_ objects: [ObjectKey: [UInt8]]) async throws {
        for (key, bytes) in objects { _ = try await memory.put(bytes, at: key, condition: .none) }
    }

    /// Manifests go back, and the gate's memory with them: a process that lives on has seen what was there later, and so do
    /// those to come where that is kept; by then it is in the store again.
    @Test(arguments: ["a process", "a machine"]) func whoHasSeenLaterNotices(_ who: String) async throws {
        let directory = try TemporaryDirectory("seen")
        defer { directory.remove() }
        let file = who == "a machine" ? directory.file("notes/seen.json") : nil
        let first = CentralStore(memory, keeping: file, backoff: { _ in })
        func serve() -> CentralStore { file == nil ? first : CentralStore(memory, keeping: file, backoff: { _ in }) }
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        func publish(_ sequence: Int64, missing: [ClosureEntry] = [], at sites: String...) async throws {
            for site in sites {
                let holding = Fixture.holding(list, missing: missing)
                try await store.publish(
                    try Fixture.manifest(
                        of: site, sequence: sequence, issued: .seconds(Int(sequence) - 60), holding),
                    signedBy: Fixture.key(of: site))
            }
        }
        func check(_ central: CentralStore) async throws -> [[Reason.Code]] {
            let verdict = try await central.check(list.name, in: lab, of: fleet, act: Fixture.act)
            #expect(verdict.reasons.isEmpty)
            return verdict.sites.map { $0.reasons.map(\.code) }
        }
        try await publish(1, at: "site-1", "site-2")
        #expect(try await check(serve()) == [[], []])
        let old = try await snapshot()
        try await publish(2, missing: [list.closure.entries[0]], at: "site-2")
        #expect(try await check(serve()) == [[], [.incomplete]])

        // Nothing in the store tells, and whoever only looks is told by who has seen more.
        try await restore(old)
        #expect(try await FleetStanding(of: fleet, in: store, at: Fixture.now).verdicts.map(\.isReady) == [true])
        #expect(try await FleetStanding(of: fleet, in: serve(), at: Fixture.now).verdicts.map(\.isReady) == [false])
        #expect(try await check(serve()) == [[], [.replayed]])
        #expect(try await check(store) == [[], [.replayed]])
        try await publish(3, at: "site-2")
        #expect(try await check(serve()) == [[], []])

        // Somebody else wants the site to begin anew: the chain says so.
        #expect(try await store.forget(SiteName("site-2"), in: lab, act: Fixture.act))
        try await publish(1, at: "site-2")
        #expect(try await check(serve()) == [[], []])
        #expect(try await store.lastSequence(of: SiteName("site-2"), in: lab) == 1)
    }

    /// So does the environment's record; staging is the way back, as ever.
    @Test func whoHasSeenALaterRecordNotices() async throws {
        let (one, two) = (try Fixture.list(), try Fixture.list(tag: "2"))
        let (fleet, lab) = (try Fixture.fleet(), try EnvironmentName("lab"))
        let serve = CentralStore(memory, backoff: { _ in })
        _ = try await store.stage(one, to: lab, of: fleet, act: Fixture.act)
        for site in ["site-1", "site-2"] {
            try await store.publish(
                try Fixture.manifest(of: site, Fixture.holding(one), Fixture.holding(two)),
                signedBy: Fixture.key(of: site))
        }
        func check() async throws -> Verdict {
            try await serve.check(one.name, in: lab, of: fleet, act: Fixture.act)
        }
        #expect(try await check().isReady)
        let old = try await snapshot()
        _ = try await store.stage(two, to: lab, of: fleet, act: Fixture.act)
        #expect(try await check().isReady)
        try await restore(old)
        let verdict = try await check()
        #expect(verdict.judged?.generation == one.generation)
        #expect(verdict.reasons.map(\.code) == [.recordReplayed])
        guard case .staged = try await store.stage(one, to: lab, of: fleet, act: Fixture.act) else {
            Issue.record("what is staged anew is staged")
            return
        }
        #expect(try await check().isReady)
    }

    /// The chain goes back, and its head with it: a process that has seen it longer notices, whatever sites have seen.
    @Test func whoHasSeenALongerChainNotices() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        let serve = CentralStore(memory, backoff: { _ in })
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        #expect(try await !serve.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        let end = try await store.auditEnd().sequence
        try await memory.delete(CentralStore.auditKey(end))
        try await memory.delete(CentralStore.auditHeadKey())
        let verdict = try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act)
        #expect(verdict.reasons.map(\.code) == [.auditCutOff])
        #expect(verdict.reasons.first?.message.contains("this process has seen record \(end)") == true)
        #expect(
            try await store.check(list.name, in: lab, of: fleet, act: Fixture.act).reasons.isEmpty)
    }

    /// Whoever has seen the chain longer records nothing in the place of what is gone, also where others did; those to come
    /// neither, where that is kept. The way out is to delete what is kept.
    @Test(arguments: [false, true]) func nothingTakesThePlaceOfWhatIsToBeRestored(_ isWrittenAnew: Bool) async throws {
        let directory = try TemporaryDirectory("seen")
        defer { directory.remove() }
        let file = directory.file("notes/seen.json")
        let (list, other, lab) = (try Fixture.list(), try Fixture.list("other"), try EnvironmentName("lab"))
        let fleet = try Fixture.fleet()
        let serve = CentralStore(memory, keeping: file, backoff: { _ in })
        _ = try await serve.stage(list, to: lab, of: fleet, act: Fixture.act)
        #expect(try await !serve.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        let end = try await serve.auditEnd()
        let (key, headKey) = (try CentralStore.auditKey(end.sequence), try CentralStore.auditHeadKey())
        let (last, head) = (try #require(try await memory.get(key)), try #require(try await memory.get(headKey)))
        try await memory.delete(key)
        try await memory.delete(headKey)
        if isWrittenAnew { try await store.record(AuditEvent(.staged, Fixture.act)) }
        let found = try await store.auditEnd()
        for central in [serve, CentralStore(memory, keeping: file, backoff: { _ in })] {
            for attempt in [
                { _ = try await central.record(AuditEvent(.staged, Fixture.act)) },
                { _ = try await central.stage(other, to: lab, of: fleet, act: Fixture.act) },
            ] as [@Sendable () async throws -> Void] {
                await #expect { try await attempt() } throws: {
                    ($0 as? ReadinessError)?.code == .brokenChain
                        && "\($0)".contains("end every rollcall process of this machine, delete \(file), start again")
                }
            }
            guard
                case .refused(let verdict) = try await central.promote(
                    list.name, in: lab, of: fleet, act: Fixture.act)
            else {
                Issue.record("a chain that lacks records promotes nothing")
                return
            }
            #expect(verdict.reasons.map(\.code) == [.auditCutOff])
            // Looking is not recording.
            #expect(try await central.auditRecords(limit: 100).count == Int(found.sequence))
        }
        #expect(try await store.auditEnd() == found)

        guard isWrittenAnew else {
            _ = try await memory.put(last.bytes, at: key, condition: .none)
            _ = try await memory.put(head.bytes, at: headKey, condition: .none)
            #expect(try await serve.record(AuditEvent(.staged, Fixture.act)).sequence == end.sequence + 1)
            return
        }
        try FileManager.default.removeItem(atPath: file)
        let fresh = CentralStore(memory, keeping: file, backoff: { _ in })
        #expect(try await fresh.record(AuditEvent(.staged, Fixture.act)).sequence == found.sequence + 1)
        #expect(try await fresh.check(list.name, in: lab, of: fleet, act: Fixture.act).reasons.isEmpty)
    }

    /// An agent may create objects below `audit/` and write the head. What does not follow what was seen before is not
    /// remembered: once it is gone, everything is as before.
    @Test func aForgedHeadIsNotRemembered() async throws {
        let directory = try TemporaryDirectory("seen")
        defer { directory.remove() }
        let file = directory.file("seen.json")
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        let serve = CentralStore(memory, keeping: file, backoff: { _ in })
        _ = try await serve.stage(list, to: lab, of: fleet, act: Fixture.act)
        _ = try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act)
        let end = try await serve.auditEnd()
        let (key, headKey) = (try CentralStore.auditKey(999_999), try CentralStore.auditHeadKey())
        let head = try #require(try await memory.get(headKey)).bytes
        let forged = try AuditRecord.object(
            AuditEvent(.staged, Fixture.act), at: 999_999, after: Fixture.digest("nothing"), signedBy: nil)
        _ = try await memory.put(forged, at: key, condition: .none)
        _ = try await memory.put(
            Document.encode(AuditHead(sequence: 999_999, digest: Digest(of: forged)), .invalidRecord), at: headKey,
            condition: .none)
        await #expect { try await serve.record(AuditEvent(.staged, Fixture.act)) } throws: {
            ($0 as? ReadinessError)?.code == .brokenChain && "\($0)".contains("delete 'audit/head.json'")
        }
        #expect(try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act).reasons.isEmpty)
        #expect(OwnMemory(file: file).end == end)
        try await memory.delete(key)
        _ = try await memory.put(head, at: headKey, condition: .none)
        #expect(try await serve.record(AuditEvent(.staged, Fixture.act)).sequence == end.sequence + 1)
        #expect(try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act).reasons.isEmpty)
        #expect(try await serve.verifyAudit().fault == nil)
    }

    /// A fleet whose decisions are signed.
    private func signedFleet(_ key: PrivateKey) throws -> Fleet {
        let fleet = try Fixture.fleet()
        return try Fleet(
            objectStore: fleet.objectStore,
            environments: [Fixture.environment("lab"), Fixture.environment("production")],
            coordinators: [.init(name: CoordinatorName("pipeline"), keys: [.init(key.publicKey)])])
    }

    /// Where the fleet file says whose signatures count, nobody else makes a coordinator forget what it saw itself.
    @Test func onlyACoordinatorMakesOthersForget() async throws {
        let key = try PrivateKey.generate()
        let (list, fleet, lab) = (try Fixture.list(), try signedFleet(key), try EnvironmentName("lab"))
        let (site, serve) = (try SiteName("site-2"), CentralStore(memory, signingKey: key, backoff: { _ in }))
        _ = try await serve.stage(list, to: lab, of: fleet, act: Fixture.act)
        func publish(_ sequence: Int64, at site: String) async throws {
            try await store.publish(
                try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list)),
                signedBy: Fixture.key(of: site))
        }
        func check(publishing sequence: Int64) async throws -> [[Reason.Code]] {
            try await publish(sequence, at: "site-2")
            return try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act).sites
                .map { $0.reasons.map(\.code) }
        }
        try await publish(1, at: "site-1")
        #expect(try await check(publishing: 2) == [[], []])
        #expect(try await store.forget(site, in: lab, act: Fixture.act))
        #expect(try await check(publishing: 1) == [[], [.replayed]])
        let mallory = CentralStore(memory, signingKey: try PrivateKey.generate(), backoff: { _ in })
        #expect(try await mallory.forget(site, in: lab, act: Fixture.act))
        #expect(try await check(publishing: 1) == [[], [.replayed]])
        #expect(try await CentralStore(memory, signingKey: key).forget(site, in: lab, act: Fixture.act))
        #expect(try await check(publishing: 1) == [[], []])
    }

    /// However much was recorded since, and also where a decision fell between the record and the gate's memory.
    @Test func whatWasForgottenLongAgoStaysForgotten() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        let (site, serve, memory) = (try SiteName("site-2"), CentralStore(memory, backoff: { _ in }), memory)
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        func publish(_ sequence: Int64, at site: String = "site-2") async throws {
            try await store.publish(
                try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list)),
                signedBy: Fixture.key(of: site))
        }
        try await publish(1, at: "site-1")
        try await publish(5)
        #expect(try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        let old = try await snapshot()
        // Before the record, the head and the gate's memory are written, in this order.
        memory.beforeNextPut { _ in
            memory.beforeNextPut { _ in
                memory.beforeNextPut { key in
                    #expect(key.name == "gate.json")
                    _ = try? await serve.record(AuditEvent(.staged, Fixture.act))
                    _ = try? await serve.check(list.name, in: lab, of: fleet, act: Fixture.act)
                }
            }
        }
        #expect(try await store.forget(site, in: lab, act: Fixture.act))
        let forgotten = try await snapshot()
        let writer = store
        for _ in 0...CentralStore.AuditPage.maximumLook { try await writer.record(AuditEvent(.staged, Fixture.act)) }
        try await publish(1)
        #expect(try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        #expect(try await store.lastSequence(of: site, in: lab) == 1)
        // What was heeded once is not heeded again: nobody gets rid so of what was seen since.
        try await publish(7)
        #expect(try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        for objects in [forgotten, old] {
            try await restore(objects)
            try await publish(6)
            let verdict = try await serve.check(list.name, in: lab, of: fleet, act: Fixture.act)
            #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[], [.replayed]])
        }
    }

    /// Whoever writes last has written what is known then.
    @Test func whatIsKeptIsTheLatest() async throws {
        let directory = try TemporaryDirectory("seen")
        defer { directory.remove() }
        let own = OwnMemory(file: directory.file("seen.json"))
        await withTaskGroup(of: Void.self) { group in
            for number in 1...200 as ClosedRange<Int64> {
                group.addTask { own.note(AuditHead(sequence: number, digest: Fixture.digest("\(number)"))) }
            }
        }
        #expect(own.end?.sequence == 200)
        #expect(OwnMemory(file: directory.file("seen.json")).end == own.end)
    }

    /// What is no file is not waited for, and what would be too much is not kept.
    @Test func whatIsKeptIsBounded() throws {
        let directory = try TemporaryDirectory("seen")
        defer { directory.remove() }
        let pipe = directory.file("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(OwnMemory(file: pipe).end == nil)
        let (own, environment) = (OwnMemory(file: nil), try Fixture.environment(sites: ["site-1"]))
        for first in [0, GateMemory.maximumSightings] {
            var seen = GateMemory(environment: environment.name)
            for number in first..<first + GateMemory.maximumSightings {
                seen.sites[try SiteName("s\(number)")] = .init(
                    sequence: 1, issuedAt: Fixture.now.advanced(by: .seconds(number)), digest: Fixture.digest("x"),
                    firstSeenAt: nil)
            }
            own.note(seen, of: environment)
        }
        #expect(own.seen(in: environment.name)?.sites.count == GateMemory.maximumSightings)
    }

    /// What cannot be read or written is as none.
    @Test func whatIsKeptMayBeDamaged() async throws {
        let directory = try TemporaryDirectory("seen")
        defer { directory.remove() }
        let file = try directory.write("seen.json", "{")
        #expect(OwnMemory(file: file).end == nil)
        let end = AuditHead(sequence: 3, digest: Fixture.digest("x"))
        OwnMemory(file: file).note(end)
        let own = OwnMemory(file: file)
        #expect(own.end == end)
        own.note(AuditHead(sequence: 2, digest: Fixture.digest("y")))
        #expect(OwnMemory(file: file).end == end)
        let nowhere = OwnMemory(file: "/proc/nowhere/seen.json")
        nowhere.note(end)
        #expect(nowhere.end == end)
    }

    /// What a version wrote that did not note when somebody decided last by a fleet file.
    @Test func anOlderMemoryIsRead() throws {
        let (environment, act) = (try Fixture.environment(), Fixture.act)
        var memory = GateMemory(environment: environment.name)
        let first = memory.noteDemands(of: environment, act: act)
        #expect(first?.action == .keysChanged)
        let text = String(decoding: try Document.encode(memory, .invalidRecord), as: UTF8.self)
        let old = text.replacing(",\n  \"usedAt\" : \"\(Fixture.now)\"", with: "")
        #expect(!old.contains("usedAt"))
        var read = try GateMemory(parsing: Array(old.utf8), of: environment.name, in: "gate.json")
        #expect(read.demands == memory.demands && read.usedAt == nil)
        #expect(try GateMemory(parsing: Array(text.utf8), of: environment.name, in: "gate.json") == memory)
        let again = read.noteDemands(of: environment, act: act)
        #expect(again == nil)
        let changed = read.noteDemands(of: try Fixture.environment(freshness: .seconds(60)), act: act)
        #expect(changed?.action == .policyChanged)
        // It may have been a moment ago.
        #expect(read.otherFiles.map(\.usedAt) == [act.at])
    }

    @Test func aDamagedMemoryIsAnError() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try EnvironmentName("lab"))
        for damage in [
            "{", #"{"schema":"rollcall.gate-memory/v9","environment":"lab","sites":{}}"#,
            #"{"schema":"rollcall.gate-memory/v1","environment":"other","sites":{}}"#,
        ] {
            _ = try await memory.put(Array(damage.utf8), at: CentralStore.memoryKey(of: lab), condition: .none)
            await #expect {
                try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
            } throws: {
                "\($0)".contains("environments/lab/gate.json")
            }
        }
    }
}
