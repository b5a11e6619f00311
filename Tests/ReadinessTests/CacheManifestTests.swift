import OCI
import Testing

@testable import Readiness

@Suite struct CacheManifestTests {
    @Test func documentReadsBack() throws {
        let list = try Fixture.list()
        let manifest = try Fixture.manifest(
            Fixture.holding(list, missing: [list.closure.entries[0]]), Fixture.holding(Fixture.list(tag: "0")))
        let bytes = try manifest.documentBytes()
        #expect(try CacheManifest(parsing: bytes) == manifest)
        let text = String(decoding: bytes, as: UTF8.self)
        for part in [
            #""schema" : "rollcall.cache-manifest/v1""#, #""missingEntries" : 1"#, #""depth" : "presence""#,
            #""issuedAt" : "2026-03-01T11:59:30Z""#,
        ] {
            #expect(text.contains(part))
        }
    }

    @Test func depthAndProgressReadBack() throws {
        let list = try Fixture.list()
        let manifest = try CacheManifest(
            environment: EnvironmentName("lab"), site: SiteName("site-1"), sequence: 3, issuedAt: Fixture.now,
            expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0",
            holdings: [
                .init(
                    of: list, missing: [], verifiedAt: Fixture.now, depth: .content,
                    contentVerifiedAt: Fixture.now.advanced(by: .seconds(-600)))
            ],
            progress: .init(
                bytesDone: 10, bytesTotal: 100, bytesPerSecond: 5,
                estimatedReadyAt: Fixture.now.advanced(by: .seconds(18)), pausedUntil: Fixture.now,
                sources: (0..<20).map { .init(name: "mirror-\($0)", bytes: $0, bytesPerSecond: $0 == 19 ? nil : 1) }))
        #expect(manifest.progress?.sources?.map(\.name) == (4..<20).reversed().map { "mirror-\($0)" })
        #expect(try CacheManifest(parsing: manifest.documentBytes()) == manifest)
        for (done, total, rate) in [(-1, 1, 1), (2, 1, 1), (0, Int64.max, 1), (0, 1, -1)] as [(Int64, Int64, Int64)] {
            #expect {
                try CacheManifest(
                    environment: EnvironmentName("lab"), site: SiteName("site-1"), sequence: 3, issuedAt: Fixture.now,
                    expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0", holdings: [],
                    progress: .init(bytesDone: done, bytesTotal: total, bytesPerSecond: rate))
            } throws: {
                "\($0)".contains("progress")
            }
        }
        let text = String(decoding: try manifest.documentBytes(), as: UTF8.self)
        for (from, to) in [
            ("\"mirror-7\"", "\"\""), ("\"mirror-7\"", "\"\(String(repeating: "m", count: 301))\""),
            ("\"bytes\" : 7", "\"bytes\" : -7"), ("\"bytesPerSecond\" : 1", "\"bytesPerSecond\" : -1"),
        ] {
            let damaged = text.replacing(from, with: to)
            #expect(damaged != text)
            #expect { try CacheManifest(parsing: Array(damaged.utf8)) } throws: { "\($0)".contains("progress") }
        }
        // What an agent of before there were sources writes.
        #expect(CacheManifest.Progress(bytesDone: 1, bytesTotal: 2).sources == nil)
    }

    @Test func manyMissingEntriesAreCountedAndTheFirstAreNamed() throws {
        let list = try Fixture.list(layers: 150)
        let holding = Fixture.holding(list, missing: list.closure.entries)
        #expect(holding.missingEntries == 151)
        #expect(holding.missing == Array(list.closure.entries.prefix(100)))
        #expect(holding.missingBytes == list.closure.uniqueBytes)
        let manifest = try Fixture.manifest(holding)
        #expect(try CacheManifest(parsing: manifest.documentBytes()) == manifest)
        let text = String(decoding: try manifest.documentBytes(), as: UTF8.self)
        for (from, to) in [("151", "99"), ("151", "-1"), ("151", "9999999")] {
            let damaged = text.replacing("\"missingEntries\" : \(from)", with: "\"missingEntries\" : \(to)")
            #expect(damaged != text)
            #expect { try CacheManifest(parsing: Array(damaged.utf8)) } throws: { "\($0)".contains("contradict") }
        }
    }

    @Test func rootsAreEqualExactlyWhenNothingIsMissing() throws {
        let list = try Fixture.list(layers: 5)
        #expect(Fixture.holding(list).root == list.closure.root)
        for entry in list.closure.entries {
            let holding = Fixture.holding(list, missing: [entry, entry])
            #expect(holding.root != list.closure.root)
            #expect(holding.missing == [entry])
            #expect(holding.entries == list.closure.entries.count - 1)
            #expect(holding.bytes + holding.missingBytes == list.closure.uniqueBytes)
        }
        // What the list does not need cannot be missing.
        let foreign = try Fixture.list(tag: "9").closure.entries
        #expect(Fixture.holding(list, missing: foreign).root == list.closure.root)
    }

    @Test func contradictionsAreRefused() throws {
        let list = try Fixture.list()
        #expect { try Fixture.manifest(issued: .seconds(10), expires: .seconds(10)) } throws: {
            "\($0)".contains("expires")
        }
        #expect { try Fixture.manifest(sequence: -1) } throws: { "\($0)".contains("sequence") }
        #expect {
            try Fixture.manifest(Fixture.holding(list, verified: .seconds(0)))
        } throws: {
            "\($0)".contains("after the manifest was issued")
        }
        #expect {
            try Fixture.manifest(Fixture.holding(list), Fixture.holding(list))
        } throws: {
            "\($0)".contains("twice")
        }
    }

    @Test func impossibleSizesAreRefused() throws {
        let list = try Fixture.list()
        let document = String(
            decoding: try Fixture.manifest(Fixture.holding(list, missing: list.closure.entries)).documentBytes(),
            as: UTF8.self)
        for size in ["-1", "9223372036854775807"] {
            let damaged = document.replacing(#""size" : 500"#, with: #""size" : \#(size)"#)
            #expect(damaged != document)
            #expect(throws: ReadinessError.self) { try CacheManifest(parsing: Array(damaged.utf8)) }
        }
    }
}
