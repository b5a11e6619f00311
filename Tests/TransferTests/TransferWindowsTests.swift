import TestSupport
import Testing

@testable import Transfer

@Suite struct TransferWindowsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let zone: String
        /// `DAYS HH:MM-HH:MM`, days separated by commas, `*` for all.
        let windows: [String]
        let at: String
        let isOpen: Bool
        /// `nil` for never.
        let until: String?
        var testDescription: String { "\(name), \(at)" }

        init(_ name: String, _ zone: String, _ windows: String..., at: String, open: Bool, until: String?) {
            (self.name, self.zone, self.windows, self.at, isOpen, self.until) = (name, zone, windows, at, open, until)
        }
    }

    private static let nights = "mon,tue,wed,thu,fri 20:00-06:00"

    // Zurich's clocks go from 02:00 to 03:00 on 2026-03-29 at 01:00 UTC, and from 03:00 to 02:00 on 2026-10-25 at 01:00 UTC.
    @Test(arguments: [
        Case("no windows", "Europe/Zurich", at: "2026-10-22 12:00", open: true, until: nil),
        Case("by day", "UTC", "* 09:00-17:00", at: "2026-10-22 08:59", open: false, until: "2026-10-22 09:00"),
        Case("by day", "UTC", "* 09:00-17:00", at: "2026-10-22 09:00", open: true, until: "2026-10-22 17:00"),
        Case("by day", "UTC", "* 09:00-17:00", at: "2026-10-22 17:00", open: false, until: "2026-10-23 09:00"),
        Case("overnight", "Europe/Zurich", nights, at: "2026-10-22 12:00", open: false, until: "2026-10-22 18:00"),
        Case("overnight", "Europe/Zurich", nights, at: "2026-10-22 18:00", open: true, until: "2026-10-23 04:00"),
        Case("overnight", "Europe/Zurich", nights, at: "2026-10-23 03:59", open: true, until: "2026-10-23 04:00"),
        Case("overnight", "Europe/Zurich", nights, at: "2026-10-23 04:00", open: false, until: "2026-10-23 18:00"),
        Case(
            "friday's ends on saturday", "Europe/Zurich", nights, at: "2026-10-24 03:00", open: true,
            until: "2026-10-24 04:00"),
        Case(
            "over a weekend and into winter time", "Europe/Zurich", nights, at: "2026-10-24 04:00", open: false,
            until: "2026-10-26 19:00"),
        Case(
            "a short night", "Europe/Zurich", "sat 20:00-06:00", at: "2026-03-28 19:00", open: true,
            until: "2026-03-29 04:00"),
        Case(
            "a long night", "Europe/Zurich", "sat 20:00-06:00", at: "2026-10-24 18:00", open: true,
            until: "2026-10-25 05:00"),
        Case(
            "begins in the skipped hour", "Europe/Zurich", "sun 02:30-05:00", at: "2026-03-29 00:59", open: false,
            until: "2026-03-29 01:00"),
        Case(
            "begins in the skipped hour", "Europe/Zurich", "sun 02:30-05:00", at: "2026-03-29 01:00", open: true,
            until: "2026-03-29 03:00"),
        Case(
            "ends in the skipped hour", "Europe/Zurich", "sun 00:30-02:30", at: "2026-03-29 00:00", open: true,
            until: "2026-03-29 01:00"),
        Case(
            "is skipped", "Europe/Zurich", "sun 02:15-02:45", at: "2026-03-28 12:00", open: false,
            until: "2026-04-05 00:15"),
        Case(
            "begins in the repeated hour", "Europe/Zurich", "sun 02:30-04:00", at: "2026-10-25 00:29", open: false,
            until: "2026-10-25 00:30"),
        Case(
            "begins in the repeated hour", "Europe/Zurich", "sun 02:30-04:00", at: "2026-10-25 01:10", open: true,
            until: "2026-10-25 03:00"),
        Case(
            "ends in the repeated hour, once", "Europe/Zurich", "sun 00:00-02:30", at: "2026-10-25 00:29", open: true,
            until: "2026-10-25 00:30"),
        Case(
            "ends in the repeated hour, once", "Europe/Zurich", "sun 00:00-02:30", at: "2026-10-25 01:15", open: false,
            until: "2026-10-31 23:00"),
        Case(
            "within the repeated hour, once", "Europe/Zurich", "sun 02:15-02:45", at: "2026-10-25 00:20", open: true,
            until: "2026-10-25 00:45"),
        Case(
            "within the repeated hour, once", "Europe/Zurich", "sun 02:15-02:45", at: "2026-10-25 01:20", open: false,
            until: "2026-11-01 01:15"),
        Case(
            "midnight is skipped", "America/Santiago", "sun 00:00-06:00", at: "2026-09-06 03:59", open: false,
            until: "2026-09-06 04:00"),
        Case(
            "midnight is skipped", "America/Santiago", "sun 00:00-06:00", at: "2026-09-06 04:00", open: true,
            until: "2026-09-06 09:00"),
        Case(
            "half an hour is skipped", "Australia/Lord_Howe", "sun 01:00-02:15", at: "2026-10-03 15:00", open: true,
            until: "2026-10-03 15:30"),
        Case(
            "two that touch are one", "UTC", "mon 20:00-24:00", "tue 00:00-06:00", at: "2026-10-26 21:00", open: true,
            until: "2026-10-27 06:00"),
        Case(
            "two that overlap are one", "UTC", "mon 20:00-02:00", "tue 00:00-06:00", at: "2026-10-26 21:00", open: true,
            until: "2026-10-27 06:00"),
        Case("until midnight", "UTC", "mon 20:00-00:00", at: "2026-10-26 21:00", open: true, until: "2026-10-27 00:00"),
        Case("always", "Europe/Zurich", "* 00:00-24:00", at: "2026-10-24 12:00", open: true, until: nil),
        Case(
            "always, in two parts", "Europe/Zurich", "* 06:00-20:00", "* 20:00-06:00", at: "2026-03-28 12:00",
            open: true, until: nil),
        Case(
            "but for sundays", "Europe/Zurich", "mon,tue,wed,thu,fri,sat 00:00-24:00", at: "2026-10-26 12:00",
            open: true, until: "2026-10-31 23:00"),
        Case("once a week", "UTC", "thu 12:00-12:01", at: "2026-10-22 12:01", open: false, until: "2026-10-29 12:00"),
    ])
    func standing(_ input: Case) throws {
        let windows = try Self.windows(input.zone, input.windows)
        let standing = windows.standing(at: Self.instant(input.at))
        #expect(standing.isOpen == input.isOpen)
        #expect(standing.until == input.until.map(Self.instant))
    }

    /// What is said to hold until an instant holds up to the second before it, and not at it.
    @Test(arguments: [
        "Europe/Zurich", "UTC", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu",
        "Africa/Casablanca", "Pacific/Apia",
    ])
    func whatIsSaidHolds(zone: String) throws {
        var random = SeededGenerator(seed: 7)
        let schedules = [
            ["sat,sun 00:00-24:00", "mon,tue,wed,thu,fri 20:00-06:00"], ["* 01:30-02:30"], ["sun 23:00-03:00"],
            ["* 00:00-00:30", "* 00:30-05:00"],
        ]
        for schedule in schedules {
            let windows = try Self.windows(zone, schedule)
            for _ in 0..<60 {
                // Some day from 2024 to 2031.
                let instant = 1_704_067_200 + Int64.random(in: 0..<8 * 365 * 86_400, using: &random)
                let standing = windows.standing(at: instant)
                let until = try #require(standing.until)
                #expect(until > instant)
                #expect(windows.isOpen(at: until - 1) == standing.isOpen)
                #expect(windows.isOpen(at: until) != standing.isOpen)
                let between = Int64.random(in: instant..<until, using: &random)
                #expect(windows.standing(at: between) == standing)
            }
        }
    }

    @Test(arguments: ["Europe/Zurich", "America/Santiago", "Pacific/Apia", "Asia/Kolkata"])
    func daysFollowEachOther(zone: String) throws {
        let zone = try #require(SiteTimeZone(zone))
        // Samoa had no 2011-12-30: what would have been its beginning is that of the day after.
        for number in CivilDay(year: 2011, month: 12, day: 1).number..<CivilDay(year: 2012, month: 12, day: 1).number {
            let day = CivilDay(number: number)
            let start = zone.start(of: day)
            let isSkipped = zone.start(of: day.next) == start
            #expect(zone.day(at: start) == (isSkipped ? day.next : day))
            #expect(zone.day(at: start - 1) == day.previous || zone.start(of: day.previous) == start)
        }
    }

    @Test(
        arguments: [
            ("UTC", true), ("Europe/Zurich", true), ("Etc/UTC", true), ("America/Argentina/Ushuaia", true),
            ("CET", false), ("EST", false), ("GMT+2", false), ("+02:00", false), ("europe/zurich", false),
            ("Europe/Nowhere", false), ("", false), ("/", false), ("../etc/localtime", false),
        ])
    func zones(name: String, isKnown: Bool) {
        #expect((SiteTimeZone(name) != nil) == isKnown)
    }

    @Test(arguments: [
        (0, "1970-01-01", Weekday.thursday), (-1, "1969-12-31", .wednesday), (11_016, "2000-02-29", .tuesday),
        (20_454, "2026-01-01", .thursday), (-719_162, "0001-01-01", .monday), (47_541, "2100-03-01", .monday),
    ])
    func days(number: Int64, text: String, weekday: Weekday) throws {
        let day = CivilDay(number: number)
        #expect(day.description == text)
        #expect(day.weekday == weekday)
        let parts = text.split(separator: "-").compactMap { Int64($0) }
        #expect(CivilDay(year: parts[0], month: parts[1], day: parts[2]) == day)
    }

    @Test(arguments: [
        ("2026-01-31", "2026-02-01"), ("2026-02-01", "2026-03-01"), ("2024-02-29", "2024-03-01"),
        ("2026-12-31", "2027-01-01"), ("2026-12-01", "2027-01-01"),
    ])
    func months(day: String, next: String) {
        #expect(CivilDay(number: Self.instant("\(day) 00:00") / 86_400).startOfNextMonth.description == next)
    }

    static func windows(_ zone: String, _ texts: [String]) throws -> TransferWindows {
        TransferWindows(
            timeZone: try #require(SiteTimeZone(zone)),
            windows: texts.map { text in
                let parts = text.split { " -".contains($0) }
                let days =
                    parts[0] == "*"
                    ? Weekday.allCases : parts[0].split(separator: ",").compactMap { Weekday(rawValue: String($0)) }
                return .init(days: Set(days), from: minute(parts[1]), to: minute(parts[2]))
            })
    }

    /// Seconds since 1970 of `YYYY-MM-DD HH:MM` in UTC.
    static func instant(_ text: String) -> Int64 {
        let parts = text.split { "- :".contains($0) }.compactMap { Int64($0) }
        return CivilDay(year: parts[0], month: parts[1], day: parts[2]).number * 86_400 + parts[3] * 3600 + parts[4]
            * 60
    }

    private static func minute(_ text: Substring) -> Int {
        let parts = text.split(separator: ":").compactMap { Int($0) }
        return parts[0] * 60 + parts[1]
    }
}
