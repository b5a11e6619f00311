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
        await TestSupport.until { gate.waiting(.download) == count }
    }

    @Test func firstComeFirstServed() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        try await gate.acquire(.download, patience: .seconds(3600))
        let order = Recorder<Int>()
        try await withThrowingTaskGroup { group in
            for number in 0..<5 {
                group.addTask {
                    try await gate.acquire(.download, patience: .seconds(3600))
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
        try await gate.acquire(.download, patience: .seconds(3600))
        let cancelled = Task { try await gate.acquire(.download, patience: .seconds(3600)) }
        await until(gate, waiting: 1)
        let next = Task { try await gate.acquire(.download, patience: .seconds(3600)) }
        await until(gate, waiting: 2)
        cancelled.cancel()
        await #expect(throws: HostGate.Refusal.cancelled) { try await cancelled.value }
        gate.release(.download)
        try await next.value
        gate.release(.download)
        try await gate.acquire(.download, patience: .seconds(3600))
    }

    @Test func aTaskCancelledBeforehandIsRefused() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await gate.acquire(.download, patience: .seconds(3600))
        }
        await #expect(throws: HostGate.Refusal.cancelled) { try await task.value }
        try await gate.acquire(.download, patience: .seconds(3600))
    }

    @Test func lanesDoNotWaitForEachOther() async throws {
        let gate = HostGate(limits: limits(1), timing: .system)
        try await gate.acquire(.download, patience: .seconds(3600))
        try await gate.acquire(.control, patience: .seconds(3600))
        try await gate.acquire(.upload, patience: .seconds(3600))
    }

    @Test func aPauseHoldsEveryoneBackUntilItsEnd() async throws {
        let clock = ManualClock()
        let gate = HostGate(limits: limits(8), timing: clock.timing)
        gate.pause(until: clock.now + .seconds(10))
        gate.pause(until: clock.now + .seconds(3))  // the longer one stands
        try await gate.acquire(.download, patience: .seconds(3600))
        #expect(clock.sleeps == [.seconds(10)])
        try await gate.acquire(.control, patience: .seconds(3600))
        #expect(clock.sleeps == [.seconds(10)])
    }

    @Test func cancellingDuringAPauseGivesTheSlotBack() async throws {
        let clock = ManualClock()
        var timing = clock.timing
        timing.sleep = { _ in throw CancellationError() }
        let gate = HostGate(limits: limits(1), timing: timing)
        gate.pause(until: clock.now + .seconds(10))
        await #expect(throws: HostGate.Refusal.cancelled) {
            try await gate.acquire(.download, patience: .seconds(3600))
        }
        clock.advance(by: .seconds(11))
        try await gate.acquire(.download, patience: .seconds(3600))
    }

    /// Who waits already when a long pause begins is refused with the others: another host may have what it wants.
    @Test func aLongPauseRefusesAlsoThoseWhoWait() async throws {
        let clock = ManualClock()
        let gate = HostGate(limits: limits(1), timing: clock.timing)
        try await gate.acquire(.download, patience: .seconds(120))
        let waiting = Task { try await gate.acquire(.download, patience: .seconds(120)) }
        await until(gate, waiting: 1)
        gate.pause(until: clock.now + .seconds(1800))
        gate.release(.download)
        await #expect(throws: HostGate.Refusal.paused(.seconds(1800))) { try await waiting.value }
        await #expect(throws: HostGate.Refusal.paused(.seconds(1800))) {
            try await gate.acquire(.download, patience: .seconds(120))
        }
        // The slot is free again.
        clock.advance(by: .seconds(1700))
        try await gate.acquire(.download, patience: .seconds(120))
    }

    @Test func eachHostMayHaveLimitsOfItsOwn() async throws {
        let gates = HostGates { url in
            var limits = HostGate.Limits()
            limits.download = url.host == "thin.example" ? 1 : 2
            return limits
        }
        for (host, most) in [("thin.example", 1), ("wide.example", 2)] {
            let gate = gates.gate(for: try HTTPURL("https://\(host)/"))
            for _ in 0..<most { try await gate.acquire(.download, patience: .zero) }
            let next = Task { try await gate.acquire(.download, patience: .zero) }
            await until(gate, waiting: 1)
            next.cancel()
            await #expect(throws: HostGate.Refusal.cancelled) { try await next.value }
        }
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
