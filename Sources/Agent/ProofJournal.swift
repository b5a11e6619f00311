import FoundationEssentials
import GRDB
import OCI
import Readiness
import Synchronization

/// What the agent knows of its registry beyond the last look: when each content was read back, what was found damaged, and
/// what the agent itself put there.
///
/// An SQLite file in the state directory, with everything under the names that the registry has. One that is damaged is
/// begun anew: then everything is read back again, and nothing of before is pruned, since nobody knows any more whose it is.
final class ProofJournal: Sendable {
    /// Content that the registry has and does not serve as it should.
    struct Fault: Hashable {
        let place: Place
        /// What was found.
        let reason: String
        /// When the content was uploaded again last, and did not get better of it; `nil` before the first time.
        let mendedAt: Timestamp?
    }

    /// Content in the registry.
    struct Place: Hashable, Comparable {
        /// The repository, as the registry names it.
        let repository: Repository
        let digest: Digest
        let kind: ClosureEntry.Kind

        static func < (left: Place, right: Place) -> Bool {
            (left.repository, left.kind.rawValue, left.digest) < (right.repository, right.kind.rawValue, right.digest)
        }
    }

    /// A tag that the agent pointed at a manifest.
    struct AssignedTag: Hashable {
        let repository: Repository
        let tag: Tag
        let digest: Digest
    }

    /// Content that is being read back.
    struct Reading: Sendable {
        let digest: Digest
        /// When that began: what is damaged in a place that was read already is not seen.
        let startedAt: Timestamp
        fileprivate let number: UInt64
    }

    /// The readings that are under way.
    private struct UnderWay {
        var begun: UInt64 = 0
        /// The content of those that count, by their numbers.
        var counting: [UInt64: Digest] = [:]

        mutating func forget(_ digests: Set<Digest>) {
            counting = counting.filter { !digests.contains($0.value) }
        }
    }

    /// The format of the tables.
    static let version = 1

    private let database: DatabaseQueue
    private let path: String
    private let underWay = Mutex(UnderWay())

    /// Opens the journal, whatever registry it is of.
    ///
    /// - Parameter path: the file
    /// - Throws: `AgentError.stateUnusable`
    init(path: String) throws(AgentError) {
        self.path = path
        do {
            do {
                database = try Self.open(path)
            } catch let error as DatabaseError
                where [.SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR].contains(error.resultCode)
            {
                for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
                database = try Self.open(path)
            }
        } catch {
            throw Self.unusable(path, error)
        }
    }

    /// Opens the journal of a registry.
    ///
    /// - Throws: `AgentError.stateUnusable`
    convenience init(path: String, registry: String) throws(AgentError) {
        try self.init(path: path)
        try take(registry: registry)
    }

    /// From now on it is a registry's: what is known of another one is of no use, and is forgotten.
    ///
    /// - Parameter registry: the registry, as its URL
    /// - Throws: `AgentError.stateUnusable`
    func take(registry: String) throws(AgentError) {
        try write { database in
            guard try String.fetchOne(database, sql: "SELECT url FROM registry") != registry else { return }
            underWay.withLock { $0.counting = [:] }
            for table in ["registry", "content", "fault", "manifest", "tag"] {
                try database.execute(sql: "DELETE FROM \(table)")
            }
            try database.execute(sql: "INSERT INTO registry (url) VALUES (?)", arguments: [registry])
        }
    }

    private static func open(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.write { database in
            guard try String.fetchOne(database, sql: "PRAGMA quick_check(1)") == "ok" else {
                throw DatabaseError(resultCode: .SQLITE_CORRUPT)
            }
            if try Int.fetchOne(database, sql: "PRAGMA user_version") != version {
                try database.execute(
                    sql: """
                        DROP TABLE IF EXISTS registry; DROP TABLE IF EXISTS content; DROP TABLE IF EXISTS fault;
                        DROP TABLE IF EXISTS manifest; DROP TABLE IF EXISTS tag;
                        CREATE TABLE registry (url TEXT NOT NULL);
                        CREATE TABLE content (digest TEXT PRIMARY KEY, repository TEXT NOT NULL, read INTEGER NOT NULL)
                            WITHOUT ROWID;
                        CREATE TABLE fault (
                            repository TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT NOT NULL,
                            mended INTEGER, PRIMARY KEY (repository, kind, digest)
                        ) WITHOUT ROWID;
                        CREATE TABLE manifest (
                            repository TEXT NOT NULL, digest TEXT NOT NULL, pushed INTEGER NOT NULL,
                            PRIMARY KEY (repository, digest)
                        ) WITHOUT ROWID;
                        CREATE TABLE tag (
                            repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, assigned INTEGER NOT NULL,
                            PRIMARY KEY (repository, tag)
                        ) WITHOUT ROWID;
                        PRAGMA user_version = \(version);
                        """)
            }
        }
        return queue
    }

