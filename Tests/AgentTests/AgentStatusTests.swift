import FoundationEssentials
import Glibc
import HTTP
import OCI
import ObjectStore
import Readiness
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Agent

/// When an agent says that it does not do its work.
@Suite struct AgentStatusTests {
    private struct Broken: Error, CustomStringConvertible { let description = "the registry is away" }

    /// One failure is nothing; failing for longer than the agent's patience is a fault, until a pass succeeds.
    @Test func passesThatFailAreAFault() {
        let now = Mutex<Int64>(1000)
        let status = AgentStatus { Timestamp(seconds: now.withLock { $0 }) }
        func fail() {
            _ = status.passStarted("test")
            status.passFailed(Broken())
        }
        var faults: [String] {
            status.storeReached()
            return status.current.faults(at: Timestamp(seconds: now.withLock { $0 }))
        }
        fail()
        #expect(faults == [])
        now.withLock { $0 += 300 }
        fail()
        #expect(faults == [])
        now.withLock { $0 += 1 }
        #expect(
            faults == ["every pass since \(Timestamp(seconds: 1000)) has failed, the last one so: the registry is away"]
        )
        // What could not be said at all is no failure of a pass.
        status.passFailed(Broken())
        _ = status.passStarted("test")
        status.passFinished(
            PassReport(
                lists: 0, unreadableLists: 0, closure: Closure([]), missing: [], damaged: [:], leftAlone: [],
                delivered: [], failures: [], postponed: 0, pause: nil, sourceFaults: [:]))
        #expect(faults == [])
        fail()
        now.withLock { $0 += 300 }
        #expect(faults == [])
    }

    /// Where passes are impossible, nobody has to wait for that to be said.
    @Test func aStoreThatCannotBeReliedOnIsAFaultAtOnce() {
        let status = AgentStatus { Timestamp(seconds: 1000) }
        status.storeReached()
        _ = status.passStarted("test")
        status.passFailed(ObjectStoreError(.unsupportedStore, "its conditional writes do not exclude", at: "s3://b/"))
        #expect(
            status.current.faults(at: Timestamp(seconds: 1000)) == [
                "no pass is made with this object store: s3://b/: its conditional writes do not exclude"
            ])
        _ = status.passStarted("test")
        status.passFailed(Broken())
        #expect(status.current.faults(at: Timestamp(seconds: 1000)) == [])
    }

    @Test func aWrongClockIsAFault() {
        let status = AgentStatus { Timestamp(seconds: 1000) }
        status.storeReached()
        #expect(status.current.faults(at: Timestamp(seconds: 1000)) == [])
        status.update { $0.clockFault = "this machine's clock is 600 s ahead" }
        #expect(status.current.faults(at: Timestamp(seconds: 1000)) == ["this machine's clock is 600 s ahead"])
    }
}

/// What `/status` says.
@Suite struct StatusDocumentTests {
    private struct Told: Decodable, Equatable {
        struct Windows: Decodable, Equatable { let open: Bool, until: String?, timeZone: String }
        let windows: Windows?
    }

    private func told(_ windows: [TransferWindows.Window], at time: Int64) throws -> Told {
        let now = Timestamp(seconds: time)
        let view = AgentView(
            at: now, state: AgentStatus { now }.current, silence: .zero, transfer: TransferProgress(), sources: [],
            hosts: [:], disks: [], windows: TransferWindows(timeZone: .utc, windows: windows))
        let text = StatusDocument(view, version: "1", readiness: []).text
        return try JSONDecoder().decode(Told.self, from: Data(text.utf8))
    }

