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
