import OCI
import Testing

@testable import Transfer

@Suite struct SourceChoiceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let candidates: [SourceChoice.Candidate]
        let choice: SourceChoice
        var testDescription: String { name }

        init(_ name: String, _ candidates: SourceChoice.Candidate..., choice: SourceChoice) {
            (self.name, self.candidates, self.choice) = (name, candidates, choice)
        }
    }

    private static func source(
        _ priority: Int, weight: Int = 1, load: Int = 0, room: Bool = true,
        _ availability: SourceHealth.Availability = .usable, suspect: Bool = false
    ) -> SourceChoice.Candidate {
        .init(
            priority: priority, weight: weight, load: load, hasRoom: room, availability: availability,
            isSuspect: suspect)
    }

    @Test(arguments: [
        Case("nothing", choice: .none),
        Case("one", source(1), choice: .use(0, group: [0])),
        Case("the lower number", source(2), source(1), choice: .use(1, group: [1])),
        Case(
            "the lower number, busy as it is", source(1, load: 64, room: false), source(2), choice: .use(0, group: [0])),
        Case("the next, while the first rests", source(1, .resting(until: 9)), source(2), choice: .use(1, group: [1])),
        Case(
            "the next, when the first is given up", source(1, .givenUp), source(2), source(3),
            choice: .use(1, group: [1])),
        Case("all rest", source(1, .resting(until: 9)), source(2, .resting(until: 1)), choice: .wait),
        Case("one rests, one is given up", source(1, .givenUp), source(2, .resting(until: 1)), choice: .wait),
        Case("all are given up", source(1, .givenUp), source(2, .givenUp), choice: .none),
        Case("equals: the first", source(1), source(1), choice: .use(0, group: [0, 1])),
        Case("equals: the less busy", source(1, load: 3), source(1, load: 2), choice: .use(1, group: [0, 1])),
        Case(
            "equals: the one with room", source(1, load: 2, room: false), source(1, load: 9),
            choice: .use(1, group: [0, 1])),
        Case(
            "equals: none with room", source(1, load: 9, room: false), source(1, load: 8, room: false),
            choice: .use(1, group: [0, 1])),
        Case("weights", source(1, load: 1), source(1, weight: 3, load: 4), choice: .use(1, group: [0, 1])),
        Case("weights", source(1, load: 1), source(1, weight: 3, load: 6), choice: .use(0, group: [0, 1])),
        Case(
            "a group among others", source(3), source(2, load: 1), source(1, .givenUp), source(2),
            choice: .use(3, group: [1, 3])),
        Case("a suspect goes after all", source(1, suspect: true), source(9, room: false), choice: .use(1, group: [1])),
        Case(
            "a suspect, when there is no other", source(1, suspect: true), source(2, .givenUp),
            choice: .use(0, group: [0])),
        Case("suspects by priority", source(2, suspect: true), source(1, suspect: true), choice: .use(1, group: [1])),
    ])
    func choices(_ input: Case) {
        #expect(SourceChoice(among: input.candidates) == input.choice)
    }

    /// Requests that are handed out one after another end up in proportion to the weights.
    @Test(arguments: [[1, 1], [3, 1], [1, 2, 5], [1000, 1]])
    func sharesFollowTheWeights(weights: [Int]) throws {
        var candidates = weights.map { Self.source(1, weight: $0) }
        let all = weights.reduce(0, +)
        for _ in 0..<all * 4 {
            guard case .use(let index, _) = SourceChoice(among: candidates) else { continue }
            candidates[index].load += 1
        }
        #expect(candidates.map(\.load) == weights.map { $0 * 4 })
    }
}

@Suite struct SourceHealthTests {
    private let digest = Digest(of: [1])

    @Test func aFailureRestsTheSourceForLongerEachTime() {
        var health = SourceHealth()
        var now = 0.0
        var rests: [Double] = []
        for _ in 0..<6 {
            health.failed("reset", hasAnswered: false, now: now, chance: 1)
            guard case .resting(let until) = health.availability(now: now) else { break }
            rests.append(until - now)
            now = until
        }
        #expect(rests == [1, 2, 4, 8, 15])
        #expect(health.isFailing)
        // Fifteen seconds without a word, ever.
        #expect(health.availability(now: now) == .givenUp)
    }

    @Test func oneThatIsBusyIsThere() {
        var health = SourceHealth()
        var now = 0.0
        while now < 55 {
            health.failed("HTTP 503", hasAnswered: true, now: now, chance: 1)
            #expect(health.availability(now: now) != .givenUp)
            now += 10
        }
        for _ in 0..<3 {
            health.failed("HTTP 503", hasAnswered: true, now: now, chance: 1)
            now += 15
        }
        #expect(health.availability(now: now) == .givenUp)
    }

