import FoundationEssentials
import Glibc
import OCI
import Synchronization

/// What this process has seen in the store itself, and those before it on this machine where that is kept.
///
/// The gate's memory lies in the store, and goes back with it where the whole store does: restored from a backup, or served
/// by a replica that lags behind. Whoever has seen what was there later notices. What only the store's memory says is not
/// taken over, nor an end of the audit chain that does not follow what was seen before, so that nobody can make a process
/// remember what never was. What it sees first it has nothing to hold to.
final class OwnMemory: Sendable {
    /// What was seen of an environment: the latest cache manifests, the latest state of each list in the record, and which
    /// sites somebody made the gate forget.
    private struct Seen: Hashable, Sendable, Codable {
        var memory: GateMemory
    }

    private struct State: Hashable, Sendable, Codable {
        var end: AuditHead?
        var environments: [EnvironmentName: Seen] = [:]
    }

    /// The largest file that is read or written, in bytes: enough for 100,000 sites.
    private static let maximumSize = 64 << 20

    /// Where it is kept between processes; `nil` for nowhere.
    let file: String?
    private let state: Mutex<State>
    /// What was written last; held while it is, so that nothing older is written after it.
    private let written: Mutex<State>

    /// - Parameter file: where it is kept between processes. One that cannot be read or written is as none
    init(file: String?) {
        self.file = file
        let start = file.flatMap(Self.read) ?? State()
        state = Mutex(start)
        written = Mutex(start)
    }

    /// The furthest end of the audit chain that was seen; `nil` before the first.
    var end: AuditHead? { state.withLock { $0.end } }

    /// What was seen of an environment; `nil` where nothing was.
    func seen(in environment: EnvironmentName) -> GateMemory? {
        state.withLock { $0.environments[environment]?.memory }
    }

    /// Remembers an end of the audit chain, unless one that is further was seen.
    func note(_ end: AuditHead) {
        change { state in
            if end.sequence > state.end?.sequence ?? 0 { state.end = end }
        }
    }

    /// Remembers an end of the audit chain that was reached record by record.
    ///
    /// - Parameters:
    ///   - end: the end
    ///   - before: from where; unless that is the furthest that was seen, nothing is remembered
    func note(_ end: AuditHead, after before: AuditHead) {
        change { state in
            if (state.end ?? AuditHead.empty) == before, end.sequence > before.sequence { state.end = end }
        }
    }

    /// Remembers what was seen of an environment, where it is later than what was seen before.
    ///
    /// - Parameters:
    ///   - seen: what was seen
    ///   - environment: the environment, as the fleet file names it: its sites are kept where there are too many
    func note(_ seen: GateMemory, of environment: Fleet.Environment) {
        change { state in
            var known = state.environments[environment.name]?.memory ?? GateMemory(environment: environment.name)
            known.catchUp(with: seen)
            known.bound(keeping: environment)
            state.environments[environment.name] = Seen(memory: known)
        }
    }

    /// Forgets a site.
    ///
    /// - Parameter number: the record of the audit chain that says so
    func forget(_ site: SiteName, in environment: EnvironmentName, at number: Int64) {
        change { state in
            var known = state.environments[environment]?.memory ?? GateMemory(environment: environment)
            known.forget(site, at: number)
            state.environments[environment] = Seen(memory: known)
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let isChanged = state.withLock { state in
            let before = state
            body(&state)
            return state != before
        }
        guard isChanged, let file else { return }
        written.withLock { written in
            // Also what others have changed meanwhile: they find it written.
            let latest = state.withLock { $0 }
            guard latest != written else { return }
            Self.write(latest, to: file)
            written = latest
        }
    }

    private static func read(_ file: String) -> State? {
        var status = Glibc.stat()
        guard stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= maximumSize,
            let bytes = FileManager.default.contents(atPath: file)
        else { return nil }
        return try? JSONDecoder().decode(State.self, from: bytes)
    }

    /// Of two processes that write at once, one is too late: it then remembers less, and takes nothing for later than it is.
    /// Where it is too much to be read again, what was written before stays.
    private static func write(_ state: State, to file: String) {
        let url = URL(filePath: file)
        try? FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        guard let bytes = try? JSONEncoder().encode(state), bytes.count <= maximumSize else { return }
        try? bytes.write(to: url, options: .atomic)
    }
}

extension GateMemory {
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
