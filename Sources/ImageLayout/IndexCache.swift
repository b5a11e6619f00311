import Glibc
import OCI
import Synchronization

/// The indexes that were read last, each as long as its file is the same, and which manifests are attached to which.
final class IndexCache: Sendable {
    private struct State {
        var indexes: [Repository: (version: FileVersion, index: RepositoryIndex)] = [:]
        /// Only of repositories whose index is kept.
        var attachments: [Repository: Attachments] = [:]
        var bytes: Int64 = 0
    }

    /// The most bytes of all indexes together, as files: any single one may be kept, and an index of the most entries
    /// that we write has 40 MiB. In memory they take about three times as much, and as much again what is attached.
    static let limit = Int64(RepositoryIndex.maximumSize)
    private let limit: Int64
    private let state = Mutex(State())

    init(limit: Int64 = IndexCache.limit) { self.limit = limit }

    func index(of repository: Repository, _ version: FileVersion) -> RepositoryIndex? {
        state.withLock { $0.indexes[repository].flatMap { $0.version == version ? $0.index : nil } }
    }

    func keep(_ index: RepositoryIndex, of repository: Repository, _ version: FileVersion) {
        state.withLock { state in
            state.bytes -= state.indexes.removeValue(forKey: repository)?.version.size ?? 0
            guard version.size <= limit else {
                state.attachments[repository] = nil
                return
            }
            while state.bytes + version.size > limit, let other = state.indexes.keys.first {
                state.bytes -= state.indexes.removeValue(forKey: other)?.version.size ?? 0
                state.attachments[other] = nil
            }
            state.indexes[repository] = (version, index)
            state.bytes += version.size
        }
    }

    /// What is known of a repository, whichever version of its index it is from: what a manifest says never changes.
    func attachments(of repository: Repository) -> Attachments {
        state.withLock { $0.attachments[repository] ?? Attachments() }
    }

    func keep(_ attachments: Attachments, of repository: Repository) {
        state.withLock { state in
            // Bounded as the indexes are: none without one.
            guard state.indexes[repository] != nil else { return }
            state.attachments[repository] = attachments
        }
    }
}
