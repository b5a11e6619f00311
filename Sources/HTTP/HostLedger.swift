import Synchronization

/// What hosts answered lately, or did not: for people and for monitoring, never for a decision.
public final class HostLedger: Sendable {
    /// The most hosts that are remembered: as many as monitoring takes of one kind. Where another one comes, the one that
    /// was spoken to longest ago is forgotten.
    public static let maximumHosts = 100
    /// How long a host is remembered that nobody speaks to any more, in seconds: a day.
    static let life: Double = 86_400
    /// How long what a host said of its clock counts, in seconds: two hours, as a registry may be asked once in one. Of the
    /// clocks' difference before that nobody knows: either may have been set since.
    static let clockLife: Double = 7200

    /// How one host stands.
    public struct Standing: Hashable, Sendable {
        /// When it answered last, in seconds since 1970, whatever it said; `nil` where it never did.
        public var answeredAt: Double?
        /// The latest fault: no complete answer, or one of 403, 429, 500 and above.
        public var fault: Fault?
        /// Faults since it is remembered.
        public var faults = 0
        /// How far its clock is ahead of ours, in seconds; negative where it is behind; `nil` where it sent no date lately.
        public var clockLead: Double?
        /// When it said so, in seconds since 1970.
        var clockReadAt = 0.0

        /// When it was spoken to last, in seconds since 1970.
        var heardAt: Double { max(answeredAt ?? 0, fault?.at ?? 0) }
    }

    /// What a host did wrong.
    public struct Fault: Hashable, Sendable {
        /// When, in seconds since 1970.
        public let at: Double
        /// What, in words: method and path, never a query.
        public let message: String
    }

    private let standings = Mutex<[String: Standing]>([:])
    private let unixTime: @Sendable () -> Double

    /// - Parameter unixTime: seconds since 1970
    public init(unixTime: @escaping @Sendable () -> Double = Timing.system.unixTime) { self.unixTime = unixTime }

    /// Every host that was spoken to lately, by its authority.
    public var hosts: [String: Standing] {
        let now = unixTime()
        return standings.withLock { standings in
            // Whoever looks tidies up: what is not looked at is bounded all the same.
            standings = standings.filter { Self.isRecent($0.value.heardAt, at: now, for: Self.life) }
            return standings.mapValues { standing in
                var standing = standing
                if !Self.isRecent(standing.clockReadAt, at: now, for: Self.clockLife) { standing.clockLead = nil }
                return standing
            }
        }
    }

    /// A clock that was set may make something of before look later than now: how old it is, nobody knows then.
    private static func isRecent(_ time: Double, at now: Double, for life: Double) -> Bool { abs(now - time) <= life }

    /// The time, for `record`.
    var now: Double { unixTime() }

    /// Records how a request ended.
    ///
    /// - Parameters:
    ///   - request: what was sent
    ///   - sentAt: when, in seconds since 1970
    ///   - result: its end
    func record(_ request: HTTPRequest, sentAt: Double, _ result: Result<HTTPResponse, HTTPError>) {
        let now = unixTime()
        switch result {
        case .success(let response):
            let fault =
                Self.isFault(response.status)
                ? Fault(at: now, message: "HTTP \(response.status) to \(request.method.rawValue) \(request.url.path)")
                : nil
            let date = response.headers["Date"].flatMap { HTTPDate.unixTime(of: $0) }
            update(request.url.authority) { standing in
                standing.answeredAt = now
                if let date {
                    standing.clockLead = Self.lead(of: Double(date), between: sentAt, and: now)
                    standing.clockReadAt = now
                }
                standing.note(fault)
            }
        case .failure(let error):
            // What we ended ourselves is no fault of the host's.
            guard error.code != .cancelled, error.code != .refusedBySink, error.code != .sourceFailed else { return }
            let fault = Fault(at: now, message: "\(request.method.rawValue) \(request.url.path): \(error.message)")
            update(request.url.authority) { $0.note(fault) }
        }
    }

    private func update(_ host: String, _ change: (inout Standing) -> Void) {
        standings.withLock { standings in
            if standings[host] == nil, standings.count >= Self.maximumHosts,
                let oldest = standings.min(by: { $0.value.heardAt < $1.value.heardAt })
            {
                standings[oldest.key] = nil
            }
            change(&standings[host, default: Standing()])
        }
    }

    /// 401 is how a registry asks for credentials, and 404 and 416 are answers.
    static func isFault(_ status: Int) -> Bool { status == 403 || status == 429 || status >= 500 }

    /// How far a clock is ahead that showed `date`, to the second, at some time between two times of ours: at least so
    /// far.
    static func lead(of date: Double, between sent: Double, and received: Double) -> Double {
        if date > received { return date - received }
        // A date says the second that has begun.
        if date + 1 < sent { return date + 1 - sent }
        return 0
    }
}

extension HostLedger.Standing {
    fileprivate mutating func note(_ fault: HostLedger.Fault?) {
        guard let fault else { return }
        self.fault = fault
        faults += 1
    }
}
