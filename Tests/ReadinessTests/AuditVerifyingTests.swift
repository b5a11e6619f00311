import OCI
import ObjectStore
import Synchronization
import Testing
import Trust

@testable import Readiness

/// Verifying a chain that is long, or that others write to meanwhile.
@Suite(.timeLimit(.minutes(5))) struct AuditVerifyingTests {
    /// A store in which something happens before each read.
    private final class BusyStore: ObjectStore {
        let store = MemoryStore()
        private let action = Mutex<(@Sendable (ObjectKey) async -> Void)?>(nil)

        /// Runs before each read, one at a time and not for its own reads; `nil` for none.
        func beforeReads(_ new: (@Sendable (ObjectKey) async -> Void)?) { action.withLock { $0 = new } }

        private func interrupt(_ key: ObjectKey) async {
            let taken = action.withLock { action in
                defer { action = nil }
                return action
            }
            guard let taken else { return }
            await taken(key)
            action.withLock { $0 = taken }
        }

        func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
            await interrupt(key)
            return try await store.get(key, ifNoneMatch: etag)
        }

        func put(
            _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
        ) async throws(ObjectStoreError) -> PutOutcome { try await store.put(bytes, at: key, condition: condition) }

        func list(
            below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
        ) async throws(ObjectStoreError) -> ListPage {
            try await store.list(below: prefix, continuingFrom: continuation)
        }

        func delete(_ key: ObjectKey) async throws(ObjectStoreError) { try await store.delete(key) }
    }

    /// Others promote, record and publish while the chain is verified: nothing of that is tampering.
    @Test func othersMayWriteMeanwhile() async throws {
        let busy = BusyStore()
        let lab = try EnvironmentName("lab")
        let fleet = try Fixture.fleet()
        let lists = [try Fixture.list(), try Fixture.list(tag: "2")]
        let writer = CentralStore(busy.store, backoff: { _ in })
        for list in lists {
            _ = try await writer.stage(list, to: lab, of: fleet, act: Fixture.act)
            for site in ["site-1", "site-2"] {
                try await writer.publish(
                    try Fixture.manifest(
                        of: site, sequence: list == lists[0] ? 1 : 2, Fixture.holding(lists[0]),
                        Fixture.holding(lists[1])), signedBy: Fixture.key(of: site))
            }
            _ = try await writer.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        }
        let turns = Mutex(0)
        busy.beforeReads { _ in
            let turn = turns.withLock { turns in
                turns += 1
                return turns
            }
            guard turn <= 60 else { return }
            // A rollback and a promotion in turn, of which one is in force when the record is read.
            switch turn % 3 {
            case 1:
                _ = try? await writer.promote(lists[0].name, in: lab, of: fleet, act: Fixture.act, move: .rollback)
            case 2: _ = try? await writer.promote(lists[0].name, in: lab, of: fleet, act: Fixture.act)
            default: break
            }
            guard let end = try? await writer.witnessedEnd(after: nil),
                let manifest = try? CacheManifest(
                    environment: lab, site: SiteName("site-1"), sequence: Int64(turn) + 10, issuedAt: Fixture.now,
                    expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0",
                    holdings: lists.map { Fixture.holding($0) }, auditHead: end)
            else { return }
            _ = try? await writer.publish(manifest, signedBy: Fixture.key(of: "site-1"))
        }
        for _ in 0..<4 {
            let verification = try await CentralStore(busy, backoff: { _ in }).verifyAudit(fleet: fleet)
            #expect(!verification.remarks.contains { $0.contains("nothing vouches") })
            #expect(
                verification.fault == nil, "\(verification.fault?.object ?? ""): \(verification.fault?.message ?? "")")
        }
        busy.beforeReads(nil)
        #expect(turns.withLock { $0 } > 60)
        // What is wrong is found still.
        let end = try await writer.auditEnd().sequence
        #expect(end > 20)
        let actions = try await writer.auditRecords(limit: 1000).map(\.event.action)
        #expect(actions.count { $0 == .rolledBack } > 5 && actions.count { $0 == .promoted } > 5)
        try await busy.store.delete(CentralStore.auditKey(end))
        #expect(try await writer.verifyAudit().fault?.message.contains("the last 1 were removed") == true)
    }

    /// A chain of more pages than a listing may have, one key in each.
    private struct LongStore: ObjectStore {
        let objects: [ObjectKey: [UInt8]]
        let keys: [ObjectKey]

        func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
            objects[key].map { .found(StoredObject(bytes: $0, etag: ETag("1"))) } ?? .absent
        }

        func put(
            _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
        ) async throws(ObjectStoreError) -> PutOutcome { .conflict }

        func list(
            below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
        ) async throws(ObjectStoreError) -> ListPage {
            guard prefix?.path == "audit" else { return ListPage(keys: []) }
            let index = continuation.flatMap { Int($0.token) } ?? 0
            guard index < keys.count else { return ListPage(keys: []) }
            return ListPage(
                keys: [keys[index]], continuation: index + 1 < keys.count ? .init("\(index + 1)") : nil)
        }

        func delete(_ key: ObjectKey) async throws(ObjectStoreError) {}
    }

    @Test func aChainMayBeLongerThanAListing() async throws {
        var objects: [ObjectKey: [UInt8]] = [:]
        var keys: [ObjectKey] = []
        var previous: Digest?
        for sequence in 1...Int64(ObjectStoreLimit.listedPages + 10) {
            let object = try AuditRecord.object(
                AuditEvent(.checked, Fixture.act), at: sequence, after: previous, signedBy: nil)
            previous = Digest(of: object)
            let key = try CentralStore.auditKey(sequence)
            objects[key] = object
            keys.append(key)
        }
        let verification = try await CentralStore(LongStore(objects: objects, keys: keys)).verifyAudit()
        #expect(verification.fault == nil)
        #expect(verification.records == Int64(keys.count))
        #expect(verification.end.digest == previous)
        // A record that is not there, far from the end.
        let gone = keys[5000]
        objects[gone] = nil
        let gap = LongStore(objects: objects, keys: keys.filter { $0 != gone })
        #expect(try await CentralStore(gap).verifyAudit().fault?.object == keys[5001].path)
        // And one that was changed.
        objects[gone] = Array("{}".utf8)
        let changed = LongStore(objects: objects, keys: keys)
        #expect(try await CentralStore(changed).verifyAudit().fault?.object == gone.path)
    }

    /// What is kept of a chain to find the first fault is bounded.
    @Test func theFirstFaultIsKnownSoon() {
        func digest(_ number: Int) -> Digest { Digest(of: Array("\(number)".utf8)) }
        func links(changing changed: Int, to defect: String? = nil) -> AuditLinks {
            var links = AuditLinks(heads: [:])
            for number in 1...200 {
                links.append(
                    .init(
                        digest: number == changed ? digest(-number) : digest(number),
                        previous: number == 1 ? nil : digest(number - 1), defect: number == changed ? defect : nil))
            }
            return links
        }
        for changed in [1, 2, 63, 64, 65, 128, 199] {
            #expect(links(changing: changed).firstFault?.sequence == Int64(changed))
            #expect(links(changing: changed, to: "bad").firstFault?.message == "bad")
            #expect(links(changing: changed).isSettled == (changed < 137))
        }
        // Nothing follows the last, so nothing tells.
        #expect(links(changing: 200).firstFault == nil)
        #expect(links(changing: 200, to: "bad").firstFault?.sequence == 200)
    }
}
