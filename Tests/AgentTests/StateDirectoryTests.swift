import Console
import FoundationEssentials
import Glibc
import Readiness
import TestSupport
import Testing

@testable import Agent

@Suite struct StateDirectoryTests {
    @Test func oneAgentAtATime() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("deep/state")
            var first: StateDirectory? = try StateDirectory(path: path)
            #expect(first != nil)
            let error = #expect(throws: AgentError.self) { try StateDirectory(path: path) }
            #expect(error?.code == .stateLocked)
            let process = ProcessInfo.processInfo.processIdentifier
            #expect(error?.message.contains("(process \(process)) uses this state directory") == true)
            first = nil
            _ = try StateDirectory(path: path)
        }
    }

    /// What another user leaves, root above all, the agent could not read any more.
    @Test func itIsOneUsers() async throws {
        try await withTemporaryDirectory { directory in
            let other = geteuid() &+ 1
            // A volume that is root's may be written by its group; only root is refused before there is a lock.
            try StateDirectory.requireOwner(of: directory.path, user: other)
            #expect(chown(directory.path, getuid(), getgid()) == 0)
            if getuid() != 0 {
                #expect(throws: AgentError.self) { try StateDirectory.requireOwner(of: directory.path, user: 0) }
            }
            _ = try StateDirectory(path: directory.path)
            let error = #expect(throws: AgentError.self) {
                try StateDirectory.requireOwner(of: directory.path, user: other)
            }
            #expect(error?.code == .stateUnusable)
            #expect(
                error?.message.contains("(runuser -u \(Product.name(ofUser: geteuid())) -- rollcall-agent …)") == true)
            try StateDirectory.requireOwner(of: directory.path)
            try StateDirectory.requireUsableFiles(in: directory.path)
        }
    }

    /// Root can write everything, so this is about a process that is told to be somebody else.
    @Test func rootIsRefusedInAnothersDirectory() async throws {
        guard geteuid() == 0 else {
            print("skipped: giving a directory to another user needs root")
            return
        }
        try await withTemporaryDirectory { directory in
            #expect(chown(directory.path, 65_532, 65_532) == 0)
            let error = #expect(throws: AgentError.self) { try StateDirectory(path: directory.path) }
            #expect(error?.message.contains("belongs to the user 'uid-65532'") == true, "\(error?.message ?? "")")
            #expect(throws: AgentError.self) { try PassTurn(in: directory.path) }
            let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
            #expect(left.isEmpty)
        }
    }

    @Test func whenItProvedIsKept() async throws {
        try await withTemporaryDirectory { directory in
            let state = try StateDirectory(path: directory.path)
            #expect(state.provedAt == nil)
            try state.remember(provedAt: Timestamp(seconds: 1_700_000_000))
            #expect(state.provedAt == Timestamp(seconds: 1_700_000_000))
            try directory.write("proved", "yesterday")
            #expect(state.provedAt == nil)
        }
    }

    @Test func whoTakesRequestsSaysSo() async throws {
        try await withTemporaryDirectory { directory in
            let state = try StateDirectory(path: directory.path)
            #expect(!StateDirectory.holder(of: directory.path).takesRequests)
            state.takeRequests()
            #expect(StateDirectory.holder(of: directory.path).takesRequests)
            #expect(StateDirectory.holder(of: directory.path).process == "\(getpid())")
        }
    }

    @Test func sequenceNumbersGrow() async throws {
        try await withTemporaryDirectory { directory in
            let state = try StateDirectory(path: directory.path)
            #expect(try state.nextSequence(after: nil) == 1)
            #expect(try state.nextSequence(after: 1) == 2)
            #expect(try state.nextSequence(after: 41) == 42)
            #expect(try state.nextSequence(after: 3) == 43)
            #expect(try directory.read("sequence") == Array("43\n".utf8))
        }
    }

    @Test(arguments: ["", "abc", "-1", "99999999999999999999", "1 2x"])
    func aSequenceThatCannotBeReadIsNotGuessed(content: String) async throws {
        try await withTemporaryDirectory { directory in
            try directory.write("sequence", content)
            let state = try StateDirectory(path: directory.path)
            let error = #expect(throws: AgentError.self) { try state.nextSequence(after: nil) }
            #expect(error?.message == "\(directory.file("sequence")): not a sequence number: delete the file")
        }
    }

    @Test func theLastSequenceNumberIsNotPassed() async throws {
        try await withTemporaryDirectory { directory in
            let state = try StateDirectory(path: directory.path)
            #expect(throws: AgentError.self) { try state.nextSequence(after: .max) }
        }
    }

    @Test func aPathThatIsNoDirectoryIsNamed() async throws {
        try await withTemporaryDirectory { directory in
            let file = try directory.write("file", "")
            let error = #expect(throws: AgentError.self) { try StateDirectory(path: file) }
            #expect(error?.message.hasPrefix("\(file)/lock: cannot use the state directory: Not a directory") == true)
        }
    }
}
