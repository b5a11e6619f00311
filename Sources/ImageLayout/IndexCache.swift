import Glibc
import OCI
import Synchronization

/// The indexes that were read last, each as long as its file is the same.
final class IndexCache: Sendable {
    /// What tells one version of a file from another: every version is a file of its own, renamed into place.
    struct Version: Hashable {
        let inode: UInt64
        let size: Int64
        let seconds: Int64
        let nanoseconds: Int64

        init(_ status: stat) {
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            seconds = Int64(status.st_mtim.tv_sec)
            nanoseconds = Int64(status.st_mtim.tv_nsec)
        }
    }

    private struct State {
        var indexes: [Repository: (version: Version, index: RepositoryIndex)] = [:]
        var referrers: [Repository: (version: Version, referrers: Referrers)] = [:]
        var entries = 0
    }

    /// The most entries of all indexes together; some 400 bytes each.
    static let limit = 50_000
    private let state = Mutex(State())

    func index(of repository: Repository, _ version: Version) -> RepositoryIndex? {
        state.withLock { $0.indexes[repository].flatMap { $0.version == version ? $0.index : nil } }
    }

    func keep(_ index: RepositoryIndex, of repository: Repository, _ version: Version) {
        state.withLock { state in
            state.entries -= state.indexes.removeValue(forKey: repository)?.index.entries.count ?? 0
            guard index.entries.count <= Self.limit else { return }
            while state.entries + index.entries.count > Self.limit, let other = state.indexes.keys.first {
                state.entries -= state.indexes.removeValue(forKey: other)?.index.entries.count ?? 0
                state.referrers[other] = nil
            }
            state.indexes[repository] = (version, index)
            state.entries += index.entries.count
        }
    }

    /// What is known of a repository's referrers, of whatever version: what a manifest says never changes.
    func referrers(of repository: Repository) -> Referrers {
        state.withLock { $0.referrers[repository]?.referrers ?? Referrers() }
    }

    func keep(_ referrers: Referrers, of repository: Repository, _ version: Version) {
        state.withLock { state in
            // Bounded as the indexes are: none without one.
            guard state.indexes[repository] != nil else { return }
            state.referrers[repository] = (version, referrers)
        }
    }
}
