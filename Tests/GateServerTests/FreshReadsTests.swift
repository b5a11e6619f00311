import Testing

@testable import GateServer

/// Who gets what was read when. Reads begin and end by hand.
@Suite(.timeLimit(.minutes(5))) struct FreshReadsTests {
    /// Reads that are numbered as they begin, and end when the test says so.
    private actor Store {
        private var begun = 0
        private var ended = 0
        private var waiting: [(Int, CheckedContinuation<Void, Never>)] = []

        func read() async -> Int {
            begun += 1
            let number = begun
            wake()
            await wait { $0.ended >= number }
            return number
        }

        func begins(_ number: Int) async { await wait { $0.begun >= number } }

        func end(_ number: Int) {
            ended = number
            wake()
        }

        var reads: Int { begun }

        private func wait(until isReached: (isolated Store) -> Bool) async {
            while !isReached(self) {
                await withCheckedContinuation { waiting.append((0, $0)) }
            }
        }

        private func wake() {
            let all = waiting
            waiting = []
            for (_, continuation) in all { continuation.resume() }
        }
    }

    private let store = Store()
    private let reads = FreshReads<String, Int>(limit: 2)

    private func ask(_ key: String = "a") async -> Task<Int, any Error>? {
        await reads.read(key) { [store] in await store.read() }
    }

    @Test func nobodyGetsWhatWasReadBefore() async throws {
        let first = try #require(await ask())
        await store.begins(1)
        // Both came while the first read was under way: they share the next one.
        let second = try #require(await ask())
        let third = try #require(await ask())
        await store.end(1)
        #expect(try await first.value == 1)
        await store.begins(2)
        // This one came after the second read had begun.
        let fourth = try #require(await ask())
        await store.end(2)
        #expect(try await second.value == 2)
        #expect(try await third.value == 2)
        await store.end(3)
        #expect(try await fourth.value == 3)
        #expect(await store.reads == 3)
    }

    @Test func anEndedReadIsNotKept() async throws {
        let first = try #require(await ask())
        await store.end(1)
        #expect(try await first.value == 1)
        let second = try #require(await ask())
        await store.end(2)
        #expect(try await second.value == 2)
    }

    @Test func questionsAreBounded() async throws {
        let first = try #require(await ask("a"))
        let second = try #require(await ask("b"))
        #expect(await ask("c") == nil)
        // One more of the same is no further question.
        let third = try #require(await ask("a"))
        await store.end(3)
        for read in [first, second, third] { _ = try await read.value }
        let fourth = try #require(await ask("c"))
        await store.end(4)
        _ = try await fourth.value
    }

    @Test func aFailedReadFailsThoseWhoWaitedForIt() async throws {
        struct Away: Error {}
        let reads = FreshReads<String, Int>(limit: 2)
        let first = try #require(await reads.read("a") { throw Away() })
        await #expect(throws: Away.self) { try await first.value }
        let second = try #require(await reads.read("a") { 1 })
        #expect(try await second.value == 1)
    }

    @Test func patienceEnds() async throws {
        let never = Task<Int, any Error> {
            try await Task.sleep(for: .seconds(1000))
            return 1
        }
        #expect(try await never.value(within: .milliseconds(10)) == nil)
        never.cancel()
        #expect(try await Task<Int, any Error> { 7 }.value(within: .seconds(100)) == 7)
    }
}
