import OCI
import ObjectStore
import Testing
import Trust

@testable import Readiness

/// Exceptions: they count exactly where and as long as they say, and are shown wherever they do.
@Suite(.timeLimit(.minutes(5))) struct WaiverTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory, backoff: { _ in }) }
    private var lab: EnvironmentName { get throws { try EnvironmentName("lab") } }

    /// A fleet whose approvers are jane and john.
    private func fleet(keyEnd: Timestamp? = nil) throws -> Fleet {
        try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [Fixture.environment("lab"), Fixture.environment("production")],
            approvers: ["jane", "john"].map {
                Fleet.Approver(
                    name: try ApproverName($0), keys: [.init(try Fixture.key(of: $0).publicKey, notAfter: keyEnd)])
            })
    }

    private func waiver(
        id: String? = nil, environment: String = "lab", site: String = "site-2", list: ImageList,
        approver: String = "jane", issued: Duration = .seconds(-60), expires: Duration = .seconds(3600)
    ) throws -> Waiver {
        try Waiver(
            id: id, environment: EnvironmentName(environment), site: SiteName(site), list: list.name,
            generation: list.generation, reason: "the link is down", approver: ApproverName(approver),
            issuedAt: Fixture.now.advanced(by: issued), expiresAt: Fixture.now.advanced(by: expires))
    }

    private func stageAndProve(_ list: ImageList, at sites: [String] = ["site-1"], sequence: Int64 = 1) async throws {
        _ = try await store.stage(list, to: lab, of: fleet(), act: Fixture.act)
        for site in sites {
            try await store.publish(
                try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list)),
                signedBy: Fixture.key(of: site))
        }
    }

    /// Puts a waiver where waivers are, past every check.
    private func plant(_ waiver: Waiver, signedBy signer: String, in environment: String = "lab", as id: String? = nil)
        async throws
    {
        _ = try await memory.put(
            waiver.objectBytes(signedBy: Fixture.key(of: signer)),
            at: CentralStore.key(ofWaiver: id ?? waiver.id, in: EnvironmentName(environment)), condition: .none)
    }

    private func check(_ list: ImageList, at now: Timestamp = Fixture.now, fleet: Fleet? = nil) async throws -> Verdict
    {
        try await store.check(
            list.name, in: lab, of: fleet ?? self.fleet(), act: Act(by: "operator@host", at: now))
    }

    @Test func aWaiverTakesThePlaceOfProofAndIsShown() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        #expect(try await check(list).sites.map { $0.reasons.map(\.code) } == [[], [.silent]])
        let waiver = try waiver(list: list)
        try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        let verdict = try await check(list)
        #expect(verdict.isReady)
        #expect(verdict.waivers == [waiver])
        // What is waived is still told.
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[], [.silent]])
        guard case .promoted = try await store.promote(list.name, in: lab, of: fleet(), act: Fixture.act) else {
            Issue.record("what is proved or waived everywhere is promoted")
            return
        }
        let records = try await store.auditRecords(limit: 100).map(\.event)
        #expect(records.map(\.action) == [.staged, .keysChanged, .checked, .waiverAdded, .checked, .promoted])
        #expect(records[3].details["reason"] == "the link is down")
        #expect(records[1].details.keys.contains("approver jane"))
        for event in records.suffix(2) {
            #expect(event.sites.map(\.waiver) == [nil, waiver.id])
            #expect(event.sites.map(\.reasons) == [[], ["silent"]])
            #expect(event.evidence.map(\.object).contains("environments/lab/waivers/\(waiver.id).json"))
        }
        // Where the site proves what it has to, its waiver is not needed, and not named.
        try await store.publish(
            try Fixture.manifest(of: "site-2", Fixture.holding(list)), signedBy: Fixture.key(of: "site-2"))
        #expect(try await check(list).waivers == [])
    }

    @Test func aWaiverEnds() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        let waiver = try waiver(list: list, expires: .seconds(200))
        try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        #expect(try await check(list, at: waiver.expiresAt.advanced(by: .seconds(-1))).isReady)
        let late = try await check(list, at: waiver.expiresAt)
        #expect(!late.isReady)
        #expect(late.sites[1].reasons.map(\.code) == [.silent, .waiverExpired])

        #expect(try await check(list).isReady)
        #expect(try await store.revoke(waiver: waiver.id, in: lab, act: Fixture.act))
        #expect(try await !store.revoke(waiver: waiver.id, in: lab, act: Fixture.act))
        #expect(try await check(list).sites[1].reasons.map(\.code) == [.silent, .waiverRevoked])
        let record = try #require(try await store.auditRecords(limit: 100).last { $0.event.action == .waiverRevoked })
        #expect(record.event.site?.text == "site-2")
        #expect(record.event.details == ["waiver": waiver.id])
        for id in ["000000000000", "x", "../record"] {
            await #expect {
                try await store.revoke(waiver: id, in: lab, act: Fixture.act)
            } throws: {
                ($0 as? ReadinessError)?.code == .invalidWaiver
            }
        }
    }

    /// Where the store's clock cannot be asked, nothing is taken back, and the chain does not say that it was.
    @Test func whatIsNotTakenBackIsNotRecorded() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        let waiver = try waiver(list: list)
        try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        memory.failClock(with: ObjectStoreError(.unavailable, "down", at: "the clock"))
        await #expect(throws: ObjectStoreError.self) {
            try await store.revoke(waiver: waiver.id, in: lab, act: Fixture.act)
        }
        memory.failClock(with: nil)
        #expect(try await !store.auditRecords(limit: 100).contains { $0.event.action == .waiverRevoked })
        #expect(try await check(list).isReady)
    }

    /// Whoever deletes objects brings no waiver back: the waiver is gone, its revocation and the gate's memory both tell.
    @Test(arguments: ["the revocation", "the memory", "both"]) func aRevocationStays(_ deleted: String) async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        let waiver = try waiver(list: list)
        try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        let place = try CentralStore.key(ofWaiver: waiver.id, in: lab)
        let signed = try #require(try await memory.get(place)).bytes
        #expect(try await check(list).isReady)
        #expect(try await store.revoke(waiver: waiver.id, in: lab, act: Fixture.act))
        #expect(try await memory.get(place) == nil)
        #expect(try await store.verifyAudit().fault == nil)

        if deleted != "the memory" { try await memory.delete(CentralStore.key(ofRevocation: waiver.id, in: lab)) }
        if deleted != "the revocation" { try await memory.delete(CentralStore.memoryKey(of: lab)) }
        #expect(try await !check(list).isReady)
        // Not even with the waiver itself put back, unless everything else is gone too; then the chain tells.
        _ = try await memory.put(signed, at: place, condition: .none)
        #expect(try await check(list).isReady == (deleted == "both"))
        let fault = try await store.verifyAudit().fault
        #expect(fault?.object == (deleted == "the memory" ? nil : place.path))
        #expect(try await store.revoke(waiver: waiver.id, in: lab, act: Fixture.act) == (deleted != "the memory"))
        #expect(try await memory.get(place) == nil)
        #expect(try await !check(list).isReady)
        #expect(try await store.verifyAudit().fault == nil)
    }

    @Test func anotherGenerationIsNotWaived() async throws {
        let (one, two) = (try Fixture.list(), try Fixture.list(tag: "2"))
        try await stageAndProve(one)
        try await store.add(waiver(list: one), signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        #expect(try await check(one).isReady)
        try await stageAndProve(two, sequence: 2)
        let verdict = try await check(two)
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[], [.silent, .waiverMismatched]])
        #expect(verdict.sites[1].reasons.last?.message.contains(one.generation.short) == true)
        // A waiver for it counts, whatever there is beside.
        try await store.add(
            waiver(list: two, approver: "john"), signedBy: Fixture.key(of: "john"), of: fleet(), act: Fixture.act)
        #expect(try await check(two).isReady)
    }

    struct Forgery: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let words: String
        var signer = "jane"
        var place = "lab"
        var id: String?
        var keyEnd: Timestamp?
        let waiver: @Sendable (WaiverTests, ImageList) throws -> Waiver
    }

    static let forgeries = [
        Forgery(testDescription: "signed by nobody known", words: "no approver", signer: "mallory") {
            try $0.waiver(list: $1)
        },
        Forgery(testDescription: "signed by a site", words: "no approver", signer: "site-2") {
            try $0.waiver(list: $1)
        },
        Forgery(
            testDescription: "signed by another approver", words: "it names 'jane', and 'john' signed it",
            signer: "john"
        ) { try $0.waiver(list: $1) },
        Forgery(testDescription: "of another environment", words: "in another place") {
            try $0.waiver(environment: "production", list: $1)
        },
        Forgery(testDescription: "under another name", words: "in another place", id: "0123456789ab") {
            try $0.waiver(list: $1)
        },
        Forgery(testDescription: "from the future", words: "not yet") {
            try $0.waiver(list: $1, issued: .seconds(3600), expires: .seconds(7200))
        },
        Forgery(
            testDescription: "by a key that ended", words: "not valid after",
            keyEnd: Fixture.now.advanced(by: .seconds(-1))
        ) { try $0.waiver(list: $1) },
    ]

    @Test(arguments: forgeries) func whatIsNoWaiverDoesNotCount(_ forgery: Forgery) async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        try await plant(forgery.waiver(self, list), signedBy: forgery.signer, as: forgery.id)
        let verdict = try await check(list, fleet: fleet(keyEnd: forgery.keyEnd))
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[], [.silent, .waiverInvalid]])
        #expect(
            verdict.sites[1].reasons.last?.message.contains(forgery.words) == true,
            "\(verdict.sites[1].reasons.last?.message ?? "")")
    }

    @Test func aWaiverThatIsNotSignedDoesNotCount() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        let waiver = try waiver(list: list)
        _ = try await memory.put(
            Document.encode(waiver, .invalidWaiver), at: CentralStore.key(ofWaiver: waiver.id, in: lab),
            condition: .none)
        #expect(try await check(list).sites[1].reasons.map(\.code) == [.silent, .waiverInvalid])
        _ = try await memory.put([1], at: CentralStore.key(ofWaiver: waiver.id, in: lab), condition: .none)
        #expect(try await check(list).sites[1].reasons.map(\.code) == [.silent])
        _ = try await memory.put([1], at: ObjectKey("environments/lab/waivers/readme"), condition: .none)
        await #expect { try await check(list) } throws: { "\($0)".contains("readme") }
    }

    @Test func otherSitesAndListsAreNotWaived() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list, at: [])
        try await store.add(waiver(list: list), signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        #expect(try await check(list).sites.map { $0.isReady } == [false, true])
        let other = try Fixture.list("other")
        try await stageAndProve(other, at: [])
        #expect(try await check(other).sites.map { $0.reasons.map(\.code) } == [[.silent], [.silent]])
        // A site that the fleet does not name cannot be waived.
        try await store.publish(
            try Fixture.manifest(of: "site-9", Fixture.holding(list)), signedBy: Fixture.key(of: "site-9"))
        try await plant(waiver(site: "site-9", list: list), signedBy: "jane")
        try await plant(waiver(site: "site-1", list: list), signedBy: "jane")
        let verdict = try await check(list)
        #expect(verdict.sites.map { $0.isReady } == [true, true, false])
        #expect(verdict.sites[2].reasons.map(\.code) == [.unknownSite])
    }

    @Test func whatWouldNotCountIsNotGiven() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        for (waiver, signer, code) in [
            (try waiver(list: list), "john", .invalidWaiver), (try waiver(list: list), "mallory", .invalidWaiver),
            (try waiver(list: list, issued: .seconds(-7200), expires: .seconds(-1)), "jane", .invalidWaiver),
            (try waiver(site: "site-9", list: list), "jane", .invalidFleet),
        ] as [(Waiver, String, ReadinessError.Code)] {
            await #expect {
                try await store.add(waiver, signedBy: Fixture.key(of: signer), of: fleet(), act: Fixture.act)
            } throws: {
                ($0 as? ReadinessError)?.code == code
            }
        }
        #expect(try await store.waivers(of: fleet().environment(lab)).isEmpty)
        for (reason, seconds) in [
            ("", 60), (" ", 60), (String(repeating: "x", count: 1001), 60), ("ok", 0), ("ok", 31 * 86_400),
        ]
            as [(String, Int)]
        {
            #expect {
                try Waiver(
                    environment: lab, site: SiteName("site-2"), list: list.name, generation: list.generation,
                    reason: reason, approver: ApproverName("jane"), issuedAt: Fixture.now,
                    expiresAt: Fixture.now.advanced(by: .seconds(seconds)))
            } throws: {
                ($0 as? ReadinessError)?.code == .invalidWaiver
            }
        }
    }

    @Test func waiversThatEndedLongAgoAreRemoved() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        try await plant(
            waiver(list: list, issued: .seconds(-40 * 86_400), expires: .seconds(-31 * 86_400)), signedBy: "jane")
        try await plant(
            waiver(list: list, issued: .seconds(-40 * 86_400), expires: .seconds(-29 * 86_400)), signedBy: "jane")
        try await store.add(waiver(list: list), signedBy: Fixture.key(of: "jane"), of: fleet(), act: Fixture.act)
        #expect(try await store.waivers(of: fleet().environment(lab)).count == 2)
    }

    @Test func keysHaveOneOwner() throws {
        let key = Fleet.Key(try Fixture.key(of: "site-1").publicKey)
        let (jane, john) = (try ApproverName("jane"), try ApproverName("john"))
        for approvers in [
            [Fleet.Approver(name: jane, keys: [key])],
            [.init(name: jane, keys: [.init(try Fixture.key(of: "x").publicKey)]), .init(name: jane, keys: [])],
            [
                .init(name: jane, keys: [.init(try Fixture.key(of: "x").publicKey)]),
                .init(name: john, keys: [.init(try Fixture.key(of: "x").publicKey)]),
            ],
        ] {
            #expect {
                try Fleet(
                    objectStore: ObjectStoreLocation("file:///srv"), environments: [Fixture.environment()],
                    approvers: approvers)
            } throws: {
                ($0 as? ReadinessError)?.code == .invalidFleet
            }
        }
    }
}
