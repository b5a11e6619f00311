import OCI
import ObjectStore
import Testing

@testable import Readiness
@testable import Trust

/// A site that several agents serve is ready when all of them proved everything, and in no other case.
@Suite(.timeLimit(.minutes(5))) struct ShardTests {
    private static let site = "site-1"

    /// A report of one of the site's agents, `nil` for the place of an only one.
    private static func report(
        _ shard: Shard?, _ list: ImageList, missing: [ClosureEntry] = [], sequence: Int64 = 1,
        issued: Duration = .seconds(-30), expires: Duration = .seconds(3600), verified: Duration = .seconds(-60),
        signedBy signer: String? = site, of site: String = site, inEnvironment environment: String = "lab",
        contentAt: Duration? = nil
    ) throws -> SiteReport {
        let manifest = try CacheManifest(
            environment: EnvironmentName(environment), site: SiteName(site), sequence: sequence,
            issuedAt: Fixture.now.advanced(by: issued), expiresAt: Fixture.now.advanced(by: expires),
            agentVersion: "0.1.0",
            holdings: [
                CacheManifest.Holding(
                    of: list, missing: missing, verifiedAt: Fixture.now.advanced(by: verified),
                    depth: contentAt == nil ? .presence : .content,
                    contentVerifiedAt: contentAt.map { Fixture.now.advanced(by: $0) })
            ], shard: shard)
        return try Fixture.report(manifest, signedBy: signer, at: Self.site)
    }

    private static func shard(_ index: Int, _ of: Int) throws -> Shard { try #require(Shard(index: index, of: of)) }

    /// The verdict about the site, with these reports and this memory.
    private func verdict(
        _ list: ImageList, alone: SiteReport? = nil, _ shards: [Shard: SiteReport],
        memory: GateMemory? = nil, environment: Fleet.Environment? = nil
    ) throws -> Verdict {
        let site = try SiteName(Self.site)
        let environment = try environment ?? Fixture.environment(sites: [Self.site])
        let evidence = Evidence(
            reports: alone.map { [site: $0] } ?? [:], memory: memory ?? GateMemory(environment: environment.name),
            shards: [site: shards])
        return compare(
            list: list.name, staged: EnvironmentRecord.Pointer(to: list, by: "x", at: Fixture.now),
            environment: environment, evidence: evidence, now: Fixture.now)
    }

    private func codes(_ verdict: Verdict) -> [String] { verdict.sites.flatMap { $0.reasons.map(\.code.text) } }

    @Test func allShardsTogetherAreReady() throws {
        let list = try Fixture.list()
        for of in [2, 3, Shard.maximum] {
            var shards: [Shard: SiteReport] = [:]
            for index in 0..<of {
                let shard = try Self.shard(index, of)
                shards[shard] = try Self.report(shard, list)
            }
            let verdict = try verdict(list, shards)
            #expect(verdict.isReady)
            #expect(verdict.sites[0].holding?.missingEntries == 0)
            // Any one of them that is not there blocks.
            for shard in shards.keys {
                var fewer = shards
                fewer[shard] = nil
                let verdict = try self.verdict(list, fewer)
                #expect(!verdict.isReady)
                #expect(codes(verdict) == ["shard-missing"])
                #expect(verdict.sites[0].reasons[0].message.hasPrefix("\(shard) has no cache manifest"))
                if of > 3 { break }
            }
        }
    }

    /// What is wrong with the second of two agents, and the reason that it gives.
    enum Fault: CaseIterable {
        case incomplete, stale, expired, early, wrongKey, otherSite, otherEnvironment, otherPlace, ofAnOnlyOne, unsigned
        case unreadable, otherList, otherGeneration

        var code: String {
            switch self {
            case .incomplete: "incomplete"
            case .stale: "stale"
            case .expired: "expired"
            case .early: "clock-skew"
            case .wrongKey: "wrongly-signed"
            case .otherSite, .otherEnvironment, .otherPlace, .ofAnOnlyOne: "misplaced"
            case .unsigned: "unsigned"
            case .unreadable: "unreadable"
            case .otherList: "unknown-list"
            case .otherGeneration: "other-generation"
            }
        }
    }

    @Test(arguments: Fault.allCases)
    func oneThatDoesNotProveEverythingBlocks(fault: Fault) throws {
        let list = try Fixture.list()
        let (first, second) = (try Self.shard(0, 2), try Self.shard(1, 2))
        let report =
            switch fault {
            case .incomplete: try Self.report(second, list, missing: [try #require(list.closure.entries.last)])
            case .stale: try Self.report(second, list, verified: .seconds(-3601))
            case .expired:
                try Self.report(second, list, issued: .seconds(-100), expires: .zero, verified: .seconds(-200))
            case .early: try Self.report(second, list, issued: .seconds(301))
            case .wrongKey: try Self.report(second, list, signedBy: "site-2")
            case .otherSite: try Self.report(second, list, of: "site-2")
            case .otherEnvironment: try Self.report(second, list, inEnvironment: "production")
            case .otherPlace: try Self.report(first, list)
            case .ofAnOnlyOne: try Self.report(nil, list)
            case .unsigned: try Self.report(second, list, signedBy: nil)
            case .unreadable: SiteReport(.unreadable("bad"), digest: Fixture.digest("bad"))
            case .otherList: try Self.report(second, try Fixture.list("other"))
            case .otherGeneration: try Self.report(second, try Fixture.list(tag: "2"))
            }
        for (good, bad) in [(first, second), (second, first)] where fault != .otherPlace || good == first {
            guard good == first else { continue }
            let verdict = try verdict(list, [good: try Self.report(good, list), bad: report])
            #expect(!verdict.isReady)
            #expect(codes(verdict) == [fault.code])
            #expect(verdict.sites[0].reasons[0].message.hasPrefix("shard 1 of 2: "))
        }
    }

    /// A hole is a hole, whoever else has looked: what one misses is not made up for by what another has.
    @Test func whatOneMissesIsNotMadeUpForByOthers() throws {
        let list = try Fixture.list(layers: 4)
        let (first, second) = (try Self.shard(0, 2), try Self.shard(1, 2))
        for entry in list.closure.entries {
            // The other one has seen it, and whose blob it is makes no difference.
            let verdict = try verdict(
                list, [first: try Self.report(first, list, missing: [entry]), second: try Self.report(second, list)])
            #expect(codes(verdict) == ["incomplete"])
            #expect(verdict.sites[0].holding?.missingEntries == 1)
        }
        // Each lacks what the other has: together they would be complete, and they are not.
        let halves = list.closure.entries.prefix(2)
        let rest = list.closure.entries.dropFirst(2)
        let both = try verdict(
            list,
            [
                first: try Self.report(first, list, missing: Array(halves)),
                second: try Self.report(second, list, missing: Array(rest)),
            ])
        #expect(!both.isReady)
        #expect(codes(both) == ["incomplete", "incomplete"])
    }

    @Test func differentCountsBlock() throws {
        let list = try Fixture.list()
        var shards: [Shard: SiteReport] = [:]
        for shard in [try Self.shard(0, 2), try Self.shard(1, 2), try Self.shard(0, 3)] {
            shards[shard] = try Self.report(shard, list)
        }
        var verdict = try verdict(list, shards)
        #expect(codes(verdict) == ["shards-disagree"])
        #expect(verdict.sites[0].reasons[0].message.contains("as shards of 2 and as shards of 3"))
        // One that nobody can read, or that another key signed, may be anybody's: it blocks too.
        shards[try Self.shard(0, 3)] = SiteReport(.unreadable("bad"), digest: Fixture.digest("bad"))
        #expect(codes(try self.verdict(list, shards)) == ["shards-disagree"])
        shards[try Self.shard(0, 3)] = try Self.report(
            Self.shard(0, 3), list, issued: .seconds(-100), expires: .seconds(-1), verified: .seconds(-200),
            signedBy: "site-2")
        #expect(codes(try self.verdict(list, shards)) == ["shards-disagree"])
        // What its own agent said, and what has expired, is over: those that are there have proved everything.
        shards[try Self.shard(0, 3)] = try Self.report(
            Self.shard(0, 3), list, issued: .seconds(-100), expires: .zero, verified: .seconds(-200))
        #expect(try self.verdict(list, shards).isReady)
        // An only agent beside shards.
        verdict = try self.verdict(list, alone: Self.report(nil, list), shards)
        #expect(codes(verdict) == ["shards-disagree"])
        #expect(verdict.sites[0].reasons[0].message.contains("as one agent alone and as shards of 2"))
    }

    @Test func whenAllHaveExpiredNothingIsReady() throws {
        let list = try Fixture.list()
        var shards: [Shard: SiteReport] = [:]
        for shard in [try Self.shard(0, 2), try Self.shard(1, 2)] {
            shards[shard] = try Self.report(
                shard, list, issued: .seconds(-100), expires: .zero, verified: .seconds(-200))
        }
        #expect(codes(try verdict(list, shards)) == ["expired", "expired"])
        // One agent alone has taken over since.
        #expect(try verdict(list, alone: Self.report(nil, list), shards).isReady)
    }

    /// What was taken away and put back is no proof: neither of the same place, nor of another number of agents.
    @Test func oldReportsAreNotBelieved() throws {
        let list = try Fixture.list()
        let environment = try Fixture.environment(sites: [Self.site])
        let site = try SiteName(Self.site)
        let (first, second) = (try Self.shard(0, 2), try Self.shard(1, 2))
        let old = try Self.report(second, list, sequence: 4, issued: .seconds(-50))
        let alone = try Self.report(nil, list, sequence: 9, issued: .seconds(-50))
        var memory = GateMemory(environment: environment.name)
        memory.remember(
            [:],
            shards: [
                site: [
                    first: try Self.report(first, list), second: try Self.report(second, list, sequence: 5),
                ]
            ], of: environment)
        #expect(
            codes(try verdict(list, [first: Self.report(first, list), second: old], memory: memory)) == ["replayed"])
        // The shards were removed, and what one agent alone said before them is put back.
        let evidence = Evidence(reports: [site: alone], memory: memory)
        let verdict = compare(
            list: list.name, staged: EnvironmentRecord.Pointer(to: list, by: "x", at: Fixture.now),
            environment: environment, evidence: evidence, now: Fixture.now)
        #expect(codes(verdict) == ["replayed"])
        // What it says after them counts.
        let later = Evidence(
            reports: [site: try Self.report(nil, list, sequence: 10, issued: .seconds(-10))], memory: memory)
        #expect(
            compare(
                list: list.name, staged: EnvironmentRecord.Pointer(to: list, by: "x", at: Fixture.now),
                environment: environment, evidence: later, now: Fixture.now
            ).isReady)
        // Another site's report at a shard's place is not remembered as its own.
        var untouched = GateMemory(environment: environment.name)
        untouched.remember([:], shards: [site: [first: old]], of: environment)
        #expect(untouched.shards.isEmpty)
    }

    /// Content is read by its own shard, so each has to say when; the oldest counts.
    @Test func eachShardReadsItsOwnContent() throws {
        let list = try Fixture.list()
        var environment = try Fixture.environment(sites: [Self.site])
        environment = try Fleet.Environment(
            name: environment.name, sites: environment.sites, freshness: .seconds(3600),
            contentWithin: .seconds(86_400))
        let (first, second) = (try Self.shard(0, 2), try Self.shard(1, 2))
        func verdict(_ ages: [Duration?]) throws -> Verdict {
            try self.verdict(
                list,
                [
                    first: Self.report(first, list, contentAt: ages[0]),
                    second: Self.report(second, list, contentAt: ages[1]),
                ], environment: environment)
        }
        #expect(try verdict([.seconds(-100), .seconds(-100)]).isReady)
        #expect(codes(try verdict([.seconds(-100), nil])) == ["content-unread"])
        #expect(codes(try verdict([.seconds(-90_000), .seconds(-100)])) == ["content-stale"])
    }

    // MARK: In the store

    @Test func shardsHaveTheirPlacesInTheStore() async throws {
        let store = MemoryStore()
        let central = CentralStore(store, backoff: { _ in })
        let fleet = try Fixture.fleet()
        let list = try Fixture.list()
        _ = try await central.stage(list, to: EnvironmentName("lab"), of: fleet, act: Fixture.act)
        let key = try Fixture.key(of: "site-1")
        for index in 0..<2 {
            let manifest = try CacheManifest(
                environment: EnvironmentName("lab"), site: SiteName("site-1"), sequence: 1,
                issuedAt: Fixture.now, expiresAt: Fixture.now.advanced(by: .seconds(3600)), agentVersion: "0.1.0",
                holdings: [Fixture.holding(list)], shard: Self.shard(index, 2))
            // As it is written it is read again.
            #expect(try CacheManifest(parsing: manifest.documentBytes()) == manifest)
            let object = try await central.publish(manifest, signedBy: key)
            #expect(object.object == "environments/lab/sites/site-1/\(index)-of-2.json")
        }
        try await central.publish(
            Fixture.manifest(of: "site-2", Fixture.holding(list)), signedBy: Fixture.key(of: "site-2"))
        let verdict = try await central.check(list.name, in: EnvironmentName("lab"), of: fleet, act: Fixture.act)
        #expect(verdict.isReady)
        let environment = try EnvironmentName("lab")
        #expect(
            try await central.lastSequence(of: SiteName("site-1"), in: environment, shard: Self.shard(1, 2)) == 1)
        #expect(try await central.lastSequence(of: SiteName("site-1"), in: environment) == nil)

        #expect(try await central.forget(SiteName("site-1"), in: environment, act: Fixture.act))
        let after = try await central.check(list.name, in: environment, of: fleet, act: Fixture.act)
        #expect(after.sites[0].reasons.map(\.code.text) == ["silent"])
        #expect(
            try await central.lastSequence(of: SiteName("site-1"), in: environment, shard: Self.shard(1, 2)) == nil)
        #expect(try await !central.forget(SiteName("site-1"), in: environment, act: Fixture.act))
    }

    @Test(arguments: [
        "site-1/0-of-1.json", "site-1/02-of-3.json", "site-1/3-of-3.json", "site-1/x.json", "a/0-of-2/b.json",
    ])
    func aPlaceThatIsNoAgentsIsAnError(path: String) async throws {
        let store = MemoryStore()
        let central = CentralStore(store, backoff: { _ in })
        _ = try await store.put([1], at: ObjectKey("environments/lab/sites/\(path)"), condition: .none)
        let error = await #expect(throws: ReadinessError.self) {
            try await central.reports(of: Fixture.environment())
        }
        #expect(error?.code == .invalidRecord)
    }

    @Test func aSiteOfShardsThatTheFleetDoesNotNameBlocks() throws {
        let list = try Fixture.list()
        let shard = try Self.shard(0, 2)
        let environment = try Fixture.environment(sites: ["site-2"])
        let evidence = Evidence(
            reports: [
                try SiteName("site-2"): try Fixture.report(
                    Fixture.manifest(of: "site-2", Fixture.holding(list)), signedBy: "site-2", at: "site-2")
            ],
            memory: GateMemory(environment: environment.name),
            shards: [try SiteName(Self.site): [shard: try Self.report(shard, list)]])
        let verdict = compare(
            list: list.name, staged: EnvironmentRecord.Pointer(to: list, by: "x", at: Fixture.now),
            environment: environment, evidence: evidence, now: Fixture.now)
        #expect(!verdict.isReady)
        #expect(codes(verdict) == ["unknown-site"])
    }
}

@Suite struct ShardValueTests {
    @Test func everyDigestHasOneOwner() throws {
        for of in 2...Shard.maximum {
            let shards = try (0..<of).map { try #require(Shard(index: $0, of: of)) }
            for number in 0..<50 {
                let digest = Fixture.digest("\(number)")
                #expect(shards.count { $0.owns(digest) } == 1)
            }
        }
        #expect(Shard(index: 0, of: 1) == nil)
        #expect(Shard(index: 2, of: 2) == nil)
        #expect(Shard(index: -1, of: 2) == nil)
        #expect(Shard(index: 0, of: 65) == nil)
    }

    @Test(arguments: [
        "", "1", "1-of-", "01-of-2", "1-of-02", "+1-of-2", "1-of-2-", "1-of-1", "2-of-2", "1-OF-2", "1-of-65",
    ])
    func noOtherSpelling(text: String) { #expect(Shard(text) == nil) }

    @Test func names() { #expect(Shard("1-of-2")?.name == "1-of-2") }
}
