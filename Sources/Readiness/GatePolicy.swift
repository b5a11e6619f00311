public import OCI
import Trust

/// What a fleet file asks of an environment: what a decision was made by.
///
/// Part of every decision's record, so that who reads it later can tell whether the gate was as strict as it should have
/// been: the hash over all of it, and those parts that people read.
public struct GatePolicy: Hashable, Sendable, Codable {
    /// The two ways to take a manifest that nobody vouches for.
    public enum UnsignedManifests: String, Sendable, Codable {
        /// It is taken for true.
        case accept
        /// It blocks.
        case refuse
    }

    /// The SHA-256 over the policy's lines, which are described in docs/trust.md.
    public let digest: Digest
    /// How old a site's verification may be, in seconds.
    public let freshness: Int64
    /// How a site must have looked.
    public let depth: CacheManifest.Depth
    /// How long ago a site may have read any content back, in seconds; `nil` where presence is enough.
    public let contentWithin: Int64?
    /// What counts of a site without a key.
    public let unsignedManifests: UnsignedManifests
    /// How many earlier promotions the sites keep.
    public let rollbackDepth: Int
    /// The environment in which a list has to be promoted before; `nil` for the first.
    public let predecessor: EnvironmentName?
    /// How many sites have to prove what they hold.
    public let sites: Int

    /// The policy of an environment, as its fleet file has it.
    ///
    /// - Parameter environment: the environment
    public init(_ environment: Fleet.Environment) {
        freshness = environment.freshness.components.seconds
        depth = environment.contentWithin == nil ? .presence : .content
        contentWithin = environment.contentWithin?.components.seconds
        unsignedManifests = environment.acceptsUnsigned ? .accept : .refuse
        rollbackDepth = environment.rollbackDepth
        predecessor = environment.predecessor
        sites = environment.sites.count
        digest = Digest(of: Array(Self.lines(of: environment).joined(separator: "\n").utf8))
    }

    /// What the hash is over: the fields in this order, then sites, then keys, each sorted.
    static func lines(of environment: Fleet.Environment) -> [String] {
        func keys(_ owner: String, _ keys: [Fleet.Key]) -> [String] {
            keys.map { "key \(owner) \($0.publicKey.id) \($0.notAfter?.description ?? "-")" }
        }
        let content = environment.contentWithin.map { "\($0.components.seconds)" } ?? "-"
        return [
            "environment \(environment.name)", "after \(environment.predecessor?.text ?? "-")",
            "freshness \(environment.freshness.components.seconds)", "content \(content)",
            "unsigned \(environment.acceptsUnsigned ? "accept" : "refuse")", "rollback \(environment.rollbackDepth)",
        ] + environment.sites.map { "site \($0.name) \($0.registry)" }.sorted()
            + (environment.sites.flatMap { keys("site \($0.name)", $0.keys) }
            + environment.approvers.flatMap { keys("approver \($0.name)", $0.keys) }
            + environment.coordinators.flatMap { keys("coordinator \($0.name)", $0.keys) }).sorted()
    }

    /// What differs from an earlier policy, for people: what it is, and what it was.
    func changes(since before: GatePolicy) -> [String: String] {
        var changes: [String: String] = [:]
        func compare(_ name: String, _ value: (GatePolicy) -> String) {
            if value(self) != value(before) { changes[name] = "\(value(self)), was \(value(before))" }
        }
        compare("freshness") { "\($0.freshness) s" }
        compare("depth") { $0.depth.rawValue }
        compare("contentWithin") { $0.contentWithin.map { "\($0) s" } ?? "not asked for" }
        compare("unsignedManifests") { $0.unsignedManifests.rawValue }
        compare("rollbackDepth") { "\($0.rollbackDepth)" }
        compare("predecessor") { $0.predecessor?.text ?? "none" }
        return changes
    }
}

extension GateMemory {
    /// What the gate remembers of a fleet file, to tell how it was changed.
    struct Demands: Hashable, Sendable, Codable {
        /// What the file asked for.
        var policy: GatePolicy
        /// The registry of each site.
        var registries: [SiteName: String]
        /// The last moment of each key that has one, by the key's ID.
        var keyEnds: [String: Timestamp]

        init(_ environment: Fleet.Environment) {
            policy = GatePolicy(environment)
            registries = Dictionary(
                environment.sites.map { ($0.name, $0.registry) }, uniquingKeysWith: { first, _ in first })
            let keys =
                environment.sites.flatMap(\.keys) + environment.approvers.flatMap(\.keys)
                + environment.coordinators.flatMap(\.keys)
            keyEnds = Dictionary(
                keys.compactMap { key in key.notAfter.map { (key.publicKey.id.description, $0) } },
                uniquingKeysWith: { first, _ in first })
        }

        /// What differs in the sites from what was asked for before.
        fileprivate func changes(since before: Demands) -> [String: String] {
            var changes = policy.changes(since: before.policy)
            for site in Set(registries.keys).union(before.registries.keys) {
                switch (before.registries[site], registries[site]) {
                case (nil, let registry?): changes["site \(site)"] = "added, registry \(registry)"
                case (_?, nil): changes["site \(site)"] = "removed"
                case (let old?, let new?) where old != new: changes["site \(site)"] = "registry \(new), was \(old)"
                default: break
                }
            }
            return changes
        }
    }

