/// When a site may transfer, by the clock on its wall. A pure value.
///
/// A window opens at the first instant at which the wall clock shows its beginning and closes, once and for good, at the
/// first instant after that at which it shows the end; a time that the clocks skip is the moment at which they are set.
/// So a night in which the clocks are set back is an hour longer, and one in which they are set forward an hour shorter.
public struct TransferWindows: Sendable, Hashable {
    /// One time that comes again every week.
    public struct Window: Sendable, Hashable {
        /// The days on which it opens.
        public let days: Set<Weekday>
        /// When it opens, in minutes after midnight: 0 to 1439.
        public let from: Int
        /// When it closes, in minutes after midnight: 1 to 1440; not after `from` means on the next day.
        public let to: Int

        /// - Parameters:
        ///   - days: the days on which it opens
        ///   - from: when it opens, in minutes after midnight: 0 to 1439
        ///   - to: when it closes, in minutes after midnight: 0 to 1440; one that is not after `from` is meant on the
        ///     next day
        public init(days: Set<Weekday>, from: Int, to: Int) {
            self.days = days
            self.from = min(max(0, from), 1439)
            self.to = min(max(0, to), 1440)
        }
    }

    /// Where the clock hangs. Days and months of the byte ledger are this wall's too.
    public let timeZone: SiteTimeZone
    /// The windows; none at all is no limit.
    public let windows: [Window]

    /// - Parameters:
    ///   - timeZone: where the clock hangs
    ///   - windows: the windows; none at all is no limit
    public init(timeZone: SiteTimeZone = .utc, windows: [Window] = []) {
        self.timeZone = timeZone
        self.windows = windows
    }

    /// Whether transfers may run, and until when that holds.
    public struct Standing: Equatable, Sendable {
        /// Whether transfers may run.
        public let isOpen: Bool
        /// The first instant at which it is otherwise, in seconds since 1970; `nil` for never.
        public let until: Int64?
    }

    /// Whether transfers may run at an instant.
    ///
    /// - Parameter instant: seconds since 1970
    func isOpen(at instant: Int64) -> Bool { standing(at: instant).isOpen }

    /// Whether transfers may run at an instant, and until when that holds.
    ///
    /// - Parameter instant: seconds since 1970
    public func standing(at instant: Int64) -> Standing {
        guard !windows.isEmpty else { return Standing(isOpen: true, until: nil) }
        let today = timeZone.day(at: instant)
        // Two days back, since a window may end on the day after it opened; a good two weeks ahead, since the only window
        // of a week may fall into the hour that is skipped.
        let days = (-2...16).map { CivilDay(number: today.number + $0) }
        var runs: [Range<Int64>] = []
        for interval in days.flatMap(intervals(openingOn:)).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = runs.last, interval.lowerBound <= last.upperBound {
                runs[runs.count - 1] = last.lowerBound..<max(last.upperBound, interval.upperBound)
            } else {
                runs.append(interval)
            }
        }
        let horizon = timeZone.start(of: CivilDay(number: today.number + 16))
        if let run = runs.first(where: { $0.contains(instant) }) {
            // What has no end in two weeks has none: weeks are alike.
            return Standing(isOpen: true, until: run.upperBound < horizon ? run.upperBound : nil)
        }
        return Standing(isOpen: false, until: runs.first { $0.lowerBound > instant }?.lowerBound ?? horizon)
    }

    private func intervals(openingOn day: CivilDay) -> [Range<Int64>] {
        windows.compactMap { window in
            guard window.days.contains(day.weekday) else { return nil }
            let lastDay = window.to > window.from ? day : day.next
            let start = timeZone.instant(ofLocal: day.number * 86_400 + Int64(window.from) * 60)
            let end = timeZone.instant(ofLocal: lastDay.number * 86_400 + Int64(window.to) * 60)
            return start < end ? start..<end : nil
        }
    }
}
