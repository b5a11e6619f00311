import Dispatch
import GRDB
import Glibc
import Synchronization

/// The tally of the network's bytes, kept across restarts: an SQLite file, one row a day.
///
/// Totals are written at most four times a second, off the counting thread: after `kill -9` up to a quarter of a second
/// of traffic is not counted, after power loss what the operating system had not written. What cannot be written, as on
/// a full disk, is tried again with the next bytes, and counts meanwhile.
final class ByteLedger: Sendable {
    private struct State {
        var tally: ByteTally
        /// Days whose total has changed since it was written.
        var unwritten: [CivilDay: Int64] = [:]
        var isWriteDue = false
    }

    private let state: Mutex<State>
    private let database: DatabaseQueue
    private let writer = DispatchQueue(label: "rollcall.ledger")

    /// How long totals gather before they are written.
    static let gathering = DispatchTimeInterval.milliseconds(250)
    /// Days that are kept, for people who look back.
    static let keptDays: Int64 = 400

    /// Opens or creates the file.
    ///
    /// - Parameters:
    ///   - path: the file
    ///   - quotas: what a day and a month may bring
    ///   - timeZone: the site's
    ///   - now: seconds since 1970
    /// - Throws: `TransferError.spoolFailed` where it cannot be read or written. Unlike the journal it is not replaced:
    ///   a month's quota would begin anew.
    init(path: String, quotas: ByteTally.Quotas, timeZone: SiteTimeZone, now: Int64) throws(TransferError) {
        let existed = access(path, F_OK) == 0
        do {
            var configuration = Configuration()
            configuration.prepareDatabase { database in
                try database.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
            }
            database = try DatabaseQueue(path: path, configuration: configuration)
            let oldest = CivilDay(number: timeZone.day(at: now).number - Self.keptDays)
            let rows = try database.write { database in
                try database.execute(
                    sql: """
                        CREATE TABLE IF NOT EXISTS traffic (day TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID
                        """)
                try database.execute(sql: "DELETE FROM traffic WHERE day < ?", arguments: [oldest.description])
                return try Row.fetchAll(database, sql: "SELECT day, bytes FROM traffic")
            }
            var days: [CivilDay: Int64] = [:]
            for row in rows {
                // Converted by hand: GRDB's own conversions trap on a value of another type.
                guard let text = String.fromDatabaseValue(row["day"]), let day = CivilDay(text),
                    let bytes = Int64.fromDatabaseValue(row["bytes"]), bytes >= 0
                else { continue }
                days[day] = bytes
            }
            state = Mutex(State(tally: ByteTally(days: days, quotas: quotas, timeZone: timeZone, now: now)))
        } catch {
            if !existed { unlink(path) }
            if (error as? DatabaseError)?.resultCode == .SQLITE_FULL {
                throw TransferError(
                    .spoolFull, "cannot write the byte ledger \(path): the disk is full: free some space there")
            }
            throw TransferError(
                .spoolFailed,
                "cannot use the byte ledger \(path): \(error): make it readable and writable, or delete it, which begins"
                    + " the count of bytes by day and month anew")
        }
    }

    /// Counts bytes from the network. Returns at once.
    ///
    /// - Parameter now: seconds since 1970
    func count(_ bytes: Int64, at now: Int64) {
        let isFirst = state.withLock { state in
            let (day, total) = state.tally.count(bytes, at: now)
            state.unwritten[day] = total
            defer { state.isWriteDue = true }
            return !state.isWriteDue
        }
        if isFirst { writer.asyncAfter(deadline: .now() + Self.gathering) { self.write() } }
    }

    /// Why nothing more may be taken; `nil` while something may.
    func pause(at now: Int64) -> TransferPause? { state.withLock { $0.tally.pause(at: now) } }

    /// The bytes of the day and of the month that an instant lies in.
    func bytes(at now: Int64) -> (day: Int64, month: Int64) {
        state.withLock { state in
            state.tally.turn(to: now)
            return (state.tally.bytesOfDay, state.tally.bytesOfMonth)
        }
    }

    /// Waits until everything counted so far is written.
    func flush() { writer.sync { self.write() } }

    private func write() {
        let totals = state.withLock { state in
            state.isWriteDue = false
            return state.unwritten
        }
        guard !totals.isEmpty else { return }
        let isWritten: Void? = try? database.write { database in
            let insert = try database.cachedStatement(sql: "INSERT OR REPLACE INTO traffic (day, bytes) VALUES (?, ?)")
            for (day, bytes) in totals { try insert.execute(arguments: [day.description, bytes]) }
        }
        guard isWritten != nil else { return }
        state.withLock { state in
            // A total that has grown meanwhile is still to be written.
            for (day, bytes) in totals where state.unwritten[day] == bytes { state.unwritten[day] = nil }
        }
    }
}

extension CivilDay {
    /// Reads `YYYY-MM-DD` as `description` writes it.
    fileprivate init?(_ text: String) {
        let parts = text.split(separator: "-").map { Int64($0) }
        guard parts.count == 3, let year = parts[0], let month = parts[1], let day = parts[2],
            (1...9999).contains(year), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        self.init(year: year, month: month, day: day)
        guard description == text else { return nil }
    }
}
