import OCI
import ObjectStore
import Synchronization
import Testing
import Trust

@testable import Readiness

/// The chain of what was decided and done.
@Suite(.timeLimit(.minutes(5))) struct AuditTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory, backoff: { _ in }) }
    private var lab: EnvironmentName { get throws { try EnvironmentName("lab") } }

    private func event(_ action: AuditEvent.Action = .checked, by name: String = "operator@host") throws -> AuditEvent {
        var event = AuditEvent(action, Act(by: name, at: Fixture.now))
        event.environment = try lab
        return event
    }

    private func stageAndProve(_ list: ImageList, sequence: Int64 = 1) async throws {
        _ = try await store.stage(list, to: lab, of: Fixture.fleet(), act: Fixture.act)
        for site in ["site-1", "site-2"] {
            try await store.publish(
                try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list)),
                signedBy: Fixture.key(of: site))
        }
    }

    private var actions: [AuditEvent.Action] {
        get async throws { try await store.auditRecords(limit: 1000).map(\.event.action) }
    }

    private func object(_ sequence: Int64) async throws -> [UInt8] {
        try #require(try await memory.get(CentralStore.auditKey(sequence))).bytes
    }

    // MARK: The chain

    @Test func recordsFollowEachOther() async throws {
        let key = try PrivateKey.generate()
        let signing = CentralStore(memory, signingKey: key)
        for index in 0..<5 { try await (index == 2 ? signing : store).record(event(by: "person-\(index)@host")) }
        let records = try await store.auditRecords(limit: 10)
        #expect(records.map(\.sequence) == [1, 2, 3, 4, 5])
        #expect(records.map(\.event.by.user) == (0..<5).map { "person-\($0)" })
        #expect(records.map(\.previous) == [nil] + records.dropLast().map(\.digest))
        #expect(records.map(\.signer) == [nil, nil, key.publicKey, nil, nil])
        for record in records { #expect(try await Digest(of: object(record.sequence)) == record.digest) }
        let verification = try await store.verifyAudit()
        #expect(verification.fault == nil)
        #expect((verification.records, verification.signed) == (5, 1))
        #expect(try await store.auditEnd() == verification.end)
        #expect(verification.end == AuditHead(try #require(records.last)))
        #expect(try AuditHead(verification.end.description) == verification.end)
        #expect(try await store.auditRecords(limit: 2).map(\.sequence) == [4, 5])
    }

    @Test func anEventIsRecordedOnce() async throws {
        let event = try event()
        try await store.record(event)
        try await store.record(self.event())
        var outbox = Outbox()
        try outbox.add(event, after: 0, signedBy: nil)
        try await store.record(outbox, by: event.by)
        #expect(try await store.auditEnd().sequence == 2)
    }

    @Test func twentyConcurrentWritersFormOneChain() async throws {
        let store = store
        try await withThrowingTaskGroup { group in
            for writer in 0..<20 {
                let event = try event(by: "writer-\(writer)@host")
                group.addTask { try await store.record(event) }
            }
            try await group.waitForAll()
        }
        let records = try await store.auditRecords(limit: 100)
        #expect(Set(records.map(\.event.by.user)).count == 20)
        let verification = try await store.verifyAudit()
        #expect(verification.fault == nil)
        #expect(verification.records == 20)
    }

    /// The head is a hint: where it is behind, or not there, the chain is walked.
    @Test func aHeadThatIsBehindIsMadeUpFor() async throws {
        for _ in 0..<3 { try await store.record(event()) }
        let old = try #require(try await memory.get(CentralStore.auditHeadKey())).bytes
        for _ in 0..<3 { try await store.record(event()) }
        _ = try await memory.put(old, at: CentralStore.auditHeadKey(), condition: .none)
        #expect(try await store.record(event()).sequence == 7)
        try await memory.delete(CentralStore.auditHeadKey())
        #expect(try await store.record(event()).sequence == 8)
        #expect(try await store.verifyAudit().fault == nil)
    }

    // MARK: Changes

    /// One byte of each record in turn, anywhere in it: that record is named.
    @Test func aChangedByteIsFoundAtItsRecord() async throws {
        let signing = CentralStore(memory, signingKey: try PrivateKey.generate())
        for index in 0..<6 { try await (index % 2 == 0 ? store : signing).record(event()) }
        for sequence in 1...6 as ClosedRange<Int64> {
            let key = try CentralStore.auditKey(sequence)
            let intact = try await object(sequence)
            for position in stride(from: 0, to: intact.count, by: 41) {
                var damaged = intact
                damaged[position] ^= 1
                _ = try await memory.put(damaged, at: key, condition: .none)
                let fault = try await store.verifyAudit().fault
                #expect(fault?.object == key.path, "byte \(position) of record \(sequence): \(fault?.message ?? "")")
            }
            _ = try await memory.put(intact, at: key, condition: .none)
        }
        #expect(try await store.verifyAudit().fault == nil)
    }

    @Test func removedAndAddedRecordsAreFound() async throws {
        for _ in 0..<6 { try await store.record(event()) }
        let end = try await store.auditEnd()
        let (third, last) = (try await object(3), try await object(6))
        try await memory.delete(CentralStore.auditKey(3))
        #expect(try await store.verifyAudit().fault?.object == "audit/000000000004.json")
        _ = try await memory.put(third, at: CentralStore.auditKey(3), condition: .none)

        // The head knows how long the chain was.
        try await memory.delete(CentralStore.auditKey(6))
        #expect(try await store.verifyAudit().fault?.message.contains("the last 1 were removed") == true)
        await #expect { try await store.record(event()) } throws: { ($0 as? ReadinessError)?.code == .brokenChain }
        // Without it, whoever noted the end does.
        try await memory.delete(CentralStore.auditHeadKey())
        let shorter = try await store.verifyAudit()
        #expect(shorter.fault == nil)
        #expect(shorter.remarks.first?.contains("--head") == true)
        #expect(try await store.verifyAudit(knowing: end).fault?.object == "audit/000000000006.json")
        // Another record in its place does not help.
        try await store.record(event())
        #expect(try await store.verifyAudit().fault == nil)
        #expect(try await store.verifyAudit(knowing: end).fault?.object == "audit/000000000006.json")
        _ = try await memory.put(last, at: CentralStore.auditKey(6), condition: .none)
        try await memory.delete(CentralStore.auditHeadKey())

        _ = try await memory.put([1], at: ObjectKey("audit/notes.txt"), condition: .none)
        #expect(try await store.verifyAudit().fault?.object == "audit/notes.txt")
    }

    @Test func aChainThatWasWrittenAnewIsFoundByWhoNotedItsEnd() async throws {
        for index in 0..<3 { try await store.record(event(by: "a-\(index)@host")) }
        let end = try await store.auditEnd()
        let other = MemoryStore()
        for index in 0..<5 { try await CentralStore(other).record(event(by: "b-\(index)@host")) }
        let verification = try await CentralStore(other).verifyAudit(knowing: end)
        #expect(verification.fault?.object == "audit/000000000003.json")
        #expect(verification.fault?.message.contains("written anew") == true)
    }

    @Test func aSignatureOfAnotherKeyIsFound() async throws {
        try await store.record(event())
        let (mine, theirs) = (try PrivateKey.generate(), try PrivateKey.generate())
        let event = try event()
        let previous = try await store.auditEnd().digest
        let object = try AuditRecord.object(event, at: 2, after: previous, signedBy: mine)
        let document = try #require(try Envelope(ifEnvelope: object)).payload
        let forged = try Envelope(signing: document, as: Schema.auditRecord.payloadType, with: [theirs]).documentBytes()
        _ = try await memory.put(forged, at: CentralStore.auditKey(2), condition: .none)
        let fault = try await store.verifyAudit().fault
        #expect(fault?.object == "audit/000000000002.json")
        #expect(fault?.message.contains("signature") == true)
    }

    /// What a site has seen and signed cannot be taken out of the chain behind its back.
    @Test func aSiteIsAWitness() async throws {
        for _ in 0..<3 { try await store.record(event()) }
        let seen = try #require(try await store.witnessedEnd(after: nil))
        #expect(seen == (try await store.auditEnd()))
        let manifest = try CacheManifest(
            environment: lab, site: SiteName("site-1"), sequence: 1, issuedAt: Fixture.now,
            expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0", holdings: [], auditHead: seen)
        #expect(try CacheManifest(parsing: manifest.documentBytes()) == manifest)
        try await store.publish(manifest, signedBy: Fixture.key(of: "site-1"))
        try await store.record(event())
        #expect(try await store.verifyAudit().fault == nil)
        #expect(try await store.witnessedEnd(after: seen)?.sequence == 4)

        // Cut off, with the head.
        for sequence in 2...4 as ClosedRange<Int64> { try await memory.delete(CentralStore.auditKey(sequence)) }
        try await memory.delete(CentralStore.auditHeadKey())
        var fault = try await store.verifyAudit().fault
        #expect(fault?.object == "audit/000000000002.json")
        #expect(fault?.message.contains("as 'site-1' in 'lab' saw and signed") == true)
        // Written anew, and longer.
        for _ in 0..<5 { try await store.record(event()) }
        fault = try await store.verifyAudit().fault
        #expect(fault?.object == "audit/000000000003.json")
        #expect(fault?.message.contains("written anew") == true)
        // The witness remembers what it saw, and believes no head that names no record.
        #expect(try await store.witnessedEnd(after: AuditHead("9:\(Fixture.digest("x"))"))?.sequence == 9)
        _ = try await memory.put(
            Document.encode(AuditHead("99:\(Fixture.digest("x"))"), .invalidRecord), at: CentralStore.auditHeadKey(),
            condition: .none)
        #expect(try await store.witnessedEnd(after: seen) == seen)
        try await memory.delete(CentralStore.auditHeadKey())
        #expect(try await store.witnessedEnd(after: seen) == seen)
    }

    /// Any agent may create objects below `audit/` and write the head. One that leads to what is no record makes no witness see
    /// a record that never was, and keeps nobody from recording.
    @Test(arguments: ["anything", "", "a record that follows nothing"])
    func aForgedHeadIsNoRecord(_ content: String) async throws {
        for _ in 0..<5 { try await store.record(event()) }
        let (key, isRecord) = (try CentralStore.auditKey(999_999), content.contains("record"))
        let forged =
            isRecord
            ? try AuditRecord.object(event(), at: 999_999, after: Fixture.digest("nothing"), signedBy: nil)
            : Array(content.utf8)
        let end = try await store.auditEnd()
        let first = try #require(try await store.auditRecords(limit: 4).first).previous
        _ = try await memory.put(forged, at: key, condition: .none)
        _ = try await memory.put(
            Document.encode(AuditHead(sequence: 999_999, digest: Digest(of: forged)), .invalidRecord),
            at: CentralStore.auditHeadKey(), condition: .none)
        for seen in [nil, AuditHead(sequence: 1, digest: first), end] {
            #expect(try await store.witnessedEnd(after: seen) == end)
        }
        guard !isRecord else { return }
        #expect(try await store.auditEnd() == end)
        #expect(try await store.record(event()).sequence == 6)
        let head = try #require(try await memory.get(CentralStore.auditHeadKey()))
        #expect(try Document.decode(AuditHead.self, from: head.bytes, .brokenChain, in: nil).sequence == 6)
        // What was put there is named, and nothing else once it is gone.
        #expect(try await store.verifyAudit().fault?.object == key.path)
        try await memory.delete(key)
        #expect(try await store.verifyAudit().fault == nil)
    }

    /// What is no head at all counts for as much as none; and is replaced.
    @Test(arguments: [2, 100_000]) func whatIsNoHeadIsReplaced(_ count: Int) async throws {
        for _ in 0..<3 { try await store.record(event()) }
        let end = try await store.auditEnd()
        _ = try await memory.put(
            [UInt8](repeating: UInt8(ascii: "x"), count: count), at: CentralStore.auditHeadKey(), condition: .none)
        #expect(try await store.auditEnd() == end)
        #expect(try await store.witnessedEnd(after: nil) == end)
        #expect(try await store.record(event()).sequence == 4)
        #expect(try await store.verifyAudit().fault == nil)
    }

    /// A witness that is far behind catches up, so many records at a look; and believes neither of two that do not fit.
    @Test func aWitnessGoesFromRecordToRecord() async throws {
        var (previous, ends): (Digest?, [AuditHead]) = (nil, [])
        for sequence in 1...CentralStore.maximumWitnessed + 10 {
            let object = try AuditRecord.object(event(), at: sequence, after: previous, signedBy: nil)
            _ = try await memory.put(object, at: CentralStore.auditKey(sequence), condition: .none)
            previous = Digest(of: object)
            ends.append(AuditHead(sequence: sequence, digest: previous))
        }
        var seen = try await store.witnessedEnd(after: nil)
        #expect(seen?.sequence == CentralStore.maximumWitnessed)
        seen = try await store.witnessedEnd(after: seen)
        #expect(seen == ends.last)
        // The eighth was changed: the ninth does not follow it.
        let changed = try AuditRecord.object(event(by: "x@y"), at: 8, after: ends[6].digest, signedBy: nil)
        _ = try await memory.put(changed, at: CentralStore.auditKey(8), condition: .none)
        #expect(try await store.witnessedEnd(after: nil) == ends[6])
        #expect(try await store.witnessedEnd(after: seen) == seen)
    }

    /// What a site says of the chain counts with the site's signature: without keys it is said that nobody looked.
    @Test func witnessesAreCheckedWithTheFleetsKeys() async throws {
        let (fleet, lab) = (try Fixture.fleet(), try lab)
        for _ in 0..<3 { try await store.record(event()) }
        func publish(_ head: AuditHead, at site: String, signedBy signer: String?) async throws {
            let manifest = try CacheManifest(
                environment: lab, site: SiteName(site), sequence: 1, issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0", holdings: [], auditHead: head)
            try await store.publish(manifest, signedBy: signer.map { try Fixture.key(of: $0) })
        }
        let end = try await store.auditEnd()
        try await publish(end, at: "site-1", signedBy: "site-1")
        try await publish(end, at: "site-9", signedBy: "mallory")
        try await publish(end, at: "site-2", signedBy: nil)
        let unchecked = try await store.verifyAudit()
        #expect(unchecked.fault == nil)
        #expect(unchecked.siteManifests == 3 && unchecked.witnesses == 2 && unchecked.checkedWitnesses == 0)
        #expect(unchecked.remarks.contains { $0.contains("the signatures of 2 were not checked") })
        let checked = try await store.verifyAudit(fleet: fleet)
        #expect(checked.fault == nil)
        #expect(checked.witnesses == 2 && checked.checkedWitnesses == 1)
        #expect(checked.remarks.contains { $0.contains("the signatures of 1 were not checked") })

        // Somebody writes a witness of a site that has a key, to hide that records are gone.
        try await publish(end, at: "site-2", signedBy: "mallory")
        #expect(try await store.verifyAudit().fault == nil)
        #expect(try await store.verifyAudit(fleet: fleet).fault?.object == "environments/lab/sites/site-2.json")
    }

    // MARK: What is recorded

    @Test func everyStepLeavesItsRecord() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try lab)
        _ = try await store.stage(list, to: EnvironmentName("production"), of: fleet, act: Fixture.act)
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        _ = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        _ = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act, isDryRun: true)
        _ = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        _ = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        _ = try await store.forget(SiteName("site-2"), in: lab, act: Fixture.act)
        #expect(
            try await actions == [
                .stagingRefused, .staged, .keysChanged, .checked, .promotionRefused, .checked, .promoted,
                .siteForgotten,
            ])
        let records = try await store.auditRecords(limit: 100)
        #expect(try await store.verifyAudit().fault == nil)

        let promotion = records[6].event
        #expect(promotion.generation == list.generation)
        #expect(promotion.ready == true)
        #expect(promotion.by == AuditEvent.Actor("operator@host"))
        #expect(promotion.sites.map(\.site.text) == ["site-1", "site-2"])
        for site in promotion.sites {
            let object = try await memory.get(CentralStore.key(of: site.site, in: lab))
            if site.site.text == "site-1" { #expect(object.map { Digest(of: $0.bytes) } == site.manifest) }
            #expect(site.sequence == 1)
        }
        #expect(
            promotion.evidence.map(\.object) == ["environments/lab/record.json", "environments/lab/gate.json"])
        #expect(records[4].event.sites.map(\.reasons) == [["silent"], ["silent"]])
        #expect(records[2].event.details.keys.sorted() == ["site-1", "site-2"])
    }

    /// What repeats itself is recorded once, however many ask.
    @Test func checksAreRecordedWhenTheirAnswerChanges() async throws {
        let (list, fleet, lab, store) = (try Fixture.list(), try Fixture.fleet(), try lab, store)
        try await stageAndProve(list)
        try await withThrowingTaskGroup { group in
            for _ in 0..<20 {
                group.addTask { _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act) }
            }
            try await group.waitForAll()
        }
        #expect(try await actions == [.staged, .keysChanged, .checked])
        try await stageAndProve(list, sequence: 2)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        #expect(try await actions.count == 3)
        let missing = Fixture.holding(list, missing: [list.closure.entries[0]])
        try await store.publish(
            try Fixture.manifest(of: "site-1", sequence: 3, missing), signedBy: Fixture.key(of: "site-1"))
        for _ in 0..<3 { _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act) }
        #expect(try await actions == [.staged, .keysChanged, .checked, .checked])
        #expect(try await store.verifyAudit().fault == nil)
    }

    @Test func changedKeysAreRecorded() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try lab)
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        let key = try PrivateKey.generate().publicKey
        let place = try fleet.environment(lab)
        let sites = place.sites.map { site in
            site.name.text == "site-1"
                ? Fleet.Site(name: site.name, registry: site.registry, keys: [.init(key)]) : site
        }
        let changed = try Fleet(
            objectStore: fleet.objectStore, environments: [Fleet.Environment(name: lab, sites: sites)])
        let verdict = try await store.check(list.name, in: lab, of: changed, act: Fixture.act)
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[.wronglySigned], []])
        let event = try #require(
            try await store.auditRecords(limit: 100).last { $0.event.action == .keysChanged }?.event)
        let old = try Fixture.key(of: "site-1").publicKey
        #expect(event.details["site-1"] == "added \(key.id), removed \(old.id)")
    }

    @Test func filtersNarrowTheLog() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try lab)
        let other = try Fixture.list("other")
        try await stageAndProve(list)
        _ = try await store.stage(
            other, to: lab, of: fleet, act: Act(by: "someone@else", at: Fixture.now.advanced(by: .seconds(60))))
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        _ = try await store.check(other.name, in: lab, of: fleet, act: Fixture.act)
        func count(_ change: (inout CentralStore.AuditFilter) throws -> Void) async throws -> Int {
            var filter = CentralStore.AuditFilter()
            try change(&filter)
            return try await store.auditRecords(filter, limit: 100).count
        }
        #expect(try await count { _ in } == 5)
        #expect(try await count { $0.environment = try EnvironmentName("production") } == 0)
        #expect(try await count { $0.list = other.name } == 2)
        #expect(try await count { $0.person = "someone" } == 1)
        #expect(try await count { $0.person = "someone@else" } == 1)
        #expect(try await count { $0.person = "someone@host" } == 0)
        #expect(try await count { $0.since = Fixture.now.advanced(by: .seconds(1)) } == 1)
        #expect(try await count { $0.until = Fixture.now } == 4)
        // Blocked by this site.
        #expect(try await count { $0.site = try SiteName("site-2") } == 1)
    }

    // MARK: Crashes

    /// The process dies between the swap and its record: whoever comes next records it, once, in the dead one's name.
    @Test func whatACrashLeftUnrecordedIsRecordedNext() async throws {
        let (list, fleet, lab, store) = (try Fixture.list(), try Fixture.fleet(), try lab, store)
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        let before = try await store.auditEnd().sequence
        memory.failPuts { $0.path.hasPrefix("audit/") }
        await #expect {
            _ = try await store.promote(
                list.name, in: lab, of: fleet, act: Act(by: "victim@host", at: Fixture.now))
        } throws: {
            ($0 as? ReadinessError)?.code == .unrecorded && "\($0)".contains("'platform' is promoted in 'lab', but")
        }
        memory.failPuts(nil)
        #expect(try await store.record(of: lab).record.lists[list.name]?.promoted != nil)
        #expect(try await store.auditEnd().sequence == before)
        let verification = try await store.verifyAudit()
        #expect(verification.fault == nil)
        #expect(verification.remarks.contains { $0.contains("1 events are not in the chain yet") })

        try await withThrowingTaskGroup { group in
            for _ in 0..<10 {
                group.addTask { _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act) }
            }
            try await group.waitForAll()
        }
        let records = try await store.auditRecords(limit: 100)
        #expect(records.filter { $0.event.action == .promoted }.map(\.event.by.user) == ["victim"])
        #expect(try await store.record(of: lab).record.outbox.isEmpty)
        #expect(try await store.verifyAudit().remarks.isEmpty)
    }

    /// The process dies after the record and before its event is taken out of the object: it is not recorded again.
    @Test func whatWasRecordedIsNotRecordedAgain() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try lab)
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        let record = try CentralStore.recordKey(of: lab)
        let swaps = Mutex(0)
        memory.failPuts { key in
            key == record
                && swaps.withLock {
                    $0 += 1; return $0 > 1
                }
        }
        await #expect(throws: ReadinessError.self) {
            try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        }
        memory.failPuts(nil)
        #expect(try await !store.record(of: lab).record.outbox.isEmpty)
        _ = try await store.stage(Fixture.list("other"), to: lab, of: fleet, act: Fixture.act)
        #expect(try await actions.count { $0 == .promoted } == 1)
        #expect(try await store.record(of: lab).record.outbox.isEmpty)
    }

    @Test func aRecordThatWasChangedByHandIsFound() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try lab)
        try await stageAndProve(list)
        _ = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        #expect(try await store.verifyAudit().fault == nil)
        var current = try await store.record(of: lab)
        current.record.promote(.init(to: try Fixture.list(tag: "9"), by: "nobody@host", at: Fixture.now), as: list.name)
        #expect(try await store.swap(current.record, against: current.etag))
        let fault = try await store.verifyAudit().fault
        #expect(fault?.object == "environments/lab/record.json")
        #expect(fault?.message.contains("not changed by Rollcall") == true)
    }

    // MARK: Rollback

    @Test func aRollbackReturnsThroughTheSameGate() async throws {
        let (one, two, fleet, lab) = (try Fixture.list(), try Fixture.list(tag: "2"), try Fixture.fleet(), try lab)
        func promote(_ move: Move = .promotion, dry: Bool = false) async throws -> PromotionOutcome {
            try await store.promote(one.name, in: lab, of: fleet, act: Fixture.act, move: move, isDryRun: dry)
        }
        guard case .refused(let verdict) = try await promote(.rollback) else {
            Issue.record("there is nothing to return to")
            return
        }
        #expect(verdict.reasons.map(\.code) == [.nothingBefore])
        for (sequence, list) in [(1, one), (2, two)] as [(Int64, ImageList)] {
            try await stageAndProve(list, sequence: sequence)
            guard case .promoted = try await promote() else {
                Issue.record("what every site proved is promoted")
                return
            }
        }
        // The sites hold the second generation only.
        guard case .refused(let blocked) = try await promote(.rollback) else {
            Issue.record("what sites do not hold now is not returned to")
            return
        }
        #expect(blocked.judged?.generation == one.generation)
        #expect(blocked.sites.map { $0.reasons.map(\.code) } == [[.otherGeneration], [.otherGeneration]])

        for site in ["site-1", "site-2"] {
            try await store.publish(
                try Fixture.manifest(of: site, sequence: 3, Fixture.holding(one), Fixture.holding(two)),
                signedBy: Fixture.key(of: site))
        }
        guard case .possible = try await promote(.rollback, dry: true) else {
            Issue.record("a dry run says what would be")
            return
        }
        #expect(try await store.record(of: lab).record.lists[one.name]?.promoted?.generation == two.generation)
        guard case .promoted(let pointer, _) = try await promote(.rollback) else {
            Issue.record("what every site holds is returned to")
            return
        }
        #expect(pointer.generation == one.generation)
        let state = try #require(try await store.record(of: lab).record.lists[one.name])
        #expect(state.promoted == pointer)
        #expect(state.history.isEmpty)
        // What was rolled back does not climb on.
        guard case .refused = try await store.stage(two, to: EnvironmentName("production"), of: fleet, act: Fixture.act)
        else {
            Issue.record("what was rolled back must not climb the ladder")
            return
        }
        #expect(try await actions.suffix(3) == [.rollbackRefused, .rolledBack, .stagingRefused])
        #expect(try await store.verifyAudit().fault == nil)
    }

    @Test func sitesKeepWhatMayBeReturnedTo() throws {
        var record = EnvironmentRecord(environment: try lab)
        let lists = try (0..<4).map { try Fixture.list(tag: "\($0)") }
        for list in lists { record.promote(.init(to: list, by: "a@b", at: Fixture.now), as: list.name) }
        let staged = try Fixture.list(tag: "9")
        record.stage(.init(to: staged, by: "a@b", at: Fixture.now), as: staged.name)
        #expect(record.retainedGenerations == Set([staged, lists[3], lists[2]].map(\.generation)))
        record.rollbackDepth = 0
        #expect(record.retainedGenerations == Set([staged, lists[3]].map(\.generation)))
        record.rollbackDepth = 99
        #expect(record.retainedGenerations == Set((lists + [staged]).map(\.generation)))
    }

    /// Another coordinator's decisions tell that our clock is behind.
    @Test func aClockThatIsBehindBlocks() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try lab)
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
        let late = Act(by: "operator@host", at: Fixture.now.advanced(by: .seconds(-3600)))
        let verdict = try await store.check(list.name, in: lab, of: fleet, act: late)
        #expect(!verdict.isReady)
        #expect(verdict.reasons.map(\.code) == [.clockSkew])
        #expect(verdict.sites.allSatisfy { $0.reasons.map(\.code) == [.clockSkew] })
    }
}
