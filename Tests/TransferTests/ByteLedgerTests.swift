import GRDB
import TestSupport
import Testing

@testable import Transfer

@Suite struct ByteTallyTests {
    private func tally(_ quotas: ByteTally.Quotas, days: [CivilDay: Int64] = [:]) throws -> ByteTally {
        ByteTally(
            days: days, quotas: quotas, timeZone: try #require(SiteTimeZone("Europe/Zurich")),
            now: TransferWindowsTests.instant("2026-03-30 12:00"))
    }

    @Test func countsDaysAndMonthsOfTheSite() throws {
        var tally = try tally(.init())
        _ = tally.count(1, at: TransferWindowsTests.instant("2026-03-30 12:00"))
        // In Zurich the last of March ends at 22:00 UTC.
        let march = TransferWindowsTests.instant("2026-03-31 21:59")
        let counted = tally.count(10, at: march)
        #expect(counted.day.description == "2026-03-31")
        #expect((tally.bytesOfDay, tally.bytesOfMonth) == (10, 11))
        let april = TransferWindowsTests.instant("2026-03-31 22:00")
        let next = tally.count(100, at: april)
        #expect(next == (CivilDay(year: 2026, month: 4, day: 1), 100))
        #expect((tally.bytesOfDay, tally.bytesOfMonth) == (100, 100))
        // A clock that is set back finds what was counted.
        let back = tally.count(1000, at: march)
        #expect(back.bytes == 1010)
        #expect(tally.bytesOfMonth == 1011)
    }

    @Test func theDaysQuotaEndsWithTheDay() throws {
        let noon = TransferWindowsTests.instant("2026-03-30 12:00")
        var tally = try tally(.init(perDay: 1 << 20))
        _ = tally.count((1 << 20) - ByteTally.piece, at: noon)
        isPaused(&tally, noon, nil)
        _ = tally.count(1, at: noon)
        let exhausted = tally.pause(at: noon)
        let pause = try #require(exhausted)
        #expect(pause.reason == .quotaPerDay)
        #expect(pause.until == TransferWindowsTests.instant("2026-03-30 22:00"))
        #expect(
            "\(pause)" == "the day's quota of 1048576 bytes is used up until 2026-03-31 00:00 Europe/Zurich")
        isPaused(&tally, pause.until - 1, .quotaPerDay)
        isPaused(&tally, pause.until, nil)
    }

    @Test func theMonthsQuotaGoesBeforeTheDays() throws {
        let noon = TransferWindowsTests.instant("2026-03-30 12:00")
        var tally = try tally(
            .init(perDay: 1 << 20, perMonth: 3 << 20),
            days: [
                CivilDay(year: 2026, month: 3, day: 1): 1 << 20, CivilDay(year: 2026, month: 2, day: 28): 9 << 20,
                CivilDay(year: 2026, month: 4, day: 1): 9 << 20,
            ])
        isPaused(&tally, noon, nil)
        _ = tally.count(2 << 20, at: noon)
        isPaused(&tally, noon, .quotaPerMonth, until: TransferWindowsTests.instant("2026-03-31 22:00"))
    }

    private func isPaused(
        _ tally: inout ByteTally, _ instant: Int64, _ reason: TransferPause.Reason?, until: Int64? = nil,
        at location: SourceLocation = #_sourceLocation
    ) {
        let pause = tally.pause(at: instant)
        #expect(pause?.reason == reason, sourceLocation: location)
        if let until { #expect(pause?.until == until, sourceLocation: location) }
    }

    @Test func sumsDoNotOverflow() throws {
        var tally = try tally(.init(perDay: .max), days: [CivilDay(year: 2026, month: 3, day: 30): .max])
        let counted = tally.count(.max, at: TransferWindowsTests.instant("2026-03-30 12:00"))
        #expect(counted.bytes == .max)
    }
}

@Suite struct ByteLedgerTests {
    private let noon = TransferWindowsTests.instant("2026-03-30 12:00")

    private func open(_ path: String, perDay: Int64? = nil, now: Int64? = nil) throws -> ByteLedger {
        try ByteLedger(path: path, quotas: .init(perDay: perDay), timeZone: .utc, now: now ?? noon)
    }

    @Test func survivesRestarts() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("ledger.sqlite")
            var ledger = try open(path)
            for _ in 0..<1000 { ledger.count(1000, at: noon) }
            ledger.count(5, at: noon + 86_400)
            ledger.flush()
            ledger = try open(path, perDay: 1 << 20)
            #expect(ledger.bytes(at: noon) == (1_000_000, 1_000_005))
            #expect(ledger.bytes(at: noon + 86_400) == (5, 1_000_005))
            // Less than a piece is left of 1 MiB after 40 000 more.
            #expect(ledger.pause(at: noon) == nil)
            ledger.count(40_000, at: noon)
            #expect(ledger.pause(at: noon)?.reason == .quotaPerDay)
            ledger.flush()
            #expect(try open(path, perDay: 1 << 20).pause(at: noon)?.reason == .quotaPerDay)
            #expect(try open(path, perDay: 1 << 20).pause(at: noon + 86_400) == nil)
        }
    }

    /// What a process counted is in the file shortly after, without its doing anything: `kill -9` leaves it there.
    @Test(.timeLimit(.minutes(5)))
    func isWrittenByItself() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("ledger.sqlite")
            let ledger = try open(path)
            ledger.count(7, at: noon)
            let reader = try DatabaseQueue(path: path)
            await until {
                (try? reader.read { try Int64.fetchOne($0, sql: "SELECT bytes FROM traffic") }) == 7
            }
            #expect(ledger.bytes(at: noon).day == 7)
        }
    }

    @Test func forgetsWhatIsOld() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("ledger.sqlite")
            let ledger = try open(path)
            ledger.count(1, at: noon)
            ledger.count(1, at: noon - 300 * 86_400)
            ledger.flush()
            _ = try open(path, now: noon + 200 * 86_400)
            let days = try await DatabaseQueue(path: path).read {
                try String.fetchAll($0, sql: "SELECT day FROM traffic")
            }
            #expect(days == ["2026-03-30"])
        }
    }

    @Test func rowsThatMakeNoSenseDoNotCount() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("ledger.sqlite")
            try open(path).flush()
            try await DatabaseQueue(path: path).write { database in
                try database.execute(
                    sql: """
                        INSERT INTO traffic VALUES ('2026-03-30', 'many'), ('2026-03-29', -1), ('2026-99999999999-1', 5),
                            ('2026-03-32', 5), ('x', 5), (x'00', 5), ('2026-03-28', 9)
                        """)
            }
            #expect(try open(path).bytes(at: noon) == (0, 9))
        }
    }

    @Test func aFileThatIsNoLedgerIsNamed() async throws {
        try await withTemporaryDirectory { directory in
            let path = try directory.write("ledger.sqlite", [UInt8](repeating: 65, count: 5000))
            let error = #expect(throws: TransferError.self) { try open(path) }
            #expect(error?.code == .spoolFailed)
            #expect(error?.message.hasPrefix("cannot use the byte ledger \(path): ") == true)
            #expect(error?.message.contains("delete it") == true)
        }
    }
}
