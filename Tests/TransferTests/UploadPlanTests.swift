import Testing

@testable import Transfer

@Suite struct UploadPlanTests {
    let large = UploadPlan.chunkedFrom * 2

    @Test func aSmallBlobGoesInOneRequest() {
        var plan = UploadPlan(size: 1000, capability: UploadCapability())
        #expect(plan.step == .monolithic)
        plan.ended(.broken)
        #expect(plan.step == .monolithic)
        plan.ended(.refused)
        #expect(plan.step == .giveUp)
    }

    @Test func aLargeBlobGoesInChunksWithoutALastCrumb() {
        var plan = UploadPlan(size: UploadPlan.chunk * 3 + 1, capability: UploadCapability())
        #expect(plan.step == .startSession)
        plan.ended(.sessionAt(0))
        #expect(plan.step == .chunk(from: 0, to: UploadPlan.chunk))
        plan.ended(.sessionAt(UploadPlan.chunk))
        #expect(plan.step == .chunk(from: UploadPlan.chunk, to: UploadPlan.chunk * 2))
        plan.ended(.sessionAt(UploadPlan.chunk * 2))
        #expect(plan.step == .chunk(from: UploadPlan.chunk * 2, to: UploadPlan.chunk * 3 + 1))
        plan.ended(.sessionAt(UploadPlan.chunk * 3 + 1))
        #expect(plan.step == .commit)
    }

    @Test func aBrokenChunkGoesOnWhereTheRegistrySaysItIs() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.broken)
        #expect(plan.step == .askStatus)
        plan.ended(.sessionAt(77))
        #expect(plan.step == .chunk(from: 77, to: 77 + UploadPlan.chunk))
    }

    @Test func aLostSessionBeginsAnewAndIsRememberedWhenItHappensAgain() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.sessionAt(UploadPlan.chunk))
        plan.ended(.broken)
        plan.ended(.sessionLost)
        #expect(plan.step == .startSession)
        #expect(plan.capability.resumesSessions)
        plan.ended(.sessionAt(0))
        plan.ended(.broken)
        plan.ended(.sessionLost)
        #expect(!plan.capability.resumesSessions)
        plan.ended(.sessionAt(0))
        plan.ended(.broken)
        #expect(plan.step == .startSession)
    }

    @Test func aRegistryThatRefusesChunksGetsTheWholeBlob() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.refused)
        #expect(plan.step == .monolithic)
        #expect(!plan.capability.takesChunks)
        #expect(UploadPlan(size: large, capability: plan.capability).step == .monolithic)
    }

    /// GHCR answers a ranged PATCH of more than 4 MiB with 416.
    @Test func aRegistryThatLosesTheFirstChunkTwiceGetsTheWholeBlob() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.sessionLost)
        #expect(plan.step == .startSession)
        plan.ended(.sessionAt(0))
        plan.ended(.sessionLost)
        #expect(plan.step == .monolithic)
        #expect(!plan.capability.takesChunks)
    }

    /// The broken request was still worked on when the registry said where the session stood: it is asked once more.
    @Test func aRefusedOffsetIsAskedForOnceMore() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.sessionAt(UploadPlan.chunk))
        plan.ended(.broken)
        plan.ended(.sessionAt(UploadPlan.chunk + 1000))
        plan.ended(.offsetRefused)
        #expect(plan.step == .askStatus)
        plan.ended(.sessionAt(UploadPlan.chunk + 2000))
        #expect(plan.step == .chunk(from: UploadPlan.chunk + 2000, to: UploadPlan.chunk * 2 + 2000))
        #expect(plan.capability == UploadCapability())
        // One that says the same again does not know.
        plan.ended(.offsetRefused)
        plan.ended(.sessionAt(UploadPlan.chunk + 2000))
        plan.ended(.offsetRefused)
        #expect(plan.step == .startSession)
    }

    /// GHCR's 416 to a ranged PATCH, as an offset.
    @Test func aFirstOffsetThatIsRefusedTwiceMeansNoChunks() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.offsetRefused)
        #expect(plan.step == .startSession)
        plan.ended(.sessionAt(0))
        plan.ended(.offsetRefused)
        #expect(plan.step == .monolithic)
        #expect(!plan.capability.takesChunks)
        plan.ended(.offsetRefused)
        #expect(plan.step == .monolithic)
    }

    @Test func aRefusedDigestBeginsAnewWithoutResume() {
        var plan = UploadPlan(size: large, capability: UploadCapability(), resumes: true)
        #expect(plan.step == .askStatus)
        plan.ended(.sessionAt(large))
        #expect(plan.step == .commit)
        plan.ended(.digestRefused)
        #expect(plan.step == .startSession)
        #expect(!plan.capability.resumesSessions)
    }

    @Test func aDenialIsFinalAndLearnsNothing() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        plan.ended(.denied)
        #expect(plan.step == .giveUp)
        #expect(plan.capability == UploadCapability())
    }

    @Test func failuresWithoutProgressEnd() {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        for _ in 0..<UploadPlan.failureLimit {
            #expect(plan.step != .giveUp)
            plan.ended(.broken)
        }
        #expect(plan.step == .giveUp)
    }

    @Test func progressForgivesFailures() {
        var plan = UploadPlan(size: large * 10, capability: UploadCapability())
        plan.ended(.sessionAt(0))
        for position in 1..<20 {
            plan.ended(.broken)
            plan.ended(.sessionAt(Int64(position) * 1_000_000))
        }
        #expect(plan.step != .giveUp)
    }

    @Test func theRegistrysMinimumIsHonoured() {
        var plan = UploadPlan(size: large * 10, capability: UploadCapability())
        plan.ended(.sessionAt(0), minimumChunk: UploadPlan.chunk * 2)
        #expect(plan.step == .chunk(from: 0, to: UploadPlan.chunk * 2))
    }

    /// `OCI-Chunk-Min-Length` may be any number: it makes chunks larger, up to the whole blob.
    @Test(
        arguments: [(-5, UploadPlan.chunk), (1, UploadPlan.chunk), (40 << 20, 40 << 20), (.max, nil)]
            as [(Int64, Int64?)])
    func theLeastChunkIsTheRegistrysToSay(minimum: Int64, end: Int64?) {
        var plan = UploadPlan(size: large, capability: UploadCapability())
        plan.ended(.sessionAt(0), minimumChunk: minimum)
        #expect(plan.step == .chunk(from: 0, to: end ?? large))
        plan.ended(.broken)
        plan.ended(.sessionAt(.max), minimumChunk: .max)
        #expect(plan.step == .commit)
    }
}
