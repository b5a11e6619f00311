import Dispatch
import FoundationEssentials
import GRDB
import Glibc
package import OCI
import Registry
import Synchronization

/// What a crash must not lose: which bytes of which blob are in the spool, and what was learned about hosts.
///
/// An SQLite file in the state directory. Records are grouped: while one transaction is written, the next ones gather,
/// so that a fast link costs a few transactions a second and a slow one loses nothing. After `kill -9` everything
/// recorded is there, since the operating system has it; after power loss the last transactions may be missing (WAL,
/// `synchronous = NORMAL`), and bytes may be that were never written: checksums find those.
package final class ResumeJournal: Sendable {
    /// Bytes of one blob that are in its spool file.
    package struct Extent: Equatable, Sendable {
        package let range: Range<Int64>
        package let checksum: UInt64

        package init(range: Range<Int64>, checksum: UInt64) {
            self.range = range
            self.checksum = checksum
        }
    }

    private enum Record {
        case extent(Digest, Extent)
        case session(Digest, host: String, UploadSession)
        case capability(host: String, UploadCapability, learned: Int64)
        case forget(Digest)
    }

    private let database: DatabaseQueue
    private let writer = DispatchQueue(label: "rollcall.journal")
    private let pending = Mutex<[Record]>([])
    /// Seconds since 1970.
    private let now: @Sendable () -> Int64

    /// The format of the tables. Another one is not read: the spool is fetched again.
    static let version = 2

    /// Opens or creates the journal; a damaged one is replaced, since it only saves work. One that cannot be opened for
    /// another reason, such as a full disk, may be good later, and stays.
    ///
    /// - Parameters:
    ///   - path: the file
    ///   - patience: seconds to wait for another process that writes to it
    ///   - now: seconds since 1970
    /// - Throws: `TransferError.spoolFailed` when the file cannot be opened or written
    package init(
        path: String, patience: Double = 5, now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
    ) throws(TransferError) {
        self.now = now
        do {
            database = try Self.open(path, patience)
        } catch {
            if Self.isDamage(error) {
                for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
            }
            do {
                database = try Self.open(path, patience)
            } catch {
                throw TransferError(
                    .spoolFailed,
                    "cannot open the journal \(path): \(error): check its permissions and the disk's free space")
            }
        }
    }

    private static func open(_ path: String, _ patience: Double) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(patience)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        }
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.write { database in
            // SQLite looks at a page when it needs it: damage would otherwise show at every later record, and be silent.
            guard try String.fetchOne(database, sql: "PRAGMA quick_check(1)") == "ok" else {
                throw DatabaseError(resultCode: .SQLITE_CORRUPT)
            }
            if try Int.fetchOne(database, sql: "PRAGMA user_version") != version {
                try database.execute(
                    sql: """
                        DROP TABLE IF EXISTS extent;
                        DROP TABLE IF EXISTS session;
                        DROP TABLE IF EXISTS host;
                        CREATE TABLE extent (
                            digest TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, checksum INTEGER NOT NULL,
                            PRIMARY KEY (digest, start)
                        ) WITHOUT ROWID;
                        CREATE TABLE session (
                            digest TEXT NOT NULL, host TEXT NOT NULL, repository TEXT NOT NULL, location TEXT NOT NULL,
                            offset INTEGER NOT NULL, minimum INTEGER,
                            PRIMARY KEY (digest, host, repository)
                        ) WITHOUT ROWID;
                        CREATE TABLE host (
                            name TEXT PRIMARY KEY, chunks INTEGER NOT NULL, resumes INTEGER NOT NULL,
                            learned INTEGER NOT NULL
                        ) WITHOUT ROWID;
                        PRAGMA user_version = \(version);
                        """)
            }
        }
        return queue
    }

    private static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        // Also tables of this version that are not as they should be.
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR].contains(error.resultCode)
    }

    /// Records bytes that are in the spool file. Returns at once; written in the next transaction.
    package func record(_ extent: Extent, of digest: Digest) {
        submit(.extent(digest, extent))
    }

    /// Records where a blob's upload stands. Returns at once.
    func record(_ session: UploadSession, of digest: Digest, at host: String) {
        submit(.session(digest, host: host, session))
    }

    /// Where a blob's upload to a repository stood, if it was under way.
    func session(of digest: Digest, at host: String, in repository: Repository) -> UploadSession? {
        flush()
        let row = try? database.read { database in
            try Row.fetchOne(
                database,
                sql: "SELECT location, offset, minimum FROM session WHERE digest = ? AND host = ? AND repository = ?",
                arguments: [digest.description, host, repository.name])
        }
        return row.flatMap { row in
            guard let location: String = Self.value(row, 0), let offset: Int64 = Self.value(row, 1), offset >= 0 else {
                return nil
            }
            return UploadSession(
                repository: repository, location: location, offset: offset, minimumChunk: Self.value(row, 2))
        }
    }

    /// Records what was learned about a host.
    func record(_ capability: UploadCapability, of host: String) {
        submit(.capability(host: host, capability, learned: now()))
    }

    /// What is known about a host; the defaults when nothing is, or when it is too old to be believed.
    func capability(of host: String) -> UploadCapability {
        flush()
        let row = try? database.read { database in
            try Row.fetchOne(
                database, sql: "SELECT chunks, resumes FROM host WHERE name = ? AND learned > ?",
                arguments: [host, now() - UploadCapability.lifetime])
        }
        guard let row, let takesChunks: Bool = Self.value(row, 0), let resumesSessions: Bool = Self.value(row, 1) else {
            return UploadCapability()
        }
        return UploadCapability(takesChunks: takesChunks, resumesSessions: resumesSessions)
    }

    /// Forgets a blob that was published or given up. In order with `record`.
    func forget(_ digest: Digest) {
        submit(.forget(digest))
    }

    /// What is recorded of one blob, by position.
    ///
    /// - Parameters:
    ///   - digest: the blob
    ///   - start: the least position at which one begins
    ///   - count: the most that are wanted
    func extents(of digest: Digest, from start: Int64 = 0, atMost count: Int = .max) -> [Extent] {
        flush()
        let rows = try? database.read { database in
            try Row.fetchAll(
                database,
                sql: "SELECT start, end, checksum FROM extent WHERE digest = ? AND start >= ? ORDER BY start LIMIT ?",
                arguments: [digest.description, start, count])
        }
        return (rows ?? []).compactMap { row in
            guard let start: Int64 = Self.value(row, 0), let end: Int64 = Self.value(row, 1),
                let checksum: Int64 = Self.value(row, 2), 0 <= start, start < end
            else { return nil }
            return Extent(range: start..<end, checksum: UInt64(bitPattern: checksum))
        }
    }

    /// Whether nothing is recorded of a blob's bytes; `nil` where that cannot be read.
    func isEmpty(of digest: Digest) -> Bool? {
        flush()
        let isKnown = try? database.read { database in
            try Bool.fetchOne(
                database, sql: "SELECT EXISTS (SELECT 1 FROM extent WHERE digest = ?)", arguments: [digest.description])
        }
        return isKnown.map { !$0 }
    }

    /// A column's value; `nil` where it is of another type, on which GRDB's own subscript traps.
    private static func value<Value: DatabaseValueConvertible>(_ row: Row, _ column: Int) -> Value? {
        Value.fromDatabaseValue(row[column] as DatabaseValue)
    }

    /// The blobs of which anything is recorded.
    func digests() -> Set<String> {
        flush()
        return Set((try? database.read { try String.fetchAll($0, sql: "SELECT DISTINCT digest FROM extent") }) ?? [])
    }

    /// Waits until everything recorded so far is written.
    package func flush() {
        writer.sync { self.write() }
    }

    private func submit(_ record: Record) {
        let isFirst = pending.withLock { pending in
            pending.append(record)
            return pending.count == 1
        }
        if isFirst { writer.async { self.write() } }
    }

    /// Writes what has gathered, in one transaction. A failure costs a later run some fetching, not its correctness.
    private func write() {
        let records = pending.withLock { pending in
            defer { pending.removeAll(keepingCapacity: true) }
            return pending
        }
        guard !records.isEmpty else { return }
        try? database.write { database in
            let insert = try database.cachedStatement(
                sql: "INSERT OR REPLACE INTO extent (digest, start, end, checksum) VALUES (?, ?, ?, ?)")
            let delete = try database.cachedStatement(sql: "DELETE FROM extent WHERE digest = ?")
            for record in records {
                switch record {
                case .extent(let digest, let extent):
                    try insert.execute(arguments: [
                        digest.description, extent.range.lowerBound, extent.range.upperBound,
                        Int64(bitPattern: extent.checksum),
                    ])
                case .session(let digest, let host, let session):
                    try database.execute(
                        sql: """
                            INSERT OR REPLACE INTO session (digest, host, repository, location, offset, minimum)
                            VALUES (?, ?, ?, ?, ?, ?)
                            """,
                        arguments: [
                            digest.description, host, session.repository.name, session.location, session.offset,
                            session.minimumChunk,
                        ])
                case .capability(let host, let capability, let learned):
                    try database.execute(
                        sql: "INSERT OR REPLACE INTO host (name, chunks, resumes, learned) VALUES (?, ?, ?, ?)",
                        arguments: [host, capability.takesChunks, capability.resumesSessions, learned])
                case .forget(let digest):
                    try delete.execute(arguments: [digest.description])
                    try database.execute(sql: "DELETE FROM session WHERE digest = ?", arguments: [digest.description])
                }
            }
        }
    }
}
