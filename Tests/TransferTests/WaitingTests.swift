import TestSupport
import Testing

@testable import Transfer

/// Slots and bytes that are waited for: fair, none lost, none left hanging by a cancellation.
@Suite(.timeLimit(.minutes(5))) struct WaitingTests {
    private func gate(_ limit: Int, upTo most: Int? = nil) -> FetchGate {
        FetchGate(limiter: AdaptiveLimiter(bounds: 1...(most ?? limit), start: limit), clock: { 0 })
    }

    /// Two sources of one site: together they have no more than the site's slots, and what one gives back the other takes.
    @Test func sourcesShareTheSitesSlots() async throws {
        let site = ConnectionBudget(3)
        let gates = (0..<2).map { _ in
            FetchGate(limiter: AdaptiveLimiter(bounds: 1...2, start: 2), site: site, clock: { 0 })
        }
        try await gates[0].acquire()
        try await gates[0].acquire()
        try await gates[1].acquire()
        #expect(!gates[1].hasRoom && !gates[1].isIdle)
        let waiting = Task { try await gates[1].acquire() }
        await until { gates[1].waiting == 1 }
        gates[0].release()
        try await waiting.value
        #expect(!site.hasRoom)
        // Of its own slots the second has none left, though the site has.
        gates[0].release()
        #expect(site.hasRoom && !gates[1].hasRoom && gates[0].hasRoom)
        gates[1].release()
        gates[1].release()
        for _ in 0..<2 { try await gates[0].acquire() }
    }

    @Test func aGateServesInOrder() async throws {
        let gate = gate(1)
        try await gate.acquire()
        let order = Recorded<[Int]>([])
        let started = Recorded(0)
        try await withThrowingTaskGroup { group in
            for index in 0..<20 {
                group.addTask {
                    started.update { $0 += 1 }
                    try await gate.acquire()
                    order.update { $0.append(index) }
                    gate.release()
                }
                await until { gate.waiting == index + 1 }
            }
            gate.release()
            try await group.waitForAll()
        }
        #expect(order.value == Array(0..<20))
        #expect(gate.hasRoom)
    }

    /// Many tasks, of which many are cancelled at any moment: the slots are all there in the end, and never exceeded.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func aGateLosesNoSlot(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let gate = gate(3)
        let inside = Recorded((now: 0, most: 0))
        let tasks = (0..<200).map { _ in
            Task {
                try await gate.acquire()
                inside.update { inside in
                    inside.now += 1
                    inside.most = max(inside.most, inside.now)
                }
                await Task.yield()
                inside.update { $0.now -= 1 }
                gate.release()
            }
        }
        for task in tasks where Int.random(in: 0..<3, using: &random) == 0 {
            task.cancel()
            await Task.yield()
        }
        for task in tasks { _ = try? await task.value }
        #expect(inside.value.now == 0)
        #expect(inside.value.most <= 3)
        for _ in 0..<3 { try await gate.acquire() }
        #expect(!gate.hasRoom && gate.waiting == 0)
    }

    @Test func aGateLetsWaitersInWhenItGrows() async throws {
        let gate = gate(1, upTo: 8)
        try await gate.acquire()
        async let second: Void = gate.acquire()
        async let third: Void = gate.acquire()
        await until { gate.waiting == 2 }
        // A far host: more at once.
        gate.measured(roundTrip: 0.1)
        try await second
        try await third
        #expect(gate.hasRoom)
    }

    @Test func aCancelledTaskTakesNoSlot() async throws {
        let gate = gate(1)
        let task = Task {
            await until { Task.isCancelled }
            try await gate.acquire()
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(gate.hasRoom)
    }

    // MARK: Bytes

    @Test func aBudgetServesInOrder() async throws {
        let budget = ByteBudget(limit: 100)
        let order = Recorded<[Int64]>([])
        let open = Gate()
        try await withThrowingTaskGroup { group in
            group.addTask {
                try await budget.withBytes(60) { () async throws(TransferError) in try? await open.opened() }
            }
            await until { budget.free == 40 }
            // The first needs more than is free; the second would fit, but came later.
            for (index, bytes) in ([70, 10, 30] as [Int64]).enumerated() {
                group.addTask {
                    try await budget.withBytes(bytes) { () async throws(TransferError) in
                        order.update { $0.append(bytes) }
                    }
                }
                await until { budget.waiting == index + 1 }
            }
            #expect(order.value.isEmpty)
            open.open()
            try await group.waitForAll()
        }
        #expect(order.value.first == 70)
        #expect(budget.free == 100 && budget.waiting == 0)
    }

    /// One that waits for much and is cancelled no longer holds up those behind it.
    @Test func aCancelledWaiterMakesWay() async throws {
        let budget = ByteBudget(limit: 100)
        let open = Gate()
        try await withThrowingTaskGroup { group in
            group.addTask {
                try await budget.withBytes(60) { () async throws(TransferError) in try? await open.opened() }
            }
            await until { budget.free == 40 }
            let large = Task { try await budget.withBytes(90) { () async throws(TransferError) in } }
            await until { budget.waiting == 1 }
            let small = Task { try await budget.withBytes(10) { () async throws(TransferError) in } }
            await until { budget.waiting == 2 }
            large.cancel()
            await #expect(throws: TransferError.self) { try await large.value }
            // While the first still holds its bytes.
            try await small.value
            open.open()
            try await group.waitForAll()
        }
        #expect(budget.free == 100)
    }

    @Test func moreThanTheWholeBudgetWaitsForAllOfIt() async throws {
        let budget = ByteBudget(limit: 10)
        try await budget.withBytes(.max) { () async throws(TransferError) in #expect(budget.free == 0) }
        #expect(budget.free == 10)
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func aBudgetLosesNoByte(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let budget = ByteBudget(limit: 100)
        let held = Recorded((now: 0 as Int64, most: 0 as Int64))
        let tasks = (0..<200).map { _ in
            let bytes = Int64.random(in: 0...100, using: &random)
            let fails = Bool.random(using: &random)
            return Task {
                try await budget.withBytes(bytes) { () async throws(TransferError) in
                    held.update { held in
                        held.now += bytes
                        held.most = max(held.most, held.now)
                    }
                    await Task.yield()
                    held.update { $0.now -= bytes }
                    if fails { throw TransferError(.spoolFailed, "scripted") }
                }
            }
        }
        for task in tasks where Int.random(in: 0..<3, using: &random) == 0 {
            task.cancel()
            await Task.yield()
        }
        for task in tasks { _ = try? await task.value }
        #expect(held.value.now == 0)
        #expect(held.value.most <= 100)
        #expect(budget.free == 100 && budget.waiting == 0)
    }
}
