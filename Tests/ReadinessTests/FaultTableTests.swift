import OCI
import ObjectStore
import Synchronization
import Testing
@testable import Trust

@testable import Readiness

/// The faults that must close the gate, each with its own reason, in what `check` answers and in what `promote` refuses.
@Suite(.timeLimit(.minutes(5))) struct FaultTableTests {
    /// A fleet in which site-1 and site-2 proved a list, and one thing that goes wrong at site-2.
    struct Scene: Sendable {
        let memory = MemoryStore()
        let list: ImageList
        let fleet: Fleet
        let lab: EnvironmentName
        let site: SiteName

        var store: CentralStore { CentralStore(memory, backoff: { _ in }) }

        init(hasKeys: Bool = true) throws {
            list = try Fixture.list()
            lab = try EnvironmentName("lab")
            site = try SiteName("site-2")
            fleet = try Fleet(
                objectStore: ObjectStoreLocation("file:///srv/rollcall"),
                environments: [Fixture.environment(hasKeys: hasKeys), Fixture.environment("production")],
                approvers: [.init(name: ApproverName("jane"), keys: [.init(Fixture.key(of: "jane").publicKey)])])
        }

        func publish(
            _ manifest: CacheManifest, at site: String = "site-2", signedBy signer: String? = nil,
            unsigned: Bool = false
        ) async throws {
            let key = unsigned ? nil : try Fixture.key(of: signer ?? site)
            _ = try await memory.put(
                manifest.objectBytes(signedBy: key),
                at: CentralStore.key(of: SiteName(site), in: lab), condition: .none)
        }

        func manifest(_ sequence: Int64, issued: Duration = .seconds(-30)) throws -> CacheManifest {
            try Fixture.manifest(
                of: "site-2", sequence: sequence, issued: issued, expires: .seconds(3600),
                Fixture.holding(list, verified: issued - .seconds(30)))
        }

        func stageAndProve() async throws {
            _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
            try await publish(Fixture.manifest(Fixture.holding(list)), at: "site-1")
            try await publish(manifest(5))
        }

        func check(at now: Timestamp = Fixture.now) async throws -> Verdict {
            try await store.check(list.name, in: lab, of: fleet, act: Act(by: "operator@host", at: now))
        }

        func waive(expires: Duration) async throws {
            let waiver = try Waiver(
                environment: lab, site: site, list: list.name, generation: list.generation, reason: "link down",
                approver: ApproverName("jane"), issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: expires))
            try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet, act: Fixture.act)
        }
    }

    struct Fault: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// What is said of site-2.
        let codes: [Reason.Code]
        var hasKeys = true
        /// When it is asked, after everything went well.
        var later: Duration = .zero
        let happens: @Sendable (Scene) async throws -> Void
    }

    static let faults = [
        Fault(testDescription: "silent", codes: [.silent]) {
            try await $0.memory.delete(CentralStore.key(of: $0.site, in: $0.lab))
        },
        Fault(testDescription: "unknown", codes: [.unknownSite]) { scene in
            try await scene.publish(Fixture.manifest(of: "site-9", Fixture.holding(scene.list)), at: "site-9")
        },
        Fault(testDescription: "stale", codes: [.stale], later: .seconds(3571)) { _ in },
        Fault(testDescription: "expired", codes: [.expired, .stale], later: .seconds(3600)) { _ in },
        Fault(testDescription: "unsigned", codes: [.unsigned]) {
            try await $0.publish($0.manifest(6), unsigned: true)
        },
        Fault(testDescription: "without a key", codes: [.noPublicKey], hasKeys: false) { _ in },
        Fault(testDescription: "wrongly signed", codes: [.wronglySigned]) {
            try await $0.publish($0.manifest(6), signedBy: "site-1")
        },
        Fault(testDescription: "changed after signing", codes: [.wronglySigned]) { scene in
            let signed = try Envelope(
                signing: scene.manifest(6).documentBytes(), as: Schema.cacheManifest.payloadType,
                with: [Fixture.key(of: "site-2")])
            let other = try Envelope(
                signing: scene.manifest(7).documentBytes(), as: Schema.cacheManifest.payloadType,
                with: [Fixture.key(of: "site-1")])
            let mixed = Envelope(payloadType: signed.payloadType, payload: other.payload, signatures: signed.signatures)
            _ = try await scene.memory.put(
                mixed.documentBytes(), at: CentralStore.key(of: scene.site, in: scene.lab), condition: .none)
        },
        Fault(testDescription: "another site's", codes: [.misplaced]) { scene in
            try await scene.publish(
                Fixture.manifest(of: "site-1", sequence: 6, Fixture.holding(scene.list)), signedBy: "site-2")
        },
        Fault(testDescription: "another site's, as that one signed it", codes: [.misplaced]) { scene in
            try await scene.publish(
                Fixture.manifest(of: "site-1", sequence: 6, Fixture.holding(scene.list)), signedBy: "site-1")
        },
        Fault(testDescription: "replayed, or a store that returns old data", codes: [.replayed]) {
            try await $0.publish($0.manifest(4, issued: .seconds(-600)))
        },
        Fault(testDescription: "a sequence that went back", codes: [.sequenceRolledBack]) {
            try await $0.publish($0.manifest(1, issued: .seconds(-10)))
        },
        Fault(testDescription: "partial", codes: [.incomplete]) { scene in
            try await scene.publish(
                Fixture.manifest(
                    of: "site-2", sequence: 6,
                    Fixture.holding(scene.list, missing: [scene.list.closure.entries[0]])))
        },
        Fault(testDescription: "a clock an hour ahead", codes: [.clockSkew]) {
            try await $0.publish($0.manifest(6, issued: .seconds(3500)))
        },
        Fault(testDescription: "a clock an hour behind", codes: [.stale]) {
            try await $0.publish($0.manifest(6, issued: .seconds(-3600)))
        },
        Fault(testDescription: "our clock an hour behind", codes: [.clockSkew], later: .seconds(-3600)) { _ in },
        Fault(testDescription: "our clock an hour ahead", codes: [.expired, .stale], later: .seconds(3600)) { _ in },
        Fault(
            testDescription: "waived, and the waiver expired", codes: [.silent, .waiverExpired], later: .seconds(200)
        ) {
            try await $0.memory.delete(CentralStore.key(of: $0.site, in: $0.lab))
            try await $0.waive(expires: .seconds(200))
            #expect(try await $0.check().isReady)
        },
    ]

    @Test(arguments: faults) func aFaultClosesTheGate(_ fault: Fault) async throws {
        let scene = try Scene(hasKeys: fault.hasKeys)
        try await scene.stageAndProve()
        #expect(try await scene.check().isReady == fault.hasKeys)
        try await fault.happens(scene)
        let now = Fixture.now.advanced(by: fault.later)
        let verdict = try await scene.check(at: now)
        #expect(!verdict.isReady)
        let site = verdict.sites.first {
            fault.codes == [.unknownSite] ? $0.name.text == "site-9" : $0.name == scene.site
        }
        #expect(site?.reasons.map(\.code) == fault.codes)
        #expect(site?.reasons.allSatisfy { !$0.message.isEmpty } == true)
        let act = Act(by: "operator@host", at: now)
        guard case .refused = try await scene.store.promote(scene.list.name, in: scene.lab, of: scene.fleet, act: act)
        else {
            Issue.record("a closed gate promotes nothing")
            return
        }
        #expect(try await scene.store.record(of: scene.lab).record.lists[scene.list.name]?.promoted == nil)
        let last = try #require(try await scene.store.auditRecords(limit: 1).first).event
        #expect(last.action == .promotionRefused)
        #expect(last.sites.contains { $0.reasons == fault.codes.map(\.text) })
        #expect(try await scene.store.verifyAudit().fault == nil)
    }

    @Test func aListThatIsStagedAnewClosesTheGate() async throws {
        let scene = try Scene()
        try await scene.stageAndProve()
        #expect(try await scene.check().isReady)
        _ = try await scene.store.stage(Fixture.list(tag: "2"), to: scene.lab, of: scene.fleet, act: Fixture.act)
        let verdict = try await scene.check()
        #expect(!verdict.isReady)
        #expect(verdict.sites.allSatisfy { $0.reasons.map(\.code) == [.otherGeneration] })
    }

    /// A store that serves the record of before a new generation was staged: what it says was true, and is not acted on.
    @Test func anOldRecordPromotesNothing() async throws {
        let scene = try Scene()
        try await scene.stageAndProve()
        let key = try CentralStore.recordKey(of: scene.lab)
        let old = try #require(try await scene.memory.get(key))
        _ = try await scene.store.stage(Fixture.list(tag: "2"), to: scene.lab, of: scene.fleet, act: Fixture.act)
        let stale = StaleStore(store: scene.memory, key: key, old: old, times: 2)
        let store = CentralStore(stale, backoff: { _ in })
        let outcome = try await store.promote(scene.list.name, in: scene.lab, of: scene.fleet, act: Fixture.act)
        guard case .refused(let verdict) = outcome else {
            Issue.record("what was replaced is not promoted")
            return
        }
        #expect(verdict.reasons.map(\.code) == [.recordReplayed])
        #expect(try await scene.store.record(of: scene.lab).record.lists[scene.list.name]?.promoted == nil)
    }

    /// Serves an old version of one object some times.
    private final class StaleStore: ObjectStore {
        let store: MemoryStore
        let key: ObjectKey
        let old: StoredObject
        let left: Mutex<Int>

        init(store: MemoryStore, key: ObjectKey, old: StoredObject, times: Int) {
            (self.store, self.key, self.old) = (store, key, old)
            left = Mutex(times)
        }

        func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
            let isOld =
                key == self.key
                && left.withLock { left in
                    left -= 1
                    return left >= 0
                }
            return isOld ? .found(old) : try await store.get(key, ifNoneMatch: etag)
        }

        func put(_ bytes: [UInt8], at key: ObjectKey, condition: PutCondition) async throws(ObjectStoreError)
            -> PutOutcome
        {
            try await store.put(bytes, at: key, condition: condition)
        }

        func list(
            below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
        ) async throws(ObjectStoreError) -> ListPage {
            try await store.list(below: prefix, continuingFrom: continuation)
        }

        func delete(_ key: ObjectKey) async throws(ObjectStoreError) { try await store.delete(key) }
    }

    // MARK: A store that goes away half-way

    /// Goes away for good at one operation: before it is carried out, or after it was and before the reply.
    private final class VanishingStore: ObjectStore {
        let store: MemoryStore
        let left: Mutex<Int>
        let carriesOutTheLast: Bool

        init(_ store: MemoryStore, after count: Int, carryingOutTheLast: Bool) {
            self.store = store
            left = Mutex(count)
            carriesOutTheLast = carryingOutTheLast
        }

        /// How many operations were asked for beyond those that were answered.
        var isGone: Bool { left.withLock { $0 < 0 } }

        private func through<Value: Sendable>(
            _ operation: () async throws(ObjectStoreError) -> Value
        ) async throws(ObjectStoreError) -> Value {
            let count = left.withLock { left in
                left -= 1
                return left
            }
            if count == -1, carriesOutTheLast { _ = try await operation() }
            guard count >= 0 else { throw ObjectStoreError(.unavailable, "gone", at: "memory") }
            return try await operation()
        }

        func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
            try await through { () throws(ObjectStoreError) in try await store.get(key, ifNoneMatch: etag) }
        }

        func put(_ bytes: [UInt8], at key: ObjectKey, condition: PutCondition) async throws(ObjectStoreError)
            -> PutOutcome
        {
            try await through { () throws(ObjectStoreError) in try await store.put(bytes, at: key, condition: condition)
            }
        }

        func list(
            below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
        ) async throws(ObjectStoreError) -> ListPage {
            try await through { () throws(ObjectStoreError) in
                try await store.list(below: prefix, continuingFrom: continuation)
            }
        }

        func delete(_ key: ObjectKey) async throws(ObjectStoreError) {
            try await through { () throws(ObjectStoreError) in try await store.delete(key) }
        }
    }

    /// At every operation of a promotion in turn: it is never ready, and whatever was done is in the chain once the next
    /// command has come by, exactly once.
    @Test(arguments: [false, true]) func aStoreThatGoesAwayHalfWay(_ carriesOutTheLast: Bool) async throws {
        var promoted = 0
        var finished = false
        for operations in 0..<200 where !finished {
            let scene = try Scene()
            try await scene.stageAndProve()
            let vanishing = VanishingStore(scene.memory, after: operations, carryingOutTheLast: carriesOutTheLast)
            let store = CentralStore(vanishing, backoff: { _ in })
            let name = Comment(rawValue: "after \(operations) operations")
            do {
                _ = try await store.check(scene.list.name, in: scene.lab, of: scene.fleet, act: Fixture.act)
                let outcome = try await store.promote(
                    scene.list.name, in: scene.lab, of: scene.fleet, act: Act(by: "victim@host", at: Fixture.now))
                guard case .promoted = outcome else {
                    Issue.record("every site proved the list \(operations)")
                    return
                }
                // Going away for a hint, such as the chain's head, fails nothing.
                finished = !vanishing.isGone
            } catch {
                #expect(error is ObjectStoreError || (error as? ReadinessError)?.code == .unrecorded, name)
            }
            _ = try await scene.check()
            let isPromoted =
                try await scene.store.record(of: scene.lab).record.lists[scene.list.name]?.promoted != nil
            promoted += isPromoted ? 1 : 0
            let events = try await scene.store.auditRecords(limit: 100).map(\.event)
            #expect(
                events.filter { $0.action == .promoted }.map(\.by.user) == (isPromoted ? ["victim"] : []), name)
            #expect(events.count { $0.action == .checked } == 1, name)
            #expect(events.count { $0.action == .keysChanged } == 1, name)
            let verification = try await scene.store.verifyAudit()
            #expect(verification.fault == nil, name)
            #expect(!verification.remarks.contains { $0.contains("not in the chain yet") }, name)
        }
        // Some went away before the swap and some after it.
        #expect(finished)
        #expect(promoted > 3)
    }
}
