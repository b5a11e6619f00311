import HTTP
import Synchronization

/// How far a server's clock is ahead of this machine's, as the `Date` of its last answer has it (RFC 9110 section 6.6.1).
final class StoreClock: Sendable {
    private let known = Mutex<Duration?>(nil)

    /// The last one that was told; `nil` where no answer had a date.
    var lead: Duration? { known.withLock { $0 } }

    /// - Parameters:
    ///   - date: the header
    ///   - now: when the answer came, in seconds since 1970
    func note(_ date: String?, at now: Double) {
        guard let time = date.flatMap(HTTPDate.unixTime), let here = Int64(exactly: now.rounded(.down)) else { return }
        known.withLock { $0 = .seconds(Int64(time) - here) }
    }
}
