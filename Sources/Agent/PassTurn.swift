import Glibc

/// The right to change what is in the site's registry: a pass has it, or pruning, never both.
///
/// A file in the state directory, locked (`flock`) for as long as the value lives. Unlike the directory's own lock it is
/// held for single passes, so that pruning need not wait for the end of a process that runs for months.
final class PassTurn: Sendable {
    private let descriptor: Int32

    /// Takes the turn.
    ///
    /// - Parameter directory: the state directory, which must exist
    /// - Throws: `AgentError.stateLocked` while somebody else has it; `.stateUnusable`, also where it is another user's
    init(in directory: String) throws(AgentError) {
        try StateDirectory.requireOwner(of: directory)
        let path = "\(directory)/pass"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw AgentError(
                .stateUnusable,
                "\(path): cannot be opened: \(String(cString: strerror(errno))): check the state directory's path and its"
                    + " permissions")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            close(descriptor)
            guard number == EWOULDBLOCK else {
                throw AgentError(.stateUnusable, "\(path): cannot be locked: \(String(cString: strerror(number)))")
            }
            throw AgentError(
                .stateLocked,
                "\(directory): a pass, or pruning, is under way with this state directory: try again when it has ended")
        }
        self.descriptor = descriptor
    }

    /// Waits until the turn can be taken.
    ///
    /// - Parameter onWait: called before each wait
    /// - Throws: `AgentError.stateUnusable`, `CancellationError`
    static func waiting(in directory: String, onWait: () -> Void = {}) async throws -> PassTurn {
        while true {
            do throws(AgentError) {
                return try PassTurn(in: directory)
            } catch {
                guard error.code == .stateLocked else { throw error }
            }
            onWait()
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    deinit {
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}