    private static func unusable(_ path: String, _ error: any Error) -> AgentError {
        AgentError(
            .stateUnusable,
            "\(path): cannot be used: \(error): check its permissions and the disk's free space; deleting it makes everything"
                + " be read back anew")
    }

    private func read<Value>(_ body: (Database) throws -> Value) throws(AgentError) -> Value {
        do { return try database.read(body) } catch { throw Self.unusable(path, error) }
    }

    private func write(_ body: (Database) throws -> Void) throws(AgentError) {
        do { try database.write(body) } catch { throw Self.unusable(path, error) }
    }

    // MARK: Content

    /// When each content was read back last and found right, and through which repository.
    func readings() throws(AgentError) -> [Digest: (repository: Repository, at: Timestamp)] {
        let rows = try read { try Row.fetchAll($0, sql: "SELECT digest, repository, read FROM content") }
        var readings: [Digest: (repository: Repository, at: Timestamp)] = [:]
        readings.reserveCapacity(rows.count)
        for row in rows {
            guard let digest: Digest = row.digest("digest"), let repository = row.repository, let at = row.time("read")
            else { continue }
            readings[digest] = (repository, at)
        }
        return readings
    }

    /// Content is about to be read back.
    ///
    /// - Returns: what to `record` where it is found right, and to `end` in any case
    func beginReading(of digest: Digest, at time: Timestamp) -> Reading {
        underWay.withLock { state in
            state.begun += 1
            state.counting[state.begun] = digest
            return Reading(digest: digest, startedAt: time, number: state.begun)
        }
    }

    /// Content was read back, and is right. Where it was forgotten meanwhile, what was read is not what is there now.
    func record(_ reading: Reading, in repository: Repository) throws(AgentError) {
        // What is forgotten is forgotten in a write too, so it is before this or after.
        try write { database in
            guard underWay.withLock({ $0.counting[reading.number] != nil }) else { return }
            try database.execute(
                sql: "INSERT OR REPLACE INTO content (digest, repository, read) VALUES (?, ?, ?)",
                arguments: [reading.digest.description, repository.name, reading.startedAt.seconds])
        }
    }

    /// A reading is over, whatever was found.
    func end(_ reading: Reading) { underWay.withLock { $0.counting[reading.number] = nil } }

    /// Forgets readings that are stamped later than now: the clock was wrong when they were made, and nobody can tell how old
    /// they are.
    ///
    /// - Parameter now: asked where no reading is written meanwhile: one that comes to an end just now is not later
    func forgetReadings(after now: () -> Timestamp) throws(AgentError) {
        try write { database in
            try database.execute(sql: "DELETE FROM content WHERE read > ?", arguments: [now().seconds])
        }
    }

    /// Forgets readings of content that nothing needs any more.
    func keepReadings(of digests: Set<Digest>) throws(AgentError) {
        try forgetReadings(of: try readings().keys.filter { !digests.contains($0) })
    }

    /// Forgets readings of content that is not there, or was not: what takes its place is other content until it was read.
    func forgetReadings(of digests: some Collection<Digest>) throws(AgentError) {
        guard !digests.isEmpty else { return }
        let forgotten = Set(digests)
        try write { database in
            underWay.withLock { $0.forget(forgotten) }
            for digest in forgotten {
                try database.execute(sql: "DELETE FROM content WHERE digest = ?", arguments: [digest.description])
            }
        }
    }

    // MARK: Faults

    /// What was found damaged and not found right since.
    func faults() throws(AgentError) -> [Place: Fault] {
        let rows = try read { try Row.fetchAll($0, sql: "SELECT repository, kind, digest, reason, mended FROM fault") }
        var faults: [Place: Fault] = [:]
        for row in rows {
            guard let repository = row.repository, let digest = row.digest("digest"),
                let kind = row.text("kind").flatMap(ClosureEntry.Kind.init(rawValue:)), let reason = row.text("reason")
            else { continue }
            let place = Place(repository: repository, digest: digest, kind: kind)
            faults[place] = Fault(place: place, reason: reason, mendedAt: row.time("mended"))
        }
        return faults
    }

