/// A moment in UTC, to the second, written as RFC 3339 has it: `2026-03-01T12:00:00Z`.
///
/// Years 1970 to 9999. One form only, so that equal moments are equal bytes in every document.
public struct Timestamp: Hashable, Sendable {
    /// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    public let seconds: Int64

    private static let range: ClosedRange<Int64> = 0...253_402_300_799
    private static let secondsPerDay: Int64 = 86_400

    /// - Parameter seconds: seconds since 1970-01-01T00:00:00Z; held to the years 1970 to 9999
    public init(seconds: Int64) {
        self.seconds = min(max(seconds, Self.range.lowerBound), Self.range.upperBound)
    }

    /// Parses `YYYY-MM-DDTHH:MM:SSZ`.
    ///
    /// - Throws: `ReadinessError.invalidTime` for any other form, also for an offset or a fraction, and for a date that
    ///   the calendar does not have.
    public init(_ text: String) throws(ReadinessError) {
        let refusal = ReadinessError(
            .invalidTime, "'\(text.prefix(40))' is not a time: write it in UTC as 2026-03-01T12:00:00Z")
        let bytes = Array(text.utf8)
        let form = Array("0000-00-00T00:00:00Z".utf8)
        guard bytes.count == form.count else { throw refusal }
        var fields: [Int64] = [0]
        for (byte, expected) in zip(bytes, form) {
            if expected == UInt8(ascii: "0") {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { throw refusal }
                fields[fields.count - 1] = fields[fields.count - 1] * 10 + Int64(byte - UInt8(ascii: "0"))
            } else {
                guard byte == expected else { throw refusal }
                fields.append(0)
            }
        }
        let (year, month, day) = (fields[0], fields[1], fields[2])
        let (hour, minute, second) = (fields[3], fields[4], fields[5])
        guard year >= 1970, (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60 else {
            throw refusal
        }
        seconds =
            Self.days(year: year, month: month, day: day) * Self.secondsPerDay + hour * 3600 + minute * 60 + second
        // 31 April would read as 1 May.
        guard description == text else { throw refusal }
    }

    /// The moment a duration later, or earlier for a negative one; held to the years 1970 to 9999.
    public func advanced(by duration: Duration) -> Timestamp {
        let (sum, overflow) = seconds.addingReportingOverflow(duration.components.seconds)
        return Timestamp(seconds: overflow ? (duration < .zero ? .min : .max) : sum)
    }

    /// How long after another moment this one is; negative where it is before.
    public func since(_ other: Timestamp) -> Duration { .seconds(seconds - other.seconds) }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar. Counting years from March puts the leap day last.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month > 2 ? year : year - 1
        let marchMonth = (month + 9) % 12
        let dayOfYear = (153 * marchMonth + 2) / 5 + day - 1
        return 365 * marchYear + marchYear / 4 - marchYear / 100 + marchYear / 400 + dayOfYear - 719_468
    }
}

extension Timestamp: CustomStringConvertible, Comparable, Codable {
    public var description: String {
        let days = seconds / Self.secondsPerDay
        let time = seconds % Self.secondsPerDay
        // The year is found from a first guess that is at most one too late, the month from the day within it.
        var year = 1970 + days / 365
        while Self.days(year: year, month: 1, day: 1) > days { year -= 1 }
        var month: Int64 = 12
        while Self.days(year: year, month: month, day: 1) > days { month -= 1 }
        let day = days - Self.days(year: year, month: month, day: 1) + 1
        func padded(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(padded(month))-\(padded(day))"
            + "T\(padded(time / 3600)):\(padded(time / 60 % 60)):\(padded(time % 60))Z"
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.seconds < right.seconds }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension Duration {
    /// The duration in the largest unit that leaves a whole number of at least two, for messages: `26 h`, `90 min`.
    public var rounded: String {
        let seconds = abs(components.seconds)
        return switch seconds {
        case (2 * 86_400)...: "\(seconds / 86_400) d"
        case (2 * 3600)...: "\(seconds / 3600) h"
        case 120...: "\(seconds / 60) min"
        default: "\(seconds) s"
        }
    }
}