    /// Whether a window is open, and when the next one opens or this one closes.
    @Test func theWindowsAreTold() throws {
        let noon: Int64 = 1_772_366_400  // 2026-03-01T12:00:00Z, a Sunday
        let nights = [TransferWindows.Window(days: Set(Weekday.allCases), from: 20 * 60, to: 6 * 60)]
        #expect(
            try told(nights, at: noon).windows
                == .init(open: false, until: "2026-03-01T20:00:00Z", timeZone: "UTC"))
        #expect(
            try told(nights, at: noon + 9 * 3600).windows
                == .init(open: true, until: "2026-03-02T06:00:00Z", timeZone: "UTC"))
        let always = [TransferWindows.Window(days: Set(Weekday.allCases), from: 0, to: 1440)]
        #expect(try told(always, at: noon).windows == .init(open: true, until: nil, timeZone: "UTC"))
        #expect(try told([], at: noon).windows == nil)
    }
}

/// The journal belongs to one registry, from the moment that settings are in use.
@Suite struct ProofJournalTakingTests {
    @Test func anEditThatIsRefusedForgetsNothing() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("proofs.sqlite")
            let digest = Digest(of: [1])
            let repository = try Repository("web/api")
            let journal = try ProofJournal(path: path, registry: "https://one.example")
            try journal.record(journal.beginReading(of: digest, at: Timestamp(seconds: 1)), in: repository)
            // Opened for other settings, which are refused then.
            let other = try ProofJournal(path: path)
            #expect(try journal.readings().keys.contains(digest))
            try journal.take(registry: "https://one.example")
            #expect(try journal.readings().keys.contains(digest))
            try other.take(registry: "https://two.example")
            #expect(try journal.readings().isEmpty)
        }
    }
}

/// Asking the agent that runs for a pass.
@Suite(.timeLimit(.minutes(5))) struct PassRequestTests {
    @Test func whoFindsTheDirectoryFreeTakesIt() async throws {
        try await withTemporaryDirectory { directory in
            let taken = try await PassRequests.take(directory.path, orAskFor: .sync) { _ in Issue.record("asked") }
            guard case .directory = taken else {
                Issue.record("\(taken)")
                return
            }
            // Another command has it, and answers nothing.
            await #expect(throws: AgentError.self) {
                _ = try await PassRequests.take(directory.path, orAskFor: .sync) { _ in Issue.record("asked") }
            }
        }
    }

    @Test func whoAsksIsAnswered() async throws {
        try await withTemporaryDirectory { directory in
            let state = try StateDirectory(path: directory.path)
            state.takeRequests()
            let requests = PassRequests(in: directory.path)
            #expect(requests.pending.isEmpty)
            async let taken = PassRequests.take(directory.path, orAskFor: .verify) { process in
                #expect(process == "\(getpid())")
            }
            await requests.wait()
            let pending = requests.pending
            #expect(pending.map(\.mode) == [.verify])
            requests.answer(pending, .init(failure: AgentError(.incomplete, "no")))
            guard case .answer(let answer) = try await taken else {
                Issue.record("not answered")
                return
            }
            #expect(answer.outcome == "failed")
            #expect(answer.summary == "no")
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("requests")).isEmpty)
        }
    }

    /// The agent ends: who asked takes the directory.
    @Test func anAgentThatEndsLeavesItToWhoAsked() async throws {
        try await withTemporaryDirectory { directory in
            var state: StateDirectory? = try StateDirectory(path: directory.path)
            state?.takeRequests()
            async let taken = PassRequests.take(directory.path, orAskFor: .sync) { _ in }
            await PassRequests(in: directory.path).wait()
            state = nil
            guard case .directory = try await taken else {
                Issue.record("it did not take the directory")
                return
            }
        }
    }
}

@Suite struct ListenAddressTests {
    @Test func aPortThatIsTakenIsFound() throws {
        #expect(ListenAddress(host: "127.0.0.1", port: 0).fault == nil)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(descriptor, $0, length) == 0)
                #expect(listen(descriptor, 1) == 0)
                #expect(getsockname(descriptor, $0, &length) == 0)
            }
        }
        let port = Int(UInt16(bigEndian: place.sin_port))
        #expect(ListenAddress(host: "127.0.0.1", port: port).fault == "Address already in use")
        #expect(ListenAddress(host: "192.0.2.1", port: 0).fault == "Cannot assign requested address")
    }
}
