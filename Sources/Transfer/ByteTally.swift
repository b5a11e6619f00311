/// The bytes that a site took from the network, by day of its calendar, and what is left of its quotas. A pure value.
struct ByteTally: Equatable {
    /// What a day and a month may bring, in bytes; `nil` for any amount.
    struct Quotas: Equatable, Sendable {
        var perDay: Int64?
        var perMonth: Int64?
    }

    /// A quota with less than this left is used up: bytes come in pieces of up to 16 KiB, which are taken whole, and no
    /// piece may go over it.
    static let piece: Int64 = 16 << 10

    private let timeZone: SiteTimeZone
    private let quotas: Quotas
    private var days: [CivilDay: Int64]

    // What follows from the above for one day, so that most calls look at nothing else.
    private var day: CivilDay
    private var dayInstants: Range<Int64>
    private(set) var bytesOfDay: Int64 = 0
    private(set) var bytesOfMonth: Int64 = 0

    /// - Parameters:
    ///   - days: what was counted before
    ///   - quotas: the quotas
    ///   - timeZone: the site's
    ///   - now: seconds since 1970
    init(days: [CivilDay: Int64] = [:], quotas: Quotas, timeZone: SiteTimeZone, now: Int64) {
        self.days = days
        self.quotas = quotas
        self.timeZone = timeZone
        day = CivilDay(number: 0)
        dayInstants = 0..<0
        turn(to: now)
    }

    /// Counts bytes at an instant; the clock may go back, also to another day.
    ///
    /// - Returns: the day that they belong to, and all its bytes
    mutating func count(_ bytes: Int64, at now: Int64) -> (day: CivilDay, bytes: Int64) {
        turn(to: now)
        bytesOfDay = bytesOfDay.saturatingAdding(bytes)
        bytesOfMonth = bytesOfMonth.saturatingAdding(bytes)
        days[day] = bytesOfDay
        return (day, bytesOfDay)
    }

    /// Why nothing more may be taken at an instant; `nil` while something may.
    mutating func pause(at now: Int64) -> TransferPause? {
        turn(to: now)
        if let quota = quotas.perMonth, quota - bytesOfMonth < Self.piece {
            return TransferPause(
                .quotaPerMonth, "the month's quota of \(quota) bytes is used up",
                until: timeZone.start(of: day.startOfNextMonth), in: timeZone)
        }
        if let quota = quotas.perDay, quota - bytesOfDay < Self.piece {
            return TransferPause(
                .quotaPerDay, "the day's quota of \(quota) bytes is used up", until: dayInstants.upperBound,
                in: timeZone)
        }
        return nil
    }

    /// Makes the day and the month those of an instant.
    mutating func turn(to now: Int64) {
        guard !dayInstants.contains(now) else { return }
        day = timeZone.day(at: now)
        dayInstants = timeZone.start(of: day)..<timeZone.start(of: day.next)
        bytesOfDay = days[day] ?? 0
        let month = day.startOfMonth..<day.startOfNextMonth
        bytesOfMonth = days.reduce(0) { month.contains($1.key) ? $0.saturatingAdding($1.value) : $0 }
    }
}

extension Int64 {
    /// The sum, or the greatest number where it is above that: figures come from outside.
    func saturatingAdding(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
