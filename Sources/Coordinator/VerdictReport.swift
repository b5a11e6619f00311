import Console
import OCI
import Readiness

/// A verdict as `check` writes it.
struct VerdictReport: Encodable {
    /// A reason of the environment or of a site.
    struct Cause: Encodable {
        let code: String
        let message: String

        init(_ reason: Reason) {
            code = reason.code.text
            message = reason.message
        }
    }

    /// The waiver of a site.
    struct Exception: Encodable {
        let id: String
        let approver: String
        let reason: String
        let issuedAt: Timestamp
        let expiresAt: Timestamp

        init(_ waiver: Waiver) {
            id = waiver.id
            approver = waiver.approver.text
            reason = waiver.reason
            issuedAt = waiver.issuedAt
            expiresAt = waiver.expiresAt
        }
    }

    /// An entry that a site misses.
    struct Missing: Encodable {
        let repository: String
        let digest: Digest
        let size: Int64
        let kind: ClosureEntry.Kind
        /// Where the site's manifest says it.
        let mediaType: String?

        init(_ entry: ClosureEntry) {
            (repository, digest, size) = (entry.repository.name, entry.digest, entry.size)
            (kind, mediaType) = (entry.kind, entry.mediaType.name)
        }

        init(_ line: ClosureLines.Line) {
            (repository, digest, size) = (line.repository.name, line.digest, line.size)
            (kind, mediaType) = (line.kind, nil)
        }
    }

    /// One site.
    struct Site: Encodable {
        let site: String
        let ready: Bool
        let reasons: [Cause]
        let verifiedAt: Timestamp?
        let depth: CacheManifest.Depth?
        let missing: [Missing]
        let missingEntries: Int
        let missingBytes: Int64
        let contentVerifiedAt: Timestamp?
        let unsigned: Bool
        let progress: CacheManifest.Progress?
        let registry: CacheManifest.Registry?
        let waiver: Exception?

        /// The state in one word, for tables.
        var state: String { waiver == nil ? ready ? "ready" : "blocked" : "waived" }

        init(_ site: Verdict.Site, missing lines: [ClosureLines.Line]?) {
            self.site = site.name.text
            ready = site.isReady
            reasons = site.reasons.map(Cause.init)
            verifiedAt = site.holding?.verifiedAt
            depth = site.holding?.depth
            missing = lines.map { $0.map(Missing.init) } ?? site.holding?.missing.map(Missing.init) ?? []
            missingEntries = site.holding?.missingEntries ?? 0
            missingBytes = site.holding?.missingBytes ?? 0
            contentVerifiedAt = site.holding?.contentVerifiedAt
            unsigned = site.isUnproved
            progress = site.progress
            registry = site.registry
            waiver = site.waiver.map(Exception.init)
        }
    }

    let environment: String
    let list: String
    /// What the answer is about; the generation is below the key of the same name.
    let of: Verdict.Subject
    let ready: Bool
    let decidedAt: Timestamp
    let staged: EnvironmentRecord.Pointer?
    let promoted: EnvironmentRecord.Pointer?
    let reasons: [Cause]
    let unsignedSites: [String]
    let waivedSites: [String]
    let sites: [Site]

    /// - Parameters:
    ///   - verdict: what was decided
    ///   - missing: what sites miss beyond what their manifests name
    init(_ verdict: Verdict, missing: [SiteName: [ClosureLines.Line]] = [:]) {
        environment = verdict.environment.text
        list = verdict.list.text
        of = verdict.subject
        ready = verdict.isReady
        decidedAt = verdict.decidedAt
        staged = verdict.subject == .staged ? verdict.judged : nil
        promoted = verdict.subject == .promoted ? verdict.judged : nil
        reasons = verdict.reasons.map(Cause.init)
        unsignedSites = verdict.unprovedSites.map(\.text)
        waivedSites = verdict.sites.filter { $0.waiver != nil }.map(\.name.text)
        sites = verdict.sites.map { Site($0, missing: missing[$0.name]) }
    }

    /// - Parameter colours: whether a table shows states in colour too
    func text(_ form: OutputForm, colours: Bool = false) throws -> String {
        switch form {
        case .json: try jsonText(self)
        case .table: lines.text(colours: colours)
        }
    }

    /// What the answer rests on beside proof: it is said with every answer.
    var exceptions: [String] {
        var lines: [String] = []
        if !unsignedSites.isEmpty {
            lines.append(
                "unsigned: nobody vouches for what these sites say, and '\(environment)' accepts it:"
                    + " \(unsignedSites.joined(separator: ", "))")
        }
        for site in sites {
            guard let waiver = site.waiver else { continue }
            let codes = site.reasons.map(\.code).joined(separator: ", ")
            lines.append(
                "waived: \(site.site) (\(codes)) until \(waiver.expiresAt), by \(waiver.approver), waiver \(waiver.id):"
                    + " \(waiver.reason)".printable)
        }
        return lines
    }

    /// What was judged, in a heading.
    var title: String { Self.title(list, in: environment, of: of) }

    static func title(_ list: String, in environment: String, of subject: Verdict.Subject) -> String {
        "\(list) in \(environment)" + (subject == .promoted ? ", promoted" : "")
    }

    /// Missing entries that the table names for each site; the rest is counted.
    static let namedEntries = 20

    var lines: [StyledText] {
        let blocking = sites.count { !$0.ready }
        var lines = [
            StyledText("\(title): ", .strong) + .state(ready ? "READY" : "BLOCKED")
                + StyledText(
                    sites.isEmpty
                        ? ""
                        : " (\(sites.count - blocking) of \(sites.count) sites ready"
                            + (waivedSites.isEmpty ? ")" : ", \(waivedSites.count) of them waived)"))
        ]
        if let judged = staged ?? promoted {
            lines.append(
                StyledText(
                    "\(of.rawValue) \(judged.generation.short), \(judged.entries) entries,"
                        + " \(Quantity.bytes(judged.bytes)), \(judged.at) by \(judged.by)"))
        }
        lines += reasons.map { StyledText("\($0.code): \($0.message)") }
        lines += exceptions.map { StyledText($0, .warning) }
        guard !sites.isEmpty else { return lines }
        var table = Table("SITE", "STATE", "VERIFIED", "MISSING", "REASON")
        for site in sites {
            table.add(
                StyledText(site.site), .state(site.state), StyledText(site.verifiedAt?.description ?? "-"),
                site.missingEntries == 0 ? "-" : "\(site.missingEntries) (\(Quantity.bytes(site.missingBytes)))",
                StyledText(site.reasons.first.map { "\($0.code): \($0.message)" } ?? ""))
            for reason in site.reasons.dropFirst() { table.add("", "", "", "", "\(reason.code): \(reason.message)") }
        }
        lines += [""] + table.lines
        for site in sites where !site.missing.isEmpty {
            lines += ["", StyledText("missing at \(site.site):", .strong)]
            lines += site.missing.prefix(Self.namedEntries).map {
                StyledText("  \($0.repository)@\($0.digest) (\($0.kind.rawValue), \(Quantity.bytes($0.size)))")
            }
            if site.missingEntries > Self.namedEntries {
                lines.append("  and \(site.missingEntries - Self.namedEntries) more: --output json names them all")
            }
        }
        return lines
    }
}
