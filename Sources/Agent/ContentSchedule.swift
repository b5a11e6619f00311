import OCI
import Readiness

/// Which content is read back next, and when: a pure value.
///
/// Each digest is read once a period, through one of the repositories that need it: registries keep one copy of a digest
/// however many repositories have it, and those that do not are read through another repository the next time. What was
/// never read goes first, then what was read longest ago. Content is due once half of the period has passed, so that a
/// budget which takes the other half is enough. What was read later than now was read by a clock that was wrong, and is due.
struct ContentSchedule {
    /// Content to read back.
    struct Item: Hashable {
        let digest: Digest
        /// Where it is needed; the one to read it through next comes first.
        var entries: [ClosureEntry]
        /// When it was read last.
        var readAt: Timestamp?
    }

    /// The time within which all content is read.
    let period: Duration
    /// Ordered by when it was read; from `next` on, and those before it behind those.
    private var items: [Item]
    private var next = 0

    /// - Parameters:
    ///   - period: the time within which all content is read
    ///   - closure: what the site needs
    ///   - readings: when each content was read last, and through which repository's entry
    init(
        period: Duration, closure: Closure = Closure([]),
        readings: [Digest: (entry: ClosureEntry.Identity?, at: Timestamp)] = [:]
    ) {
        self.period = period
        items = Dictionary(grouping: closure.entries, by: \.digest).map { digest, entries in
            let reading = readings[digest]
            let last = reading?.entry.flatMap { identity in entries.firstIndex { $0.identity == identity } }
            // The one after the last; the first again after all.
            let start = last.map { ($0 + 1) % entries.count } ?? 0
            return Item(digest: digest, entries: Array(entries[start...] + entries[..<start]), readAt: reading?.at)
        }.sorted { left, right in
            (left.readAt?.seconds ?? .min, left.digest) < (right.readAt?.seconds ?? .min, right.digest)
        }
    }

    /// The content to read now; `nil` while nothing is due.
    func due(at now: Timestamp) -> Item? {
        guard let item = items.isEmpty ? nil : items[next] else { return nil }
        guard let readAt = item.readAt, readAt <= now else { return item }
        return now.since(readAt) >= period / 2 ? item : nil
    }

    /// How long until something is due; `nil` where there is nothing to read.
    func wait(at now: Timestamp) -> Duration? {
        guard !items.isEmpty else { return nil }
        guard let readAt = items[next].readAt, readAt <= now else { return .zero }
        return max(.zero, period / 2 - now.since(readAt))
    }

    /// The content that was due has been looked at, whatever was found. It goes behind all others.
    mutating func looked(at now: Timestamp) {
        guard !items.isEmpty else { return }
        items[next].readAt = now
        items[next].entries.append(items[next].entries.removeFirst())
        next = (next + 1) % items.count
    }

    /// The bytes of all content, each digest once.
    var bytes: Int64 { items.reduce(0) { $0 + ($1.entries.first?.size ?? 0) } }

    /// Why a budget cannot be enough; `nil` where it is.
    func shortfall(rate: Int64?, perDay: Int64?) -> String? {
        let seconds = Double(period.components.seconds)
        let budgets = [rate.map { Double($0) * seconds }, perDay.map { Double($0) * seconds / 86_400 }]
        guard let most = budgets.compactMap({ $0 }).min(), Double(bytes) > most else { return nil }
        return
            "\(bytes) bytes are to be read back in \(period.rounded), and 'audit' allows \(Int64(most)): raise its rate,"
            + " quotaPerDay or period"
    }
}
