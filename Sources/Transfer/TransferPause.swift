/// Why a site transfers nothing at present, and until when.
public struct TransferPause: Sendable, Hashable, CustomStringConvertible {
    /// Which of the site's limits it is.
    public struct Reason: Hashable, Sendable {
        /// The name for programs.
        public let name: String

        /// No transfer window is open.
        public static let window = Reason(name: "window")
        /// The day's quota is used up.
        public static let quotaPerDay = Reason(name: "quotaPerDay")
        /// The month's quota is used up.
        public static let quotaPerMonth = Reason(name: "quotaPerMonth")
    }

    /// Which of the site's limits it is.
    public let reason: Reason
    /// When transfers may go on, in seconds since 1970.
    public let until: Int64
    /// Both in words, in the site's time: `no transfer window is open until 2026-10-26 20:00 Europe/Zurich`.
    public let description: String

    init(_ reason: Reason, _ words: String, until: Int64, in timeZone: SiteTimeZone) {
        self.reason = reason
        self.until = until
        description = "\(words) until \(timeZone.text(until))"
    }
}
