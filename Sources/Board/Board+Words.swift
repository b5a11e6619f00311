import Console
public import Readiness

extension Board {
    /// The whole fleet in a sentence or two.
    var summary: String {
        let gates = environments.flatMap { environment in environment.lists.map { (environment.name, $0) } }
        guard !gates.isEmpty else {
            return "Nothing is staged yet: 'rollcall stage LIST.json --environment ENV' begins."
        }
        let lost = gates.filter { $0.1.promotedVerdict?.isReady == false }.map { "\($0.1.name) in \($0.0)" }
        let losses = lost.isEmpty ? "" : " Promoted, and not held everywhere: \(Self.enumeration(lost, atMost: 3))."
        let blocked = gates.filter { !$0.1.verdict.isReady }
        guard !blocked.isEmpty else {
            return "All \(gates.count) gates are ready.".replacing("All 1 gates are", with: "The gate is") + losses
        }
        let named = Self.enumeration(blocked.map { "\($0.1.name) in \($0.0)" }, atMost: 3)
        return "\(gates.count - blocked.count) of \(gates.count) gates ready. Blocked: \(named)." + losses
    }

    /// Names one after the other, of which so many are said and the others counted.
    static func enumeration(_ names: [String], atMost limit: Int) -> String {
        let rest = names.count - limit
        // One more takes no more room than its being counted.
        guard rest > 1 else { return names.joined(separator: ", ") }
        return names.prefix(limit).joined(separator: ", ") + " and \(rest) more"
    }

    /// How long ago a moment was, or how far ahead it is.
    static func age(_ time: Timestamp, now: Timestamp) -> String {
        let difference = now.since(time)
        if difference < .zero { return "in \(difference.rounded)" }
        return difference < .seconds(2) ? "now" : "\(difference.rounded) ago"
    }

    /// So many of something.
    static func count(_ number: Int, _ one: String) -> String { "\(number) \(one)\(number == 1 ? "" : "s")" }
}

extension Verdict {
    /// What blocks, with the sites that it blocks at; the most frequent first.
    var blockers: [(code: String, sites: [String])] {
        let blocking = sites.filter { !$0.isReady }
        let byCode = Dictionary(grouping: blocking) { $0.reasons.first?.code.text ?? "blocked" }
        return byCode.map { ($0.key, $0.value.map(\.name.text)) }
            .sorted { ($1.sites.count, $0.code) < ($0.sites.count, $1.code) }
    }

    /// How many sites let the gate open.
    var readySites: Int { sites.count(where: \.isReady) }
}

extension Board.List {
    /// Whether what is staged, or what is promoted, is not proved everywhere.
    var isBlocked: Bool { !verdicts.allSatisfy(\.isReady) }

    /// When all sites will be ready, where that can be said of each.
    var expectation: Expectation {
        let expectations = verdict.sites.filter { !$0.isReady }.map { Expectation($0.progress, now: verdict.decidedAt) }
        if expectations.isEmpty { return verdict.isReady ? .ready : .unknown }
        var latest = verdict.decidedAt
        for expectation in expectations {
            guard case .at(let time) = expectation else { return .unknown }
            latest = max(latest, time)
        }
        return .at(latest)
    }
}

extension Board.Site.Part {
    /// What the answer is about, for people.
    var name: String { subject == .promoted ? "\(list) as promoted" : list.text }
}

extension Board.Site {
    /// Why the site blocks: of each list the first reason, equal ones once.
    var causes: [(lists: [String], reason: Reason)] {
        var causes: [(lists: [String], reason: Reason)] = []
        for part in parts where !part.verdict.isReady {
            guard let reason = part.verdict.reasons.first else { continue }
            if let index = causes.firstIndex(where: { $0.reason.message == reason.message }) {
                causes[index].lists.append(part.name)
            } else {
                causes.append(([part.name], reason))
            }
        }
        return causes
    }

    /// Until when the transfers last, in words; `nil` where there is nothing to say.
    func forecast(now: Timestamp) -> String? {
        switch expectation {
        case .ready: nil
        case .at(let time): "ready in about \(Quantity.seconds(Double(max(0, time.seconds - now.seconds))))"
        case .pausedUntil(let time): "paused until \(time)"
        case .unknown: progress == nil ? nil : "no estimate yet"
        }
    }
}

extension CacheManifest.Progress {
    /// How much is here, in whole percent; `nil` where there is nothing to bring.
    var percent: Int? {
        guard bytesTotal > 0 else { return nil }
        // In doubles: a hundred times a size may be more than a number of bytes can be.
        return Int(100 * Double(bytesDone) / Double(bytesTotal))
    }

    /// How far it is and how fast, such as `45 % of 1.2 GiB, 5.6 MiB/s`.
    var words: String {
        guard let percent else { return "looking" }
        let rate = bytesPerSecond.map { ", \(Quantity.rate(Double($0)))" } ?? ""
        return "\(percent) % of \(Quantity.bytes(bytesTotal))\(rate)"
    }
}

extension AuditEvent {
    /// What an event says beyond who, what and where, for people.
    public var remarks: [String] {
        var parts: [String] = []
        if let ready { parts.append(ready ? "ready" : "blocked") }
        parts += reasons
        let blocking = sites.filter { !$0.reasons.isEmpty && $0.waiver == nil }
        parts += blocking.prefix(3).map { "\($0.site): \($0.reasons.joined(separator: ", "))" }
        if blocking.count > 3 { parts.append("and \(blocking.count - 3) more sites") }
        parts += sites.compactMap { site in site.waiver.map { "\(site.site) waived by \($0)" } }
        let unsigned = sites.count { $0.unsigned }
        if unsigned > 0 { parts.append("\(Board.count(unsigned, "site")) unsigned") }
        let details = details.sorted { $0.key < $1.key }
        parts += details.prefix(3).map { "\($0.key): \($0.value)" }
        if details.count > 3 { parts.append("and \(details.count - 3) more") }
        return parts
    }

    /// Where it was, as `ENVIRONMENT/SITE`; empty where it was nowhere.
    public var place: String { [environment?.text, site?.text].compactMap(\.self).joined(separator: "/") }
}

extension AuditRecord {
    /// What people should know beside what was done: the event's remarks, and who recorded it where that is another.
    public var remarks: [String] { event.remarks + (settledBy.map { ["recorded by \($0.text)"] } ?? []) }
}