    /// What was found damaged at one place.
    func fault(at place: Place) throws(AgentError) -> Fault? { try faults()[place] }

    /// Content was found damaged. What is known of attempts to mend it stays, unless it is damaged in another way now: then
    /// somebody has done something, and an attempt may help.
    func recordFault(_ place: Place, reason: String) throws(AgentError) {
        try write { database in
            try database.execute(
                sql: """
                    INSERT INTO fault (repository, kind, digest, reason) VALUES (?, ?, ?, ?)
                    ON CONFLICT (repository, kind, digest) DO UPDATE SET
                        mended = CASE WHEN reason = excluded.reason THEN mended END, reason = excluded.reason
                    """,
                arguments: [place.repository.name, place.kind.rawValue, place.digest.description, reason])
            // It counts as read when it was found right.
            underWay.withLock { $0.forget([place.digest]) }
            try database.execute(sql: "DELETE FROM content WHERE digest = ?", arguments: [place.digest.description])
        }
    }

    /// Damaged content was uploaded again, and did not get better of it.
    func recordMending(_ place: Place, at time: Timestamp) throws(AgentError) {
        try write { database in
            try database.execute(
                sql: "UPDATE fault SET mended = ? WHERE repository = ? AND kind = ? AND digest = ?",
                arguments: [time.seconds, place.repository.name, place.kind.rawValue, place.digest.description])
        }
    }

    /// Damaged content is right again, or gone.
    func clearFault(_ place: Place) throws(AgentError) {
        try write { database in
            try database.execute(
                sql: "DELETE FROM fault WHERE repository = ? AND kind = ? AND digest = ?",
                arguments: [place.repository.name, place.kind.rawValue, place.digest.description])
        }
    }

    // MARK: What the agent put there

    /// The manifests that the agent pushed, where the registry had none.
    func pushedManifests() throws(AgentError) -> [Place] {
        try read { try Row.fetchAll($0, sql: "SELECT repository, digest FROM manifest ORDER BY repository, digest") }
            .compactMap { row in
                guard let repository = row.repository, let digest = row.digest("digest") else { return nil }
                return Place(repository: repository, digest: digest, kind: .manifest)
            }
    }

    /// The agent pushed a manifest that was not there.
    func recordPush(of digest: Digest, to repository: Repository, at time: Timestamp) throws(AgentError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR IGNORE INTO manifest (repository, digest, pushed) VALUES (?, ?, ?)",
                arguments: [repository.name, digest.description, time.seconds])
        }
    }

    /// A manifest is no longer there, or no longer the agent's.
    func forgetPush(_ place: Place) throws(AgentError) {
        try write { database in
            try database.execute(
                sql: "DELETE FROM manifest WHERE repository = ? AND digest = ?",
                arguments: [place.repository.name, place.digest.description])
            try database.execute(
                sql: "DELETE FROM tag WHERE repository = ? AND digest = ?",
                arguments: [place.repository.name, place.digest.description])
        }
    }

    /// The tags that the agent pointed at something.
    func assignedTags() throws(AgentError) -> Set<AssignedTag> {
        let rows = try read { try Row.fetchAll($0, sql: "SELECT repository, tag, digest FROM tag") }
        return Set(
            rows.compactMap { row in
                guard let repository = row.repository, let digest = row.digest("digest"),
                    let tag = row.text("tag").flatMap({ try? Tag($0) })
                else { return nil }
                return AssignedTag(repository: repository, tag: tag, digest: digest)
            })
    }

    /// The agent pointed a tag at a manifest.
    func recordTag(_ tag: AssignedTag, at time: Timestamp) throws(AgentError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO tag (repository, tag, digest, assigned) VALUES (?, ?, ?, ?)",
                arguments: [tag.repository.name, tag.tag.name, tag.digest.description, time.seconds])
        }
    }
}

extension Row {
    // Converted by hand: GRDB's own conversions trap on a value of another type.
    fileprivate func text(_ column: String) -> String? { String.fromDatabaseValue(self[column] as DatabaseValue) }
    fileprivate func digest(_ column: String) -> Digest? { text(column).flatMap { try? Digest($0) } }
    fileprivate var repository: Repository? { text("repository").flatMap { try? Repository($0) } }
    fileprivate func time(_ column: String) -> Timestamp? {
        Int64.fromDatabaseValue(self[column] as DatabaseValue).map { Timestamp(seconds: $0) }
    }
}
