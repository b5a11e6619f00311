import ImageLayout
import OCI
import Synchronization

/// Who is looking through a repository's manifests for what is attached to what: one task a repository, however many
/// requests wait for it, and one step of it at a time on the disk's threads, so that others have their turn.
final class AttachmentReadings: Sendable {
    private struct State {
        var tasks: [Repository: (number: Int, task: Task<AttachmentReading, any Error>)] = [:]
        var last = 0
    }

    private let state = Mutex(State())

    /// All that is attached to anything in a repository.
    func complete(_ repository: Repository, _ layout: ImageLayout, _ disk: DiskThreads) async throws
        -> AttachmentReading
    {
        let (task, isShared) = state.withLock { state -> (Task<AttachmentReading, any Error>, Bool) in
            if let (_, task) = state.tasks[repository] { return (task, true) }
            state.last += 1
            let number = state.last
            let task = Task {
                defer { end(repository, number) }
                return try await Self.read(AttachmentReading(), repository, layout, disk)
            }
            state.tasks[repository] = (number, task)
            return (task, false)
        }
        let reading = try await task.value
        // A task that began before this request may have missed what was pushed before it.
        return isShared ? try await Self.read(reading, repository, layout, disk) : reading
    }

    private func end(_ repository: Repository, _ number: Int) {
        state.withLock { if $0.tasks[repository]?.number == number { $0.tasks[repository] = nil } }
    }

    private static func read(
        _ reading: AttachmentReading, _ repository: Repository, _ layout: ImageLayout, _ disk: DiskThreads
    ) async throws -> AttachmentReading {
        while try await !disk.run({ () throws(LayoutError) in try layout.readAttachments(of: repository, reading) }) {}
        return reading
    }
}
