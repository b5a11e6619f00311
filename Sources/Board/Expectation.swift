public import Readiness

/// When a site will have everything, as far as what it reports lets one say.
public enum Expectation: Sendable, Hashable {
    /// It proved everything.
    case ready
    /// Everything will be there at about this time.
    case at(Timestamp)
    /// Nothing moves before this time, as the site's windows and quotas have it.
    case pausedUntil(Timestamp)
    /// Nothing is known.
    case unknown

    /// How long an estimate is believed after its moment, in seconds: what was to be over a while ago was an error.
    static let patience: Int64 = 60

    /// What a site that is not ready says itself.
    ///
    /// - Parameters:
    ///   - progress: how far its transfers are
    ///   - now: the coordinator's time
    public init(_ progress: CacheManifest.Progress?, now: Timestamp) {
        if let until = progress?.pausedUntil, until > now {
            self = .pausedUntil(until)
        } else if let at = progress?.estimatedReadyAt, at.advanced(by: .seconds(Self.patience)) > now {
            self = .at(max(at, now))
        } else {
            self = .unknown
        }
    }
}
