import OCI
import ObjectStore
import TestSupport
import Testing
import Trust

@testable import Readiness

/// The gate on object stores that are not ours.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RealS3PromotionTests {
    /// A coordinator of its own: with connections of its own, and nothing shared in memory.
    private func coordinator(_ server: RealS3) throws -> CentralStore {
        var access = ObjectStoreAccess(environment: server.environment)
        access.proxy = ""
        return CentralStore(try ObjectStoreLocation(server.url).open(access))
    }

    /// Twenty at once, ten for each of two generations that every site holds: one moves the pointer, both outcomes are in
    /// the chain, and the chain verifies.
    @Test(arguments: RealS3.Kind.allCases)
    func twentyPromotionsOfTwoGenerations(_ kind: RealS3.Kind) async throws {
        try await withRealS3(kind) { server in
            let (one, two) = (try Fixture.list(tag: "1"), try Fixture.list(tag: "2"))
            let (fleet, lab) = (try Fixture.fleet(), try EnvironmentName("lab"))
            let store = try coordinator(server)
            for list in [two, one] { _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act) }
            for site in ["site-1", "site-2"] {
                try await store.publish(
                    try Fixture.manifest(of: site, Fixture.holding(one), Fixture.holding(two)),
                    signedBy: Fixture.key(of: site))
            }
            let coordinators = try (0..<20).map { _ in try coordinator(server) }
            let outcomes = try await withThrowingTaskGroup(of: (ImageList, PromotionOutcome).self) { group in
                for (index, coordinator) in coordinators.enumerated() {
                    let list = index % 2 == 0 ? one : two
                    group.addTask {
                        (
                            list,
                            try await coordinator.promote(
                                list.name, in: lab, of: fleet,
                                act: Act(by: "promoter-\(index)@host", at: Fixture.now), generation: list.generation)
                        )
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let winners = outcomes.filter { if case .promoted = $0.1 { true } else { false } }
            #expect(winners.map(\.0.generation) == [one.generation])
            let refused = outcomes.filter { if case .refused = $0.1 { true } else { false } }
            #expect(refused.count { $0.0.generation == two.generation } == 10)

            let state = try #require(try await store.record(of: lab).record.lists[one.name])
            #expect(state.promoted?.generation == one.generation)
            #expect(state.history == [])
            let verification = try await store.verifyAudit()
            #expect(verification.fault == nil)
            #expect(verification.remarks == [])
            let events = try await store.auditRecords(limit: 1000).map(\.event)
            let promoted = events.filter { $0.action == .promoted }
            #expect(promoted.map(\.by.text) == [state.promoted?.by])
            #expect(events.count { $0.action == .promotionRefused } == refused.count)
        }
    }
}
