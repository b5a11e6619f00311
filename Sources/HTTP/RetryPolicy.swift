/// When a failed request is sent again, and after which wait. Pure: the driver brings time and chance.
public struct RetryPolicy: Sendable, Hashable {
    /// The most times one request is sent.
    public var attempts: Int
    /// The bound of the first wait; each further bound is double the last.
    public var firstWait: Duration
    /// The bound of any one wait of our own choice.
    public var longestWait: Duration
    /// The most that one request waits in total.
    public var totalWait: Duration

    /// - Parameters:
    ///   - attempts: the most times one request is sent, at least 1
    ///   - firstWait: the bound of the first wait
    ///   - longestWait: the bound of any one wait of our own choice
    ///   - totalWait: the most that one request waits in total
    public init(
        attempts: Int = 6, firstWait: Duration = .milliseconds(500), longestWait: Duration = .seconds(30),
        totalWait: Duration = .seconds(120)
    ) {
        self.attempts = attempts
        self.firstWait = firstWait
        self.longestWait = longestWait
        self.totalWait = totalWait
    }

    /// One attempt's failure.
    public enum Failure: Sendable, Hashable {
        /// A complete response with this status and `Retry-After`.
        case status(Int, retryAfter: Duration?)
        /// No complete response; whether the network's fault.
        case transport(isTransient: Bool)
    }

    /// What follows from a failure.
    public enum Decision: Sendable, Hashable {
        /// Send it again after this wait; with `pausesHost`, nothing else is sent to that host meanwhile.
        case retry(after: Duration, pausesHost: Bool)
        /// Give up.
        case fail
    }

    /// Decides on one failed attempt.
    ///
    /// Waits are full jitter: uniform between nothing and the bound, so that agents which failed together do not come
    /// back together. `Retry-After` is honoured whole, never shortened: where it exceeds what is left of `totalWait`,
    /// the request fails at once.
    ///
    /// - Parameters:
    ///   - attempt: how many times the request was sent, from 1
    ///   - failure: what happened
    ///   - waited: how long the request has waited so far
    ///   - chance: a random number in `0..<1`
    public func decide(attempt: Int, failure: Failure, waited: Duration, chance: Double) -> Decision {
        guard Self.isTransient(failure), attempt < attempts else { return .fail }
        let doublings = Double(1 << min(max(attempt - 1, 0), 20))
        var wait = min(firstWait * doublings, longestWait) * chance
        var pausesHost = false
        if case .status(let status, let retryAfter) = failure {
            if let retryAfter { wait += retryAfter }
            pausesHost = Self.throttles(status)
        }
        return waited + wait <= totalWait ? .retry(after: wait, pausesHost: pausesHost) : .fail
    }

    /// Whether a status asks the client to slow down for the whole host.
    public static func throttles(_ status: Int) -> Bool { status == 429 || status == 503 }

    /// Whether the same request may succeed later.
    public static func isTransient(_ failure: Failure) -> Bool {
        switch failure {
        case .status(let status, _): [408, 429, 500, 502, 503, 504].contains(status)
        case .transport(let isTransient): isTransient
        }
    }
}

extension HTTPResponseHead {
    /// The `Retry-After` field: seconds, or a date (RFC 9110 section 10.2.3). A date in the past is no wait.
    ///
    /// - Parameter unixTime: seconds since 1970, now
    package func retryAfter(unixTime: Double) -> Duration? {
        guard let value = headers["Retry-After"]?.trimmed else { return nil }
        if let seconds = value.decimal { return .seconds(min(seconds, 1 << 31)) }
        return HTTPDate.unixTime(of: value).map { .seconds(max(0, Double($0) - unixTime)) }
    }
}

/// Dates in HTTP fields.
package enum HTTPDate {
    private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

    /// Seconds since 1970 for any of the three forms that recipients must accept (RFC 9110 section 5.6.7).
    package static func unixTime(of text: String) -> Int64? {
        var month: Int64?
        var clock: [Int64]?
        var numbers: [Int64] = []
        for word in text.split(whereSeparator: { " ,-".contains($0) }) {
            if word.contains(":") {
                let parts = word.split(separator: ":", omittingEmptySubsequences: false).compactMap(\.decimal)
                clock = parts.count == 3 && parts[0] < 24 && parts[1] < 60 && parts[2] < 61 ? parts : nil
            } else if let number = word.decimal {
                numbers.append(number)
            } else if let index = months.firstIndex(of: word.lowercased()) {
                month = Int64(index + 1)
            }
        }
        guard let month, let clock, numbers.count == 2, (1...31).contains(numbers[0]), numbers[1] < 10_000 else {
            return nil
        }
        // RFC 850 dates have two digits; those that seem far ahead are of the last century.
        let year = numbers[1] < 70 ? numbers[1] + 2000 : numbers[1] < 100 ? numbers[1] + 1900 : numbers[1]
        return days(year: year, month: month, day: numbers[0]) * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
    }

    /// Days since 1970-01-01 in the Gregorian calendar; years are counted from March, so that leap days come last.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let monthFromMarch = (month + 9) % 12
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }
}