    /// `Retry-After` is honoured, and does not count against the source.
    @Test func oneThatAsksForTimeGetsIt() {
        var health = SourceHealth()
        health.failed("HTTP 429", hasAnswered: true, retryAfter: 100, now: 0, chance: 1)
        #expect(health.availability(now: 0) == .resting(until: 100))
        // Another answer with less does not shorten it.
        health.failed("HTTP 503", hasAnswered: true, retryAfter: 5, now: 20, chance: 1)
        #expect(health.availability(now: 99) == .resting(until: 100))
        #expect(health.availability(now: 100) == .usable)
    }

    @Test func oneThatAsksForTooMuchIsDoneWithout() {
        var health = SourceHealth()
        health.failed("HTTP 503", hasAnswered: true, retryAfter: 3600, now: 0, chance: 1)
        #expect(health.availability(now: 0) == .givenUp)
        #expect(health.availability(now: 3599) == .givenUp)
        #expect(health.availability(now: 3615) == .usable)
    }

    /// Asking for time again and again is no way to be waited for without end.
    @Test func excusesEnd() {
        var health = SourceHealth()
        var now = 0.0
        while now < 2000, health.availability(now: now) != .givenUp {
            health.failed("HTTP 503", hasAnswered: true, retryAfter: 50, now: now, chance: 1)
            now += 50
        }
        #expect((600...700).contains(now))
    }

    /// After a rest one request finds out; the others go elsewhere until it is known.
    @Test func oneFindsOutForAll() {
        var health = SourceHealth()
        func admitted(at times: Double...) -> [Bool] { times.map { health.admits(now: $0) } }
        #expect(admitted(at: 0, 0, 0) == [true, true, true])
        health.failed("reset", hasAnswered: true, now: 0, chance: 1)
        #expect(admitted(at: 0.5, 1, 1) == [false, true, false])
        #expect(health.availability(now: 1) == .resting(until: 16))
        // It hangs: another one tries.
        #expect(admitted(at: 16) == [true])
        // An answer that says nothing of its health lets the next one try, and no more.
        health.answered()
        #expect(admitted(at: 17, 17) == [true, false])
        health.succeeded()
        #expect(admitted(at: 18, 18, 18) == [true, true, true])
    }

    @Test func failuresThatComeTogetherAreOne() {
        var health = SourceHealth()
        for _ in 0..<20 { health.failed("reset", hasAnswered: false, now: 5, chance: 0) }
        #expect(health.availability(now: 5) == .resting(until: 5.5))
        #expect(health.availability(now: 5.5) == .usable)
        health.succeeded()
        #expect(!health.isFailing)
        #expect(health.lastFailure == "reset")
    }

    @Test func oneThatHasDeliveredGetsMorePatience() {
        var health = SourceHealth()
        health.succeeded()
        var now = 0.0
        while now <= 119 {
            health.failed("reset", hasAnswered: false, now: now, chance: 1)
            #expect(health.availability(now: now) != .givenUp)
            now += 1
        }
        for _ in 0..<20 {
            health.failed("reset", hasAnswered: false, now: now, chance: 1)
            now += 1
        }
        #expect(health.availability(now: now) == .givenUp)
        // It is not given up for ever.
        #expect(health.availability(now: now + 60) == .usable)
    }

    @Test func wrongBytesAreRememberedForAnHour() {
        var health = SourceHealth()
        #expect(!health.isSuspect(now: 0))
        health.servedBadBytes(for: digest, "they hash to something else", now: 10)
        #expect(health.availability(now: 10) == .usable)
        #expect(health.isSuspect(now: 3609))
        #expect(health.corruption(of: digest, now: 3609) == "they hash to something else")
        #expect(health.corruption(of: Digest(of: [2]), now: 10) == nil)
        #expect(!health.isSuspect(now: 3610))
        #expect(health.corruption(of: digest, now: 3610) == nil)
    }

    @Test func theMemoryIsBounded() {
        var health = SourceHealth()
        let count = SourceHealth.rememberedCorruptions + 10
        let digests = (0..<count).map { Digest(of: Array("\($0)".utf8)) }
        for (index, digest) in digests.enumerated() {
            health.servedBadBytes(for: digest, "", now: Double(index) / 1000)
        }
        let remembered = digests.filter { health.corruption(of: $0, now: 2) != nil }
        #expect(remembered == Array(digests.dropFirst(10)))
    }
}
