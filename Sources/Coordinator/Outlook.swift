import Board
import Console
import OCI
import Readiness

/// When each site will be ready, as far as what it reports lets one say: a pure value that is shown one verdict after the
/// other.
///
/// A site that transfers says how far it is and how fast. One that does not is judged by how the bytes that it misses
/// became fewer from look to look.
struct Outlook {
    /// Sites that are named in one look; the others are counted.
    static let namedSites = 10

    private struct Sample {
        let generation: Digest?
        let at: Timestamp
        let bytesLeft: Int64
        /// What was left at the latest look.
        var latest: Int64
    }

    private var samples: [SiteName: Sample] = [:]

    /// Takes a verdict into account.
    ///
    /// - Returns: what is expected of each site, in the verdict's order
    mutating func see(_ verdict: Verdict) -> [Expectation] {
        verdict.sites.map { site in
            guard !site.isReady else { return .ready }
            let estimate = estimate(for: site, verdict)
            let said = Expectation(site.progress, now: verdict.decidedAt)
            return said == .unknown ? estimate.map { .at($0) } ?? .unknown : said
        }
    }

    /// By how the missing bytes became fewer since they were seen first.
    private mutating func estimate(for site: Verdict.Site, _ verdict: Verdict) -> Timestamp? {
        guard let left = site.bytesLeft else {
            samples[site.name] = nil
            return nil
        }
        let now = verdict.decidedAt
        let generation = verdict.judged?.generation
        guard let first = samples[site.name], first.generation == generation, first.latest >= left else {
            samples[site.name] = Sample(generation: generation, at: now, bytesLeft: left, latest: left)
            return nil
        }
        samples[site.name]?.latest = left
        let (seconds, bytes) = (now.seconds - first.at.seconds, first.bytesLeft - left)
        guard seconds > 0, bytes > 0 else { return nil }
        let rest = Double(left) * Double(seconds) / Double(bytes)
        guard let more = Int64(exactly: rest.rounded(.up)), more < 366 * 86_400 else { return nil }
        return now.advanced(by: .seconds(more))
    }

    /// A look in lines for people: the whole, and each site that is not ready.
    mutating func lines(_ verdict: Verdict) -> [String] {
        let expectations = see(verdict)
        if let reason = verdict.reasons.first { return ["waiting: \(reason.message)"] }
        let waiting = zip(verdict.sites, expectations).filter { !$0.0.isReady }
        var first = "waiting: \(verdict.sites.count - waiting.count) of \(verdict.sites.count) sites ready"
        let times = waiting.compactMap { site, expectation -> Timestamp? in
            if case .at(let time) = expectation { time } else { nil }
        }
        if let last = times.max(), times.count == waiting.count {
            first += ", all of them in about \(Self.text(last.since(verdict.decidedAt)))"
        }
        let named = waiting.prefix(Self.namedSites).map { "  \($0.0.line): \(Self.text($0.1, now: verdict.decidedAt))" }
        let others = waiting.count - named.count
        return [first] + named + (others > 0 ? ["  and \(others) more sites"] : [])
    }

    private static func text(_ expectation: Expectation, now: Timestamp) -> String {
        switch expectation {
        case .ready: "ready"
        case .at(let time): "ready in about \(text(time.since(now)))"
        case .pausedUntil(let time): "transfers are paused until \(time)"
        case .unknown: "no estimate yet"
        }
    }

    private static func text(_ duration: Duration) -> String {
        Quantity.seconds(Double(max(0, duration.components.seconds)))
    }
}

extension Verdict.Site {
    /// Bytes that the site still has to bring; `nil` where it does not say.
    fileprivate var bytesLeft: Int64? {
        progress.map { $0.bytesTotal - $0.bytesDone } ?? holding.map(\.missingBytes).flatMap { $0 > 0 ? $0 : nil }
    }

    /// The site, why it blocks, and how far it is.
    fileprivate var line: String {
        var line = "\(name): \(reasons.first?.code.text ?? "blocked")"
        if let progress, progress.bytesTotal > 0 {
            // In doubles: a hundred times a size may be more than a number of bytes can be.
            let share = Int(100 * Double(progress.bytesDone) / Double(progress.bytesTotal))
            line += ", \(share) % of \(Quantity.bytes(progress.bytesTotal))"
            if let rate = progress.bytesPerSecond { line += ", \(Quantity.rate(Double(rate)))" }
        } else if let holding, holding.missingEntries > 0 {
            line += ", \(Quantity.bytes(holding.missingBytes)) missing"
        }
        return line
    }
}
