/// How a source stands, for people and for monitoring.
public struct SourceStanding: Sendable, Hashable {
    /// Whether it may be asked.
    public enum State: String, Sendable, CaseIterable {
        /// It is asked.
        case usable
        /// It failed, and is left alone for some seconds.
        case resting
        /// It has failed for so long that blobs do not wait for it.
        case givenUp
    }

    /// Its name.
    public let name: String
    /// Sources of a lower number are asked first.
    public let priority: Int
    /// Its share of the requests among sources of its priority.
    public let weight: Int
    /// Whether it may be asked.
    public let state: State
    /// Whether it served bytes, not long ago, that did not hash to what was asked for.
    public let isSuspect: Bool
    /// The last failure in words.
    public let lastFailure: String?
}

extension TransferEngine {
    /// How each source stands now, in the order of the configuration.
    public var sourceStandings: [SourceStanding] {
        sources.map { active in
            let candidate = active.candidate(isRefused: false)
            let state: SourceStanding.State =
                switch candidate.availability {
                case .usable: .usable
                case .resting: .resting
                case .givenUp: .givenUp
                }
            return SourceStanding(
                name: active.name, priority: candidate.priority, weight: candidate.weight, state: state,
                isSuspect: candidate.isSuspect, lastFailure: active.lastFailure)
        }
    }

    /// Bytes of the files of blobs on their way, and of those that wait for a later pass: each has its full length from its
    /// first moment.
    public var spooledBytes: Int64 { spool.bytesOfFiles }
}
