import FoundationEssentials
import ObjectStore
import Testing

@testable import Readiness

@Suite struct NameTests {
    @Test(arguments: ["lab", "lab-1", "platform-4.17.3", "A", "0", String(repeating: "x", count: 128)])
    func accepts(_ text: String) throws {
        #expect(try EnvironmentName(text).text == text)
    }

    @Test(arguments: [
        "", ".", "..", "-a", "_a", ".a", "a/b", "a b", "ä", "a\n", "a~", String(repeating: "x", count: 129),
    ])
    func refuses(_ text: String) {
        #expect { try SiteName(text) } throws: { error in
            (error as? ReadinessError)?.code == .invalidName && "\(error)".contains("the name of a site")
        }
    }

    @Test func everyNameMakesAKey() throws {
        let longest = String(repeating: "x", count: 128)
        _ = try CentralStore.key(of: SiteName(longest), in: EnvironmentName(longest))
    }
}

@Suite struct TimestampTests {
    /// Seconds from `date -u -d TIME +%s`.
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799), ("2026-03-01T12:00:00Z", 1_772_366_400),
            ("2100-03-01T00:00:00Z", 4_107_542_400), ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("2024-12-31T00:00:00Z", 1_735_603_200), ("1970-12-31T23:59:59Z", 31_535_999),
        ] as [(String, Int64)])
    func readsAndWrites(_ text: String, _ seconds: Int64) throws {
        #expect(try Timestamp(text).seconds == seconds)
        #expect(Timestamp(seconds: seconds).description == text)
    }

    @Test func everyDayReadsBack() throws {
        for day in stride(from: Int64(0), to: 60_000, by: 1) {
            let time = Timestamp(seconds: day * 86_400)
            #expect(try Timestamp(time.description) == time)
        }
    }

    @Test(arguments: [
        "", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00.5Z",
        "2026-03-01t12:00:00z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z", "1969-12-31T23:59:59Z", "２026-03-01T12:00:00Z",
    ])
    func refuses(_ text: String) {
        #expect { try Timestamp(text) } throws: { ($0 as? ReadinessError)?.code == .invalidTime }
    }

    @Test func arithmeticStaysInRange() {
        #expect(Timestamp(seconds: .max).advanced(by: .seconds(Int64.max)) == Timestamp(seconds: .max))
        #expect(Timestamp(seconds: 0).advanced(by: .seconds(Int64.min)) == Timestamp(seconds: 0))
        #expect(Duration.seconds(7199).rounded == "119 min")
        #expect(Duration.seconds(-7200).rounded == "2 h")
    }
}

@Suite struct FleetTests {
    private let location = try? ObjectStoreLocation("file:///srv/rollcall")

    @Test func ladderOrder() throws {
        let fleet = try Fixture.fleet()
        #expect(fleet.predecessor(of: try EnvironmentName("lab")) == nil)
        #expect(fleet.predecessor(of: try EnvironmentName("production"))?.name.text == "lab")
        #expect(fleet.predecessor(of: try EnvironmentName("other")) == nil)
        #expect { try fleet.environment(EnvironmentName("other")) } throws: { "\($0)".contains("lab, production") }
    }

    @Test func contradictionsAreRefused() throws {
        let location = try #require(location)
        #expect { try Fleet(objectStore: location, environments: []) } throws: { "\($0)".contains("no environments") }
        #expect {
            try Fleet(objectStore: location, environments: [Fixture.environment(), Fixture.environment()])
        } throws: {
            "\($0)".contains("'lab' is named twice")
        }
        #expect { try Fixture.environment(sites: ["a", "b", "a"]) } throws: { "\($0)".contains("'a' is named twice") }
        #expect { try Fixture.environment(freshness: .zero) } throws: { "\($0)".contains("freshness") }
        // Not an error of the file: an environment that is being built. It is never ready.
        #expect(try Fixture.environment(sites: []).sites.isEmpty)
    }
}
