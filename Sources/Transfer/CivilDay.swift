/// A day of the (proleptic Gregorian) calendar, wherever it is: arithmetic without clocks and time zones.
struct CivilDay: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Days since 1970-01-01.
    let number: Int64

    init(number: Int64) { self.number = number }

    /// - Parameters:
    ///   - year: the year
    ///   - month: the month, 1 to 12
    ///   - day: the day of the month, from 1
    init(year: Int64, month: Int64, day: Int64) {
        // Counted in years that begin with March, so that the leap day is the last of its year; 146 097 days are 400
        // years (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
        let marchYear = month <= 2 ? year - 1 : year
        let era = Self.floor(marchYear, by: 400)
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        number = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// Year, month and day of the month; the inverse of the initializer (`civil_from_days`).
    private var parts: (year: Int64, month: Int64, day: Int64) {
        let shifted = number + 719_468
        let era = Self.floor(shifted, by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    /// The day of the week.
    var weekday: Weekday {
        // 1970-01-01 was a Thursday.
        let index = number + 3 - Self.floor(number + 3, by: 7) * 7
        return Weekday.allCases[Int(index)]
    }

    var next: CivilDay { CivilDay(number: number + 1) }
    var previous: CivilDay { CivilDay(number: number - 1) }

    /// The first day of its month.
    var startOfMonth: CivilDay { CivilDay(number: number - parts.day + 1) }
    /// The first day of the month after its own.
    var startOfNextMonth: CivilDay {
        // Every month has 28 days at least and 31 at most.
        CivilDay(number: startOfMonth.number + 31).startOfMonth
    }

    /// `YYYY-MM-DD`: the order of the texts is that of the days, for years of four digits.
    var description: String {
        let (year, month, day) = parts
        return "\(Self.padded(year, to: 4))-\(Self.padded(month, to: 2))-\(Self.padded(day, to: 2))"
    }

    static func < (left: CivilDay, right: CivilDay) -> Bool { left.number < right.number }

    /// Division that rounds towards minus infinity.
    static func floor(_ value: Int64, by divisor: Int64) -> Int64 {
        value >= 0 ? value / divisor : (value - divisor + 1) / divisor
    }

    static func padded(_ value: Int64, to width: Int) -> String {
        let digits = "\(value)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// A day of the week; the raw value is how files write it.
public enum Weekday: String, Sendable, CaseIterable {
    case monday = "mon"
    case tuesday = "tue"
    case wednesday = "wed"
    case thursday = "thu"
    case friday = "fri"
    case saturday = "sat"
    case sunday = "sun"
}
