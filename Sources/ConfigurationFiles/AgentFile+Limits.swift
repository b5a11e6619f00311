import OCI
import Transfer

extension AgentFile.Limits {
    /// A quota of at least 1 MiB: the last 16 KiB of one cannot be used.
    static let quotas: ClosedRange<Int64> = (1 << 20)...(1 << 60)
    /// Rates of at least 64 kbit/s.
    static let rates: ClosedRange<Int64> = 8000...(1 << 40)

    enum Key: String, MappingKey {
        case blobs, connections, siteConnections, spool, memory, rate, quotaPerDay, quotaPerMonth

        var setting: Setting {
            switch self {
            case .blobs:
                Setting(
                    .integer(1...256), .standard("4"),
                    "Large blobs on their way at once ([what is large](architecture.md#bounds)).")
            case .connections:
                Setting(
                    .integer(1...256), .standard("64"),
                    """
                    Connections for content to one source at once; fewer are used while fewer do as well. Beside them go \
                    as many small requests at most, but up to 4 always and never more than 16. \
                    `hosts.HOST.connections` says otherwise for one host.
                    """)
            case .siteConnections:
                Setting(
                    .integer(1...1024), .standard("128"),
                    "Connections for content to all sources together at once.")
            case .spool:
                Setting(
                    .byteSize((1 << 20)...(1 << 50)), .standard("64GiB"),

                    """
                    Bytes of large blobs on their way, on disk in the state directory, or in that of a registry of the \
                    agent's own. A blob that is larger is not brought.
                    """)
            case .memory:
                Setting(
                    .byteSize((4 << 20)...(1 << 40)), .standard("12MiB"),
                    """
                    Bytes of blobs on their way in memory. The process takes more than that \
                    ([sizing](installation.md#sizing)).
                    """)
            case .rate:
                Setting(
                    .orNone(.byteRate(rates)), .standard("none"), example: "200Mbit/s",
                    """
                    The most bytes a second from all sources together; no second carries more than about a tenth \
                    above, or a quarter where there can be fewer than 16 `connections`. Below 2Mbit/s one may, since \
                    buffers and pieces have a least size.
                    """)
            case .quotaPerDay:
                Setting(
                    .orNone(.byteSize(quotas)), .standard("none"), example: "20GiB",
                    """
                    The most bytes from all sources together in a day of `timeZone`. At the quota transfers pause until \
                    the next day.
                    """)
            case .quotaPerMonth:
                Setting(
                    .orNone(.byteSize(quotas)), .standard("none"), example: "500GB",
                    """
                    The most bytes from all sources together in a calendar month of `timeZone`. At the quota transfers \
                    pause until the next month.
                    """)
            }
        }
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'limits'")
        blobs = try keys.value(.blobs).integer()
        connections = try keys.value(.connections).integer()
        siteConnections = try keys.value(.siteConnections).integer()
        spool = try keys.value(.spool).byteSize()
        memory = try keys.value(.memory).byteSize()
        rate = try keys.value(.rate).orNone()?.byteRate()
        quotaPerDay = try keys.value(.quotaPerDay).orNone()?.byteSize()
        quotaPerMonth = try keys.value(.quotaPerMonth).orNone()?.byteSize()
    }
}

extension AgentFile.Audit {
    enum Key: String, MappingKey {
        case period, rate, quotaPerDay

        var setting: Setting {
            switch self {
            case .period:
                Setting(
                    .orNone(.duration(.seconds(60)...Setting.longest)), .standard("30d"),
                    """
                    The time within which all content is read, or none. Each digest is read once, through one of the \
                    repositories that have it.
                    """)
            case .rate:
                Setting(
                    .orNone(.byteRate(AgentFile.Limits.rates)), .standard("16MiB/s"), "The most bytes a second.")
            case .quotaPerDay:
                Setting(
                    .orNone(.byteSize(AgentFile.Limits.quotas)), .standard("none"), example: "50GiB",
                    "The most bytes in a day of `timeZone`.")
            }
        }
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'audit'")
        self.init(
            period: try keys.value(.period).orNone()?.duration(), rate: try keys.value(.rate).orNone()?.byteRate(),
            quotaPerDay: try keys.value(.quotaPerDay).orNone()?.byteSize())
    }
}

extension AgentFile {
    enum WindowKey: String, MappingKey {
        case days, from, to

        var setting: Setting {
            switch self {
            case .days:
                Setting(
                    .list(of: .choice(of: Weekday.self)), .otherwise("every day"),
                    example: "[mon, tue, wed, thu, fri]", "The days on which the window opens.")
            case .from:
                Setting(.timeOfDay, .required, example: #""20:00""#, "When it opens; before 24:00.")
            case .to:
                Setting(
                    .timeOfDay, .required, example: #""06:00""#,
                    """
                    When it closes; a time that is not after `from` is meant on the next day. Where clocks are set \
                    forward over one of the times, the moment at which they are takes its place.
                    """)
            }
        }
    }
}

extension Value {
    func timeZone() throws(ConfigurationError) -> SiteTimeZone {
        let text = try string()
        guard let zone = SiteTimeZone(text) else {
            throw error(
                .invalidValue,
                "\(name): '\(text.shown)' is not a time zone: write UTC or a name of the IANA database, such as Europe/Zurich"
            )
        }
        return zone
    }

    func windows() throws(ConfigurationError) -> [TransferWindows.Window] {
        var windows: [TransferWindows.Window] = []
        for value in try list() {
            let window = try value.mapping(AgentFile.WindowKey.self, title: "window")
            let from = try window.value(.from).timeOfDay()
            let to = try window.value(.to).timeOfDay()
            guard from < 24 * 60 else { throw window.error(at: .from, "'from' must be before 24:00") }
            guard from != to else {
                throw window.error(
                    at: .to, "'to' is 'from': the window is either empty or a whole day: write 00:00 to 24:00 for that")
            }
            windows.append(.init(days: try window[.days]?.weekdays() ?? Set(Weekday.allCases), from: from, to: to))
        }
        guard !windows.isEmpty else {
            throw error(.invalidValue, "\(name) is empty: leave it out to transfer at any time")
        }
        return windows
    }

    private func weekdays() throws(ConfigurationError) -> Set<Weekday> {
        var days: Set<Weekday> = []
        for value in try list() { days.insert(try value.choice()) }
        guard !days.isEmpty else {
            throw error(.invalidValue, "\(name) is empty: leave it out for every day")
        }
        return days
    }
}
