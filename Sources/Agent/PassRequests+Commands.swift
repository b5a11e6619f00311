import ArgumentParser
import ConfigurationFiles
import Console
import HTTP
import Readiness
import Transfer

/// Takes the state directory, or has the agent that runs with it make a pass.
func taken(_ file: AgentFile, _ mode: SitePass.Mode) async throws -> PassRequests.Taken {
    try await cancelledBySignals {
        try await PassRequests.take(file.state, orAskFor: mode) { process in
            Terminal.complain("an agent runs with this state directory (process \(process)): it makes the pass")
        }
    }
}

extension PassRequests.Answer {
    /// Ends a command as its own pass would.
    ///
    /// - Parameter incomplete: how it ends where something is missing
    func end(of site: SiteName, _ display: ProgressOptions? = nil, incomplete: ExitCode) throws {
        complaints.forEach(Terminal.complain)
        let outcome = AgentStatus.Outcome(rawValue: outcome) ?? .failed
        if outcome == .failed { throw AgentError(.incomplete, "the agent's pass failed: \(summary)") }
        if display?.isForPrograms ?? false {
            let end = (outcome == .complete ? ProgressLine.State.complete : .incomplete, message: summary)
            Terminal.say(ProgressLine(TransferProgress(), at: Timestamp(.system), end: end).text)
        } else {
            print("\(site): \(summary)")
        }
        if outcome != .complete { throw incomplete }
    }
}
