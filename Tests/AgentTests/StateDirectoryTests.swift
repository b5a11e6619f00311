import FoundationEssentials
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
