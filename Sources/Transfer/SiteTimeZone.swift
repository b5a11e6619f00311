import FoundationEssentials
// The only file that needs the time zone database, which comes with ICU.
import FoundationInternationalization

/// The time zone that a site's clocks on the wall show.
///
/// All instants are seconds since 1970 (UTC), as the machine's clock counts them; a *local* time is what such a count
/// would be if the wall clock's reading were UTC.
public struct SiteTimeZone: Sendable, Hashable, CustomStringConvertible {
    /// Coordinated Universal Time: no summer time, no offset.
    public static let utc = SiteTimeZone(name: "UTC", zone: .gmt)

    /// The name in the IANA database, such as `Europe/Zurich`.
    public let name: String
    private let zone: TimeZone

    private init(name: String, zone: TimeZone) {
        self.name = name
        self.zone = zone
    }

    /// A zone by its name in the IANA database, such as `Europe/Zurich`, or `UTC`. Abbreviations such as `EST` are not
    /// names of places, and mean different things in different places.
    ///
    /// - Parameter name: the name; `nil` results for one that is not known
    public init?(_ name: String) {
        guard name != "UTC" else {
            self = .utc
            return
        }
        guard name.contains("/"), let zone = TimeZone(identifier: name) else { return nil }
        self.init(name: name, zone: zone)
    }

    public var description: String { name }

    /// Seconds that the wall clock is ahead of UTC at an instant.
    func offset(at instant: Int64) -> Int64 {
        Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant))))
    }

    /// The day that the calendar on the wall shows at an instant.
    func day(at instant: Int64) -> CivilDay {
        CivilDay(number: CivilDay.floor(instant + offset(at: instant), by: 86_400))
    }

    /// The first instant of a day.
    func start(of day: CivilDay) -> Int64 { instant(ofLocal: day.number * 86_400) }

    /// The instant at which the wall clock first shows a local time, or, where clocks are set forward over it, the
    /// instant at which they are.
    func instant(ofLocal local: Int64) -> Int64 {
        // No zone is more than 15 hours from UTC: these two lie on either side of any change that matters here, and no
        // zone changes twice in two days.
        let before = offset(at: local - 86_400)
        let after = offset(at: local + 86_400)
        // The larger offset is the earlier instant: of a reading that occurs twice, the first.
        for offset in [max(before, after), min(before, after)] where self.offset(at: local - offset) == offset {
            return local - offset
        }
        // The reading is skipped: the change lies between the two instants that would have it.
        var low = local - max(before, after)
        var high = local - min(before, after)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if offset(at: middle) == before { low = middle } else { high = middle }
        }
        return high
    }

    /// An instant as the wall shows it, to the minute: `2026-10-26 20:00 Europe/Zurich`.
    func text(_ instant: Int64) -> String {
        let day = day(at: instant)
        let minute = (instant + offset(at: instant) - day.number * 86_400) / 60
        return "\(day) \(CivilDay.padded(minute / 60, to: 2)):\(CivilDay.padded(minute % 60, to: 2)) \(name)"
    }
}
