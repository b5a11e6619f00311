import FoundationEssentials
import GRDB
import Glibc
import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

@Suite struct ResumeJournalTests {
    private let digest = Digest(of: [1])
    private let other = Digest(of: [2])

    private func extent(_ range: Range<Int64>, _ checksum: UInt64 = 7) -> ResumeJournal.Extent {
        .init(range: range, checksum: checksum)
    }

    @Test func keepsWhatWasRecordedInOrder() throws {
        try withJournalFile { path in
            do {
                let journal = try ResumeJournal(path: path)
                for start in stride(from: 1000, through: 0, by: -10) as StrideThrough<Int64> {
                    journal.record(extent(start..<start + 10, .max), of: digest)
                }
                journal.record(extent(0..<5), of: other)
                journal.forget(other)
                journal.record(extent(7..<9), of: other)
                #expect(journal.extents(of: other) == [extent(7..<9)])
            }
            let journal = try ResumeJournal(path: path)
            #expect(
                journal.extents(of: digest).map(\.range.lowerBound) == Array(stride(from: 0, through: 1000, by: 10)))
            #expect(journal.extents(of: digest).allSatisfy { $0.checksum == .max })
            #expect(journal.digests() == [digest.description, other.description])
        }
    }

    @Test func keepsSessionsAndWhatWasLearned() throws {
        try withJournalFile { path in
            let repository = try Repository("a/b")
            let session = UploadSession(
                repository: repository, location: "http://h/v2/a/b/blobs/uploads/1?_state=%2B", offset: 32,
                minimumChunk: 5)
            let learned = UploadCapability(takesChunks: false, resumesSessions: true)
            do {
                let journal = try ResumeJournal(path: path, now: { 1_000_000 })
                journal.record(session, of: digest, at: "h")
                journal.record(learned, of: "h")
                journal.flush()
            }
            let journal = try ResumeJournal(path: path, now: { 1_000_000 + UploadCapability.lifetime - 1 })
            #expect(journal.session(of: digest, at: "h", in: repository) == session)
            #expect(journal.session(of: digest, at: "other", in: repository) == nil)
            #expect(journal.session(of: digest, at: "h", in: try Repository("a/c")) == nil)
            #expect(journal.capability(of: "h") == learned)
            journal.forget(digest)
            #expect(journal.session(of: digest, at: "h", in: repository) == nil)
            let later = try ResumeJournal(path: path, now: { 1_000_000 + UploadCapability.lifetime })
            #expect(later.capability(of: "h") == UploadCapability())
        }
    }

    @Test(arguments: ["", "not a database at all, but long enough to look at", "SQLite format 3\u{0}rubbish"])
    func replacesAFileThatIsNoJournal(text: String) throws {
        try withJournalFile { path in
            try Data(text.utf8).write(to: URL(filePath: path))
            do {
                let journal = try ResumeJournal(path: path)
                journal.record(extent(0..<5), of: digest)
                journal.flush()
            }
            #expect(try ResumeJournal(path: path).extents(of: digest) == [extent(0..<5)])
        }
    }

    /// Damage behind the first page, as a bad disk leaves it, must not stop resuming for ever.
    @Test func replacesAJournalWithDamagedPages() throws {
        try withJournalFile { path in
            do {
                let journal = try ResumeJournal(path: path)
                for start in 0..<2000 as Range<Int64> { journal.record(extent(start..<start + 1), of: digest) }
                journal.flush()
            }
            var bytes = try Data(contentsOf: URL(filePath: path))
            #expect(bytes.count > 3 * 4096)
            for index in 4096..<bytes.count { bytes[index] = 0xA5 }
            try bytes.write(to: URL(filePath: path))
            do {
                let journal = try ResumeJournal(path: path)
                journal.record(extent(0..<5), of: other)
                journal.flush()
            }
            #expect(try ResumeJournal(path: path).extents(of: other) == [extent(0..<5)])
        }
    }

    /// SQLite takes any value in any column: what is not a number is not a reason to crash.
    @Test func ignoresRowsThatMakeNoSense() throws {
        try withJournalFile { path in
            do { _ = try ResumeJournal(path: path) }
            let raw = try DatabaseQueue(path: path)
            try raw.write { database in
                for row in [
                    "'text', 5, 5", "0, 'text', 5", "0, 5, x'00ff'", "-5, 5, 5", "5, 5, 5", "9, 3, 5", "10, 20, 5",
                    "9223372036854775807, 5, 1", "30, 1e300, 1",
                ] {
                    try database.execute(sql: "INSERT OR REPLACE INTO extent VALUES ('\(digest)', \(row))")
                }
                try database.execute(sql: "INSERT INTO session VALUES ('\(digest)', 'h', 'a/b', x'ff', 'text', 'text')")
                try database.execute(sql: "INSERT INTO host VALUES ('h', 'text', 'text', \(Int64.max))")
            }
            let journal = try ResumeJournal(path: path)
            #expect(journal.extents(of: digest) == [extent(10..<20, 5)])
            #expect(journal.session(of: digest, at: "h", in: try Repository("a/b")) == nil)
            #expect(journal.capability(of: "h") == UploadCapability())
        }
    }

    @Test func replacesTheTablesOfAnotherVersion() throws {
        try withJournalFile { path in
            let raw = try DatabaseQueue(path: path)
            try raw.write { database in
                try database.execute(sql: "CREATE TABLE extent (something TEXT); PRAGMA user_version = 99")
            }
            try raw.close()
            let journal = try ResumeJournal(path: path)
            journal.record(extent(0..<5), of: digest)
            #expect(journal.extents(of: digest) == [extent(0..<5)])
        }
    }

    /// A journal that cannot be opened now may be good later: it is replaced only when it is damaged.
    @Test func keepsAJournalThatIsInUse() throws {
        try withJournalFile { path in
            do {
                let journal = try ResumeJournal(path: path)
                journal.record(extent(0..<5), of: digest)
                journal.flush()
            }
            let holder = try DatabaseQueue(path: path)
            try holder.inDatabase { database in
                try database.execute(sql: "BEGIN EXCLUSIVE")
                let error = #expect(throws: TransferError.self) { try ResumeJournal(path: path, patience: 0) }
                #expect(error?.code == .spoolFailed)
                #expect(error?.message.contains(path) == true)
                try database.execute(sql: "COMMIT")
            }
            #expect(try ResumeJournal(path: path).extents(of: digest) == [extent(0..<5)])
        }
    }

    private func withJournalFile(_ body: (String) throws -> Void) throws {
        let directory = try TemporaryDirectory("journal")
        defer { directory.remove() }
        try body(directory.file("journal.sqlite"))
    }
}