    /// What the gate remembers of a fleet file that is decided by.
    struct FileMemory: Hashable, Sendable, Codable {
        /// The IDs of its keys.
        var keys: [String: [Digest]]
        /// What it asks for.
        var demands: Demands
        /// The last recorded answer by it for each list, about what is staged.
        var answers: [ListName: Answer]
        /// The same about what is promoted; `nil` where that was not asked.
        var promotedAnswers: [ListName: Answer]?
        /// When somebody decided by it last, by their clock; up to half of `life` before the last time.
        var usedAt: Timestamp

        /// How long a file is in use after somebody decided by it: an hour. To return to it later is a change.
        static let life = Duration.seconds(3600)
        /// The most files that are remembered.
        static let maximum = 8
    }

    /// The files that are decided by, the latest first.
    private var files: [FileMemory] {
        get {
            guard let demands else { return otherFiles }
            let latest = FileMemory(
                keys: keys, demands: demands, answers: answers,
                promotedAnswers: promotedAnswers.isEmpty ? nil : promotedAnswers,
                usedAt: usedAt ?? Timestamp(seconds: 0))
            return [latest] + otherFiles
        }
        set {
            guard let latest = newValue.first else { return }
            (keys, demands, answers, usedAt) = (latest.keys, latest.demands, latest.answers, latest.usedAt)
            promotedAnswers = latest.promotedAnswers ?? [:]
            otherFiles = Array(newValue.dropFirst().prefix(FileMemory.maximum - 1))
        }
    }

    /// The last answer that was recorded of a list as staged, or as promoted, by a file of this policy: who asks about the one
    /// changes nothing about the other.
    func answer(about list: ListName, as subject: Verdict.Subject, by policy: GatePolicy) -> Answer? {
        guard let file = files.first(where: { $0.demands.policy.digest == policy.digest }) else { return nil }
        return subject == .staged ? file.answers[list] : file.promotedAnswers?[list]
    }

    /// Remembers what was answered by a file of this policy, where it is remembered.
    mutating func note(
        _ answer: Answer, about list: ListName, as subject: Verdict.Subject, by policy: GatePolicy
    ) {
        guard let index = files.firstIndex(where: { $0.demands.policy.digest == policy.digest }) else { return }
        switch subject {
        case .staged: files[index].answers[list] = answer
        case .promoted:
            files[index].promotedAnswers = (files[index].promotedAnswers ?? [:]).merging([list: answer]) { $1 }
        }
    }

    /// Remembers what the fleet file asks for.
    ///
    /// Two coordinators may have different files, as while a change is rolled out: what each of them asks for is a change
    /// when it is new, and not with every question.
    ///
    /// - Returns: the event that it is something else than at the decision before, and not what others decide by now:
    ///   `keys-changed` where keys or their ends are other ones, `policy-changed` where only something else is
    mutating func noteDemands(of environment: Fleet.Environment, act: Act) -> AuditEvent? {
        let current = Demands(environment)
        var known = files
        if let index = known.firstIndex(where: { $0.demands.policy.digest == current.policy.digest }) {
            let age = act.at.since(known[index].usedAt)
            if index == 0 || age <= FileMemory.life {
                // With every question would be a write with every question.
                guard known.count > 1, age > FileMemory.life / 2 else { return nil }
                var file = known.remove(at: index)
                file.usedAt = act.at
                files = [file] + known.filter { act.at.since($0.usedAt) <= FileMemory.life }
                return nil
            }
            known.remove(at: index)
        }
        let owners =
            environment.sites.map { ($0.name.text, $0.keys) }
            + environment.approvers.map { ("approver \($0.name)", $0.keys) }
            + environment.coordinators.map { ("coordinator \($0.name)", $0.keys) }
        let currentKeys = Dictionary(
            owners.filter { !$0.1.isEmpty }.map { ($0.0, $0.1.map(\.publicKey.id).sorted()) },
            uniquingKeysWith: { first, _ in first })
        var details: [String: String] = [:]
        for owner in Set(keys.keys).union(currentKeys.keys) {
            let (before, after) = (keys[owner] ?? [], currentKeys[owner] ?? [])
            func end(_ id: Digest, _ demands: Demands?) -> String? {
                demands?.keyEnds[id.description].map { "valid until \($0)" }
            }
            let added = after.filter { !before.contains($0) }.map { id in
                "added \(id)" + (end(id, current).map { ", \($0)" } ?? "")
            }
            let kept = after.filter { before.contains($0) && demands != nil && end($0, current) != end($0, demands) }
                .map { "\($0) is \(end($0, current) ?? "valid without an end")" }
            let removed = before.filter { !after.contains($0) }.map { "removed \($0)" }
            let changes = added + kept + removed
            if !changes.isEmpty { details[owner] = changes.joined(separator: ", ") }
        }
        var event = AuditEvent(details.isEmpty ? .policyChanged : .keysChanged, act)
        if let demands { details.merge(current.changes(since: demands)) { first, _ in first } }
        event.environment = environment.name
        event.policy = current.policy
        event.details = details
        // Of a file that was alone nobody noted when it was used last: it may have been a moment ago.
        if known.count == 1, files.count == 1 { known[0].usedAt = act.at }
        let file = FileMemory(keys: currentKeys, demands: current, answers: [:], usedAt: act.at)
        files = [file] + known.filter { act.at.since($0.usedAt) <= FileMemory.life }
        return event
    }
}
