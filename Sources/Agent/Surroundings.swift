import HTTP
import Logging
import Readiness
import Synchronization

/// What an agent depends on and does not control: the space on its disks, and the clocks of those it speaks to. Looked at
/// between the passes, so that a warning comes before the harm.
final class Surroundings: Sendable {
    /// A clock that is further off is warned of: a fifth of what makes a gate refuse a cache manifest.
    static let clockTolerance = 60.0

    /// What of that which is to come is here already.
    struct Arrived: Sendable {
        /// Bytes of blobs that the registry has taken, since anything was brought.
        var delivered: Int64 = 0
        /// Bytes of files of blobs on their way: each has its full length from its first moment.
        var allocated: Int64 = 0
    }

    private struct State {
        var toCome: Int64 = 0
        /// What had been delivered when that was said.
        var deliveredBefore: Int64 = 0
        var short: Set<String> = []
        var skewed: Set<String> = []
    }

    private let ledger: HostLedger
    /// The directories that are written to, each with the most bytes that are on their way in it.
    private let directories: [(path: String, most: Int64)]
    private let arrived: @Sendable () -> Arrived
    private let state = Mutex(State())

    /// - Parameters:
    ///   - ledger: what hosts answer
    ///   - directories: the directories that are written to, each with the most bytes that are on their way in it
    ///   - arrived: what of that which is to come is here already
    init(
        ledger: HostLedger = HostLedger(), directories: [(path: String, most: Int64)] = [],
        arrived: @escaping @Sendable () -> Arrived = { Arrived() }
    ) {
        self.ledger = ledger
        self.directories = directories
        self.arrived = arrived
    }

    /// The disks now. What is here already takes no more room.
    var disks: [DiskSpace] {
        let arrived = arrived()
        let left = state.withLock { $0.toCome - max(0, arrived.delivered - $0.deliveredBefore) }
        return directories.compactMap {
            DiskSpace(of: $0.path, needed: max(0, min(left, $0.most) - arrived.allocated))
        }
    }

    /// How the hosts stand.
    var hosts: [String: HostLedger.Standing] { ledger.hosts }

    /// Looks, and warns of what was well before.
    ///
    /// - Parameter toCome: bytes that are being brought from now on; what the last pass left missing where `nil`
    func look(_ status: AgentStatus, _ logger: Logger, toCome: Int64? = nil) {
        let delivered = arrived().delivered
        let toCome = toCome ?? status.current.finished?.missingBytes ?? 0
        state.withLock { state in
            state.toCome = toCome
            state.deliveredBefore = delivered
        }
        lookAgain(status, logger)
    }

    /// Looks while what is to come arrives, and warns of what was well before.
    func lookAgain(_ status: AgentStatus, _ logger: Logger) {
        let disks = disks
        let clockFault = Self.faultOfOwnClock(hosts.values.map(\.clockLead))
        status.update { state in
            state.disks = disks
            state.clockFault = clockFault
        }
        let skewed = hosts.compactMap { host, standing in
            standing.clockLead.flatMap { abs($0) > Self.clockTolerance ? (host, $0) : nil }
        }
        let (newlyShort, newlySkewed) = state.withLock { state in
            defer {
                state.short = Set(disks.filter(\.isShort).map(\.path))
                state.skewed = Set(skewed.map(\.0))
            }
            return (
                disks.filter { $0.isShort && !state.short.contains($0.path) },
                skewed.filter { !state.skewed.contains($0.0) }
            )
        }
        for disk in newlyShort {
            logger.warning("a disk runs full", metadata: ["directory": "\(disk.path)", "reason": "\(disk.warning)"])
        }
        for (host, lead) in newlySkewed {
            logger.warning(
                "a clock is wrong",
                metadata: [
                    "host": "\(host)", "seconds": "\(Int64(lead.rounded()))",
                    "reason": "\(Self.advice(host, lead: lead))",
                ])
        }
    }

    /// Why this machine's clock must be the wrong one: all hosts that say the time say another one, further off than gates
    /// accept; `nil` where that is not so.
    ///
    /// - Parameter leads: how far each host's clock is ahead, in seconds; `nil` for one that does not tell
    static func faultOfOwnClock(_ leads: [Double?]) -> String? {
        let leads = leads.compactMap { $0 }
        let limit = Double(clockSkewTolerance.components.seconds)
        guard let nearest = leads.min(by: { abs($0) < abs($1) }), abs(nearest) > limit,
            leads.allSatisfy({ ($0 > 0) == (nearest > 0) })
        else { return nil }
        return
            "this machine's clock is \(Int64(abs(nearest).rounded())) s \(nearest < 0 ? "ahead of" : "behind") every host's"
            + " that tells the time: gates block from \(Int64(limit)) s on"
    }

    /// What a wrong clock means, and what to do.
    static func advice(_ host: String, lead: Double) -> String {
        let difference = "\(Int64(abs(lead).rounded())) s \(lead > 0 ? "ahead of" : "behind")"
        return "the clock of \(host) is \(difference) this machine's: set both by a time server; gates refuse what was"
            + " signed more than 300 s ahead of their clock, and S3 stores refuse requests 900 s away from theirs"
    }
}
