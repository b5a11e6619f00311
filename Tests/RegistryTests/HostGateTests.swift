import HTTP
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(5)))
struct HostGateTests {
    private func limits(_ download: Int) -> HostGate.Limits {
        var limits = HostGate.Limits()
        limits.download = download
        return limits
    }

    /// Waits until so many wait: what the test's own tasks do, without a clock.
    private func until(_ gate: HostGate, waiting count: Int) async {
        while gate.waiting(.download) != count { await Task.yield() }
    }

    @Test func firstComeFirstServed() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        try await gate.acquire(.download)
        let order = Recorder<Int>()
        try await withThrowingTaskGroup { group in
            for number in 0..<5 {
                group.addTask {
                    try await gate.acquire(.download)
                    order.append(number)
                    gate.release(.download)
                }
                await until(gate, waiting: number + 1)
            }
            gate.release(.download)
            try await group.waitForAll()
        }
        #expect(order.values == [0, 1, 2, 3, 4])
        #expect(gate.waiting(.download) == 0)
    }

    @Test func aCancelledWaiterLeavesAndTakesNoSlot() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        try await gate.acquire(.download)
        let cancelled = Task { try await gate.acquire(.download) }
        await until(gate, waiting: 1)
        let next = Task { try await gate.acquire(.download) }
        await until(gate, waiting: 2)
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        gate.release(.download)
        try await next.value
        gate.release(.download)
        try await gate.acquire(.download)
    }

    @Test func aTaskCancelledBeforehandIsRefused() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await gate.acquire(.download)
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        try await gate.acquire(.download)
    }

    @Test func lanesDoNotWaitForEachOther() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        try await gate.acquire(.download)
        try await gate.acquire(.control)
        try await gate.acquire(.upload)
    }

    @Test func aPauseHoldsEveryoneBackUntilItsEnd() async throws {
        let clock = ManualClock()
        let gate = HostGate(limits: limits(8), timing: clock.timing)
        gate.pause(until: clock.now + .seconds(10))
        gate.pause(until: clock.now + .seconds(3))  // the longer one stands
        try await gate.acquire(.download)
        #expect(clock.sleeps == [.seconds(10)])
        try await gate.acquire(.control)
        #expect(clock.sleeps == [.seconds(10)])
    }

    @Test func cancellingDuringAPauseGivesTheSlotBack() async throws {
        let clock = ManualClock()
        var timing = clock.timing
        timing.sleep = { _ in throw CancellationError() }
        let gate = HostGate(limits: limits(1), timing: timing)
        gate.pause(until: clock.now + .seconds(10))
        await #expect(throws: CancellationError.self) { try await gate.acquire(.download) }
        clock.advance(by: .seconds(11))
        try await gate.acquire(.download)
    }

    @Test func oneGateForEachHostAndPort() throws {
        let gates = HostGates()
        let a = gates.gate(for: try HTTPURL("https://a.example/x"))
        #expect(a === gates.gate(for: try HTTPURL("https://a.example:443/y?z")))
        #expect(a !== gates.gate(for: try HTTPURL("https://a.example:444/x")))
        // Idle gates are forgotten beyond a bound; one that is in use is kept.
        let held = gates.gate(for: try HTTPURL("https://held.example/"))
        held.pause(until: .now + .seconds(1000))
        for number in 0..<600 { _ = gates.gate(for: try HTTPURL("https://h\(number).example/")) }
        #expect(held === gates.gate(for: try HTTPURL("https://held.example/")))
        #expect(a !== gates.gate(for: try HTTPURL("https://a.example/x")))
    }
}
