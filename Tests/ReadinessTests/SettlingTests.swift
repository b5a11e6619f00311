import OCI
import ObjectStore
import Testing
import Trust

@testable import Readiness

/// What lies in an outbox was written by whoever can write to the store: nobody's signature is added to it.
@Suite(.timeLimit(.minutes(5))) struct SettlingTests {
    private let memory = MemoryStore()
    private let key: PrivateKey
    private let lab: EnvironmentName
    private let fleet: Fleet

    init() throws {
        key = try Fixture.key(of: "operator")
        lab = try EnvironmentName("lab")
        fleet = try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [Fixture.environment("lab"), Fixture.environment("production")],
            coordinators: [.init(name: CoordinatorName("pipeline"), keys: [.init(key.publicKey)])])
    }

    private var store: CentralStore { CentralStore(memory, signingKey: key, backoff: { _ in }) }
    private var act: Act { Act(by: "operator@host", at: Fixture.now, key: key.publicKey) }

    private func stageAndProve(_ list: ImageList, sequence: Int64 = 1) async throws {
        _ = try await store.stage(list, to: lab, of: fleet, act: act)
        for site in ["site-1", "site-2"] {
            try await store.publish(
                try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list)),
                signedBy: Fixture.key(of: site))
        }
    }

    private var records: [AuditRecord] { get async throws { try await store.auditRecords(limit: 100) } }

    /// The reply to the swap gets lost, and another coordinator settles or changes the record before anyone looks: whether
    /// the swap happened is in the outbox or in the chain.
    @Test(arguments: [true, false], [true, false])
    func aPromotionWhoseReplyWasLost(isCarriedOut: Bool, isSettled: Bool) async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: act)
        let other = try Fixture.list("other")
        let another = CentralStore(memory, signingKey: key, backoff: { _ in })
        memory.loseReply(to: try CentralStore.recordKey(of: lab), isCarriedOut: isCarriedOut) {
            if isSettled {
                // Settles what it finds, and changes another list.
                _ = try await another.stage(other, to: lab, of: fleet, act: act)
            } else {
                var current = try await another.record(of: lab)
                current.record.stage(.init(to: other, by: "other@host", at: Fixture.now), as: other.name)
                #expect(try await another.swap(current.record, against: current.etag))
            }
        }
        let outcome = try await store.promote(list.name, in: lab, of: fleet, act: act)
        guard case .promoted(let pointer, _) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(pointer.generation == list.generation)
        let lists = try await store.record(of: lab).record.lists
        #expect(lists[list.name]?.promoted == pointer)
        #expect(lists[other.name]?.staged?.generation == other.generation)
        #expect(try await records.count { $0.event.action == .promoted } == 1)
        #expect(try await records.count { $0.event.action == .promotionRefused } == 0)
        #expect(try await store.verifyAudit(fleet: fleet).fault == nil)
    }

    /// What a check notes is noted once, whatever became of the first reply.
    @Test(arguments: [true, false]) func aCheckWhoseReplyWasLost(isCarriedOut: Bool) async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        memory.loseReply(to: try CentralStore.memoryKey(of: lab), isCarriedOut: isCarriedOut) {}
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act).isReady)
        #expect(try await records.count { $0.event.action == .checked } == 1)
    }

    /// What is done with a key is signed by it, also where another records it, who is named.
    @Test func whoDidItSignsItAndWhoRecordsItIsNamed() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: act)
        memory.failPuts { $0.path.hasPrefix("audit/") }
        await #expect(throws: ReadinessError.self) {
            try await store.promote(list.name, in: lab, of: fleet, act: act)
        }
        memory.failPuts(nil)
        let (other, another) = (try PrivateKey.generate(), CentralStore(memory, backoff: { _ in }))
        let settling = CentralStore(memory, signingKey: other, backoff: { _ in })
        let visitor = Act(by: "visitor@elsewhere", at: Fixture.now, key: other.publicKey)
        _ = try await settling.check(list.name, in: lab, of: fleet, act: visitor)
        let promotion = try #require(try await records.first { $0.event.action == .promoted })
        #expect(promotion.signer == key.publicKey)
        #expect(promotion.event.by.text == "operator@host")
        #expect(promotion.settledBy == AuditEvent.Actor("visitor@elsewhere", key: other.publicKey))
        #expect(try await records.filter { $0.event.by.user == "operator" }.allSatisfy { $0.signer == key.publicKey })
        let verification = try await another.verifyAudit(fleet: fleet)
        #expect(verification.fault == nil)
        #expect(verification.strangerCount == 0)
        #expect(verification.vouched == verification.records)
    }

    /// A promotion that somebody writes into the record by hand, in the name and with the public key of who may promote.
    @Test(arguments: [false, true]) func aForgedPromotionIsNotSignedByWhoFindsIt(isSignedByTheForger: Bool) async throws
    {
        let list = try Fixture.list()
        try await stageAndProve(list)
        var current = try await store.record(of: lab)
        current.record.promote(.init(to: list, by: "alice@bank", at: Fixture.now), as: list.name)
        let forger = try PrivateKey.generate()
        let claimed = isSignedByTheForger ? forger.publicKey : key.publicKey
        var event = AuditEvent(.promoted, Act(by: "alice@bank", at: Fixture.now, key: claimed))
        (event.environment, event.list, event.generation) = (lab, list.name, list.generation)
        try current.record.outbox.add(event, after: 0, signedBy: isSignedByTheForger ? forger : nil)
        #expect(try await store.swap(current.record, against: current.etag))

        _ = try await store.check(list.name, in: lab, of: fleet, act: act)
        let forged = try #require(try await records.first { $0.event.action == .promoted })
        #expect(forged.signer == (isSignedByTheForger ? forger.publicKey : nil))
        #expect(forged.settledBy?.text == "operator@host")
        let verification = try await store.verifyAudit(fleet: fleet)
        #expect(verification.fault == nil)
        #expect(verification.strangers == [forged.sequence])
        #expect(verification.strangerCount == 1)
        #expect(verification.vouched == verification.records - 1)
        // Who has looked at it notes the end.
        #expect(try await store.verifyAudit(knowing: verification.end, fleet: fleet).strangerCount == 0)
    }

    /// A statement whose signature is another's cannot be read at all.
    @Test func aStatementOfAnotherKeyIsRefused() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act)
        var event = AuditEvent(.promoted, act)
        (event.environment, event.list) = (lab, list.name)
        var current = try await store.record(of: lab)
        try current.record.outbox.add(event, after: 0, signedBy: Fixture.key(of: "mallory"))
        #expect(try await store.swap(current.record, against: current.etag))
        await #expect {
            try await store.check(list.name, in: lab, of: fleet, act: act)
        } throws: {
            "\($0)".contains("environments/lab/record.json: its statement's signature is not that of the key")
        }
    }

    /// Whoever reads the ID of what is still to be recorded, and chains something else under it, hides nothing.
    @Test func anotherEventOfTheSameIDTakesNoPlace() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        _ = try await store.check(list.name, in: lab, of: fleet, act: act)
        memory.failPuts { $0.path.hasPrefix("audit/") }
        await #expect(throws: ReadinessError.self) {
            try await store.promote(list.name, in: lab, of: fleet, act: act)
        }
        memory.failPuts(nil)
        let pending = try #require(try await store.record(of: lab).record.outbox.events.first)
        // Of the same text, but for what it says.
        let copy = try Document.encode(pending.event, .invalidRecord)
        let text = String(decoding: copy, as: UTF8.self).replacing("\"promoted\"", with: "\"checked\"")
        let other = try Document.decode(AuditEvent.self, from: Array(text.utf8), .invalidRecord, in: nil)
        #expect(other.id == pending.event.id && other != pending.event)
        try await CentralStore(memory).record(other)

        _ = try await store.check(list.name, in: lab, of: fleet, act: act)
        #expect(try await records.contains { $0.event == pending.event && $0.signer == key.publicKey })
        let fault = try await store.verifyAudit(fleet: fleet).fault
        #expect(fault?.message.contains("the ID of its event") == true)
    }

    /// What was signed once is not recorded as something that happened again.
    @Test func aStatementIsRecordedOnce() async throws {
        let (one, two) = (try Fixture.list(), try Fixture.list(tag: "2"))
        try await stageAndProve(one)
        _ = try await store.check(one.name, in: lab, of: fleet, act: act)
        memory.failPuts { $0.path.hasPrefix("audit/") }
        await #expect(throws: ReadinessError.self) { try await store.promote(one.name, in: lab, of: fleet, act: act) }
        memory.failPuts(nil)
        let old = try await store.record(of: lab).record.outbox
        #expect(!old.isEmpty)
        try await stageAndProve(two, sequence: 2)
        _ = try await store.promote(two.name, in: lab, of: fleet, act: act)
        let before = try await records.count
        var current = try await store.record(of: lab)
        current.record.promote(.init(to: one, by: "operator@host", at: Fixture.now), as: one.name)
        current.record.outbox = old
        #expect(try await store.swap(current.record, against: current.etag))
        let settled = try await store.settledRecord(of: fleet.environment(lab), act: act)
        #expect(settled.record.outbox.isEmpty)
        #expect(try await records.count == before)
        #expect(try await store.verifyAudit(fleet: fleet).fault?.object == "environments/lab/record.json")
    }

    // MARK: Whose signatures count

    /// Anybody who can write to the store can chain a record that is signed with a key of their own.
    @Test func aSignatureOfNobodysKeyIsNamed() async throws {
        try await store.record(AuditEvent(.staged, act))
        let mallory = try Fixture.key(of: "mallory")
        var event = AuditEvent(.promoted, Act(by: "operator@host", at: Fixture.now, key: mallory.publicKey))
        event.environment = lab
        try await CentralStore(memory, signingKey: mallory).record(event)
        try await CentralStore(memory).record(AuditEvent(.staged, act))
        let verification = try await store.verifyAudit(fleet: fleet)
        #expect(verification.fault == nil)
        #expect((verification.signed, verification.vouched, verification.strangers) == (2, 1, [2, 3]))
        // Without a fleet file nobody can tell, and one that names no coordinators says so.
        #expect(try await store.verifyAudit().vouched == nil)
        let silent = try await store.verifyAudit(fleet: Fixture.fleet())
        #expect((silent.vouched, silent.strangerCount) == (0, 0))
        #expect(silent.remarks.contains { $0.contains("'coordinators'") })
    }

    /// What an agent did is signed by its own site's key.
    @Test func agentsAreHeldToTheirSitesKeys() async throws {
        func record(_ action: AuditEvent.Action, of site: String, signedBy signer: String?) async throws {
            let key = try signer.map { try Fixture.key(of: $0) }
            var event = AuditEvent(action, Act(by: "agent@\(site)", at: Fixture.now, key: key?.publicKey))
            (event.environment, event.site) = (lab, try SiteName(site))
            try await CentralStore(memory, signingKey: key).record(event)
        }
        try await record(.siteComplete, of: "site-1", signedBy: "site-1")
        try await record(.siteComplete, of: "site-1", signedBy: "site-2")
        try await record(.sitePruned, of: "site-1", signedBy: "operator")
        try await record(.sitePruned, of: "site-2", signedBy: nil)
        // Of a site that the file does not name nobody can tell.
        try await record(.siteIncomplete, of: "site-9", signedBy: "mallory")
        // An agent decides nothing.
        try await record(.promoted, of: "site-1", signedBy: "site-1")
        let verification = try await store.verifyAudit(fleet: fleet)
        #expect(verification.strangers == [2, 3, 4, 6])
        #expect(verification.vouched == 1)
    }

    /// Who may give waivers may say so, and nothing else.
    @Test func approversSignTheirWaivers() async throws {
        let jane = try Fixture.key(of: "jane")
        let fleet = try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"), environments: [Fixture.environment()],
            approvers: [.init(name: ApproverName("jane"), keys: [.init(jane.publicKey)])],
            coordinators: fleet.coordinators)
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act)
        let waiver = try Waiver(
            environment: lab, site: SiteName("site-1"), list: list.name, generation: list.generation, reason: "late",
            approver: ApproverName("jane"), issuedAt: Fixture.now, expiresAt: Fixture.now.advanced(by: .seconds(60)))
        try await CentralStore(memory).add(waiver, signedBy: jane, of: fleet, act: Fixture.act)
        let signing = CentralStore(memory, signingKey: jane)
        #expect(try await signing.revoke(waiver: waiver.id, in: lab, act: Fixture.act))
        #expect(try await store.verifyAudit(fleet: fleet).strangers == [])
        #expect(try await store.verifyAudit(fleet: fleet).vouched == 3)
        try await signing.record(AuditEvent(.promoted, Fixture.act))
        #expect(try await store.verifyAudit(fleet: fleet).strangers == [4])
    }

    /// A key proves nothing after its end, by the times of those records that somebody else signed.
    @Test func aKeyThatHasEndedSignsNothingLater() async throws {
        let (old, new) = (try Fixture.key(of: "old"), try Fixture.key(of: "new"))
        let fleet = try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"), environments: [Fixture.environment()],
            coordinators: [
                .init(
                    name: CoordinatorName("pipeline"),
                    keys: [.init(old.publicKey, notAfter: Fixture.now), .init(new.publicKey)])
            ])
        for (key, hours) in [(old, 0), (old, 1), (new, 2), (old, 0)] {
            let at = Fixture.now.advanced(by: .seconds(hours * 3600))
            try await CentralStore(memory, signingKey: key).record(
                AuditEvent(.staged, Act(by: "a@b", at: at, key: key.publicKey)))
        }
        // The second says that it is later, the fourth comes after one that is.
        #expect(try await store.verifyAudit(fleet: fleet).strangers == [2, 4])
    }

    /// A machine whose clock is a year ahead is refused, which is recorded by its own time: that ends no other key.
    @Test func aRefusalByAWrongClockEndsNoKey() async throws {
        let (laptop, pipeline) = (try Fixture.key(of: "laptop"), try Fixture.key(of: "operator"))
        let end = Fixture.now.advanced(by: .seconds(86_400))
        let fleet = try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [Fixture.environment("lab"), Fixture.environment("production")],
            coordinators: [
                .init(name: CoordinatorName("laptop"), keys: [.init(laptop.publicKey)]),
                .init(name: CoordinatorName("pipeline"), keys: [.init(pipeline.publicKey, notAfter: end)]),
            ])
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act)
        let ahead = Act(by: "dana@laptop", at: Fixture.now.advanced(by: .seconds(86_400 * 365)), key: laptop.publicKey)
        let wrong = CentralStore(memory, signingKey: laptop, backoff: { _ in })
        memory.setClockLead(.seconds(-86_400 * 365))
        guard case .refused = try await wrong.stage(Fixture.list(tag: "2"), to: lab, of: fleet, act: ahead),
            case .refused = try await wrong.promote(list.name, in: lab, of: fleet, act: ahead)
        else {
            Issue.record("nothing is done by a clock that is a year ahead")
            return
        }
        memory.setClockLead(nil)
        let last = try #require(try await store.auditRecords(limit: 1).first)
        #expect(last.event.reasons.contains("clock-skew"))
        try await store.record(AuditEvent(.checked, act))
        #expect(try await store.verifyAudit(fleet: fleet).strangers == [])
    }

    @Test func aKeyIsOneParty() throws {
        let key = try Fixture.key(of: "site-1").publicKey
        #expect(throws: ReadinessError.self) {
            try Fleet(
                objectStore: ObjectStoreLocation("file:///srv/rollcall"), environments: [Fixture.environment()],
                coordinators: [.init(name: CoordinatorName("pipeline"), keys: [.init(key)])])
        }
        let operatorKey = try Fixture.key(of: "operator").publicKey
        #expect(throws: ReadinessError.self) {
            try Fleet(
                objectStore: ObjectStoreLocation("file:///srv/rollcall"), environments: [Fixture.environment()],
                approvers: [.init(name: ApproverName("jane"), keys: [.init(operatorKey)])],
                coordinators: [.init(name: CoordinatorName("pipeline"), keys: [.init(operatorKey)])])
        }
    }
}
