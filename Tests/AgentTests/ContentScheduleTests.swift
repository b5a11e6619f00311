import OCI
import Readiness
import Testing

@testable import Agent

@Suite struct ContentScheduleTests {
    private let start = Timestamp(seconds: 1_800_000_000)
    private let day = Duration.seconds(86_400)

    private func closure() throws -> Closure {
        // Two repositories that share a layer, and one layer of the first alone.
        Closure(
            try [("a", "shared", 10), ("b", "shared", 10), ("a", "own", 5)].map { repository, text, size in
                ClosureEntry(
                    repository: try Repository(repository), digest: Digest(of: Array(text.utf8)), size: Int64(size),
                    kind: .blob, mediaType: MediaType("application/octet-stream"))
            })
    }

    @Test func eachDigestOnceAPeriodThroughAnotherRepository() throws {
        var schedule = ContentSchedule(period: day, closure: try closure())
        var read: [String] = []
        func readAll(at now: Timestamp) {
            while let item = schedule.due(at: now), let entry = item.entries.first {
                read.append("\(entry.repository) \(entry.size)")
                schedule.looked(at: now)
            }
        }
        readAll(at: start)
        #expect(read.sorted() == ["a 10", "a 5"])
        // Nothing for half a period; then all of it again, what is shared from the other repository.
        #expect(schedule.wait(at: start) == day / 2)
        readAll(at: start.advanced(by: day / 2 - .seconds(1)))
        #expect(read.count == 2)
        read = []
        readAll(at: start.advanced(by: day / 2))
        #expect(read.sorted() == ["a 5", "b 10"])
        read = []
        readAll(at: start.advanced(by: day))
        #expect(read.sorted() == ["a 10", "a 5"])
    }

    @Test func whatWasNeverReadGoesFirstThenTheOldest() throws {
        let closure = try closure()
        let (shared, own) = (Digest(of: Array("shared".utf8)), Digest(of: Array("own".utf8)))
        var schedule = ContentSchedule(period: day, closure: closure, readings: [shared: (nil, start)])
        #expect(schedule.due(at: start)?.digest == own)
        schedule = ContentSchedule(
            period: day, closure: closure,
            readings: [shared: (nil, start), own: (nil, start.advanced(by: .seconds(-9)))])
        #expect(schedule.due(at: start.advanced(by: day))?.digest == own)
        #expect(schedule.wait(at: start) == day / 2 - .seconds(9))
    }

    /// Read by a clock that was ahead: nobody knows when.
    @Test func whatWasReadInATimeToComeIsDue() throws {
        let closure = try closure()
        let ahead = start.advanced(by: day * 365)
        var readings: [Digest: (entry: ClosureEntry.Identity?, at: Timestamp)] = [:]
        for entry in closure.entries { readings[entry.digest] = (nil, ahead) }
        var schedule = ContentSchedule(period: day, closure: closure, readings: readings)
        for _ in 0..<2 {
            #expect(schedule.wait(at: start) == .zero)
            #expect(schedule.due(at: start) != nil)
            schedule.looked(at: start)
        }
        #expect(schedule.due(at: start) == nil)
        #expect(schedule.wait(at: start) == day / 2)
    }

    /// After a restart, the repository after the one that was read last.
    @Test func theNextRepositoryOutlivesARestart() throws {
        let closure = try closure()
        let shared = Digest(of: Array("shared".utf8))
        func first(after repository: String?) throws -> String? {
            let identity = try repository.map {
                ClosureEntry.Identity(repository: try Repository($0), digest: shared, kind: .blob)
            }
            return ContentSchedule(
                period: day, closure: Closure(closure.entries.filter { $0.digest == shared }),
                readings: [shared: (identity, start)]
            ).due(at: start.advanced(by: day))?.entries.first?.repository.name
        }
        #expect(try first(after: nil) == "a")
        #expect(try first(after: "a") == "b")
        #expect(try first(after: "b") == "a")
        #expect(try first(after: "gone") == "a")
    }

    @Test func aBudgetThatCannotBeEnoughIsTold() throws {
        let schedule = ContentSchedule(period: day, closure: try closure())
        #expect(schedule.bytes == 15)
        #expect(schedule.shortfall(rate: nil, perDay: nil) == nil)
        #expect(schedule.shortfall(rate: nil, perDay: 15) == nil)
        #expect(schedule.shortfall(rate: 1, perDay: nil) == nil)
        #expect(schedule.shortfall(rate: 1, perDay: 14)?.contains("'audit' allows 14") == true)
        #expect(ContentSchedule(period: day).wait(at: start) == nil)
        #expect(ContentSchedule(period: day).due(at: start) == nil)
    }
}
