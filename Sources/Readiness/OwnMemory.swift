import FoundationEssentials
import OCI
import Synchronization

/// What this process has seen in the store itself, and those before it on this machine where that is kept.
///
/// The gate's memory lies in the store, and goes back with it where the whole store does: restored from a backup, or served
/// by a replica that lags behind. Whoever has seen what was there later notices. What only the store's memory says is not
/// taken over, so that nobody can make a process remember what never was.
final class OwnMemory: Sendable {
    /// What was seen of an environment.
    struct Seen: Hashable, Sendable, Codable {
        /// The latest cache manifests, and the latest state of each list in the record.
        var memory: GateMemory
        /// How long the audit chain was before that, at least: that a site was forgotten since is recorded after it.
        var after: Int64
    }

    private struct State: Hashable, Sendable, Codable {
        var end: AuditHead?
        var environments: [EnvironmentName: Seen] = [:]
    }

    /// The largest file that is read, in bytes: enough for 100,000 sites.
    private static let maximumSize = 64 << 20

    /// Where it is kept between processes; `nil` for nowhere.
    let file: String?
    private let state: Mutex<State>

    /// - Parameter file: where it is kept between processes. One that cannot be read or written is as none
    init(file: String?) {
        self.file = file
        state = Mutex(file.flatMap(Self.read) ?? State())
    }

    /// The furthest end of the audit chain that was seen; `nil` before the first.
    var end: AuditHead? { state.withLock { $0.end } }

    /// What was seen of an environment; `nil` where nothing was.
    func seen(in environment: EnvironmentName) -> Seen? { state.withLock { $0.environments[environment] } }

    /// Remembers an end of the audit chain, unless one that is further was seen.
    func note(_ end: AuditHead) {
        change { state in
            if end.sequence > state.end?.sequence ?? 0 { state.end = end }
        }
    }

    /// Remembers what was seen of an environment, where it is later than what was seen before.
    ///
    /// - Parameters:
    ///   - seen: what was seen
    ///   - after: how long the audit chain was before that, at least
    func note(_ seen: GateMemory, after: Int64) {
        change { state in
            var known =
                state.environments[seen.environment]
                ?? Seen(memory: GateMemory(environment: seen.environment), after: after)
            known.memory.catchUp(with: seen)
            known.after = max(known.after, after)
            state.environments[seen.environment] = known
        }
    }

    /// Forgets a site.
    func forget(_ site: SiteName, in environment: EnvironmentName) {
        change { $0.environments[environment]?.memory.forget(site) }
    }

    private func change(_ body: (inout State) -> Void) {
        let changed: State? = state.withLock { state in
            let before = state
            body(&state)
            return state == before ? nil : state
        }
        if let changed, let file { Self.write(changed, to: file) }
    }

    private static func read(_ file: String) -> State? {
        guard let bytes = FileManager.default.contents(atPath: file), bytes.count <= maximumSize else { return nil }
        return try? JSONDecoder().decode(State.self, from: bytes)
    }

    /// Of two processes that write at once, one is too late: it then remembers less, and takes nothing for later than it is.
    private static func write(_ state: State, to file: String) {
        let url = URL(filePath: file)
        try? FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        guard let bytes = try? JSONEncoder().encode(state) else { return }
        try? bytes.write(to: url, options: .atomic)
    }
}

extension GateMemory {
    /// The sites of which another memory has seen something later.
    func sites(behind other: GateMemory) -> Set<SiteName> {
        var behind = Set(other.sites.filter { isBehind(sites[$0.key], $0.value) }.keys)
        for (place, seen) in other.shards where isBehind(shards[place], seen) {
            if let site = try? SiteName(String(place.prefix { $0 != "/" })) { behind.insert(site) }
        }
        return behind
    }

    private func isBehind(_ sighting: Sighting?, _ other: Sighting) -> Bool {
        sighting.map { $0.sequence < other.sequence } ?? true
    }

    /// Takes over what another memory of the environment has seen later.
    mutating func catchUp(with other: GateMemory) {
        for (site, seen) in other.sites where isBehind(sites[site], seen) { sites[site] = seen }
        for (place, seen) in other.shards where isBehind(shards[place], seen) { shards[place] = seen }
        catchUp(withListsOf: other)
    }

    /// Of what is remembered, what whoever looked has seen themselves: the manifests that are at the sites' places now, and
    /// what the record says.
    func seen(
        in evidence: Evidence, of environment: Fleet.Environment, on record: EnvironmentRecord, at now: Timestamp
    ) -> GateMemory {
        var looked = GateMemory(environment: environment.name)
        looked.remember(evidence.reports, shards: evidence.shards, of: environment, at: now)
        looked.remember(record)
        // Since when each is known is what the others noted.
        for (site, sighting) in looked.sites where sites[site]?.isSame(as: sighting) == true {
            looked.sites[site] = sites[site]
        }
        for (place, sighting) in looked.shards where shards[place]?.isSame(as: sighting) == true {
            looked.shards[place] = shards[place]
        }
        return looked
    }
}

extension GateMemory.Sighting {
    fileprivate func isSame(as other: Self) -> Bool { sequence == other.sequence && digest == other.digest }
}
