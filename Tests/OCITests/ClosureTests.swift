import FoundationEssentials
import OCI
import Testing

struct ClosureTests {
    static func entry(
        _ repository: String, _ kind: ClosureEntry.Kind, _ content: String, size: Int64? = nil,
        type: String = "application/x"
    ) throws -> ClosureEntry {
        ClosureEntry(
            repository: try Repository(repository), digest: Digest(of: Array(content.utf8)),
            size: size ?? Int64(content.utf8.count), kind: kind, mediaType: MediaType(type))
    }

    /// Computed with coreutils, as anyone can do who has the entries:
    ///
    ///     printf 'app/one blob sha256:9834…e8f0 3\napp/one manifest sha256:3b64…deaf 2\napp/two blob sha256:9834…e8f0 3\n'
    ///         | LC_ALL=C sort | sha256sum
    @Test func rootIsTheHashOfTheSortedLines() throws {
        let closure = Closure([
            try Self.entry("app/two", .blob, "aaa"), try Self.entry("app/one", .manifest, "bb"),
            try Self.entry("app/one", .blob, "aaa"), try Self.entry("app/one", .blob, "aaa"),
        ])
        #expect(closure.root.description == "sha256:d7de98f68038e2847a172f366f010f2e63b8b872ff4c1cca615809020de6e147")
        #expect(
            closure.entries.map { "\($0.repository) \($0.kind)" } == [
                "app/one blob", "app/one manifest", "app/two blob",
            ])
        #expect(closure.uniqueBytes == 5)
    }

    @Test func emptyClosureHasTheHashOfNothing() {
        #expect(Closure([]).root == Digest(of: []))
        #expect(Closure([]).uniqueBytes == 0)
    }

    /// Entries that collide in every part of the key, and in the media type and the size that are not part of it.
    static let pool: [ClosureEntry] = {
        var pool: [ClosureEntry] = []
        for repository in ["a", "a/b", "a-b", "b"] {
            for content in ["1", "2"] {
                for kind in [ClosureEntry.Kind.blob, .manifest] {
                    for (size, type) in [(Int64(1), "application/x"), (2, "application/x"), (1, "application/y")] {
                        if let entry = try? entry(repository, kind, content, size: size, type: type) {
                            pool.append(entry)
                        }
                    }
                }
            }
        }
        return pool
    }()

    @Test(arguments: 0..<200)
    func orderAndRepetitionDoNotMatter(seed: Int) {
        var random = Shuffler(state: UInt64(seed))
        let entries = Self.pool.filter { _ in Bool.random(using: &random) }
        let closure = Closure(entries)
        let again = Closure((entries + entries).shuffled(using: &random))
        #expect(closure == again)
        #expect(closure.root == again.root)
        // Media types too: the canonical list is written from these entries.
        #expect(closure.entries == again.entries)
        #expect(Set(closure.entries.map(\.identity)) == Set(entries.map(\.identity)))
        #expect(closure.entries.map(\.identity) == closure.entries.map(\.identity).sorted())
    }

    @Test func everyDifferenceThatAReadyGateMustSeeChangesTheRoot() throws {
        let base = [try Self.entry("a", .blob, "1"), try Self.entry("a", .manifest, "2")]
        let others = [
            [], [base[0]], [base[1]], base + [try Self.entry("a", .blob, "3")],
            base + [try Self.entry("b", .blob, "1")],
            [try Self.entry("a", .manifest, "1"), base[1]], [try Self.entry("a", .blob, "1", size: 9), base[1]],
            [try Self.entry("b", .blob, "1"), base[1]],
        ]
        let roots = ([base] + others).map { Closure($0).root }
        #expect(Set(roots).count == roots.count)
        #expect(Set(([base] + others).map { Closure($0) }).count == roots.count)
    }

    @Test func mediaTypeDoesNotMakeADifference() throws {
        let one = Closure([try Self.entry("a", .blob, "1", type: "application/x")])
        let other = Closure([try Self.entry("a", .blob, "1", type: "application/y")])
        #expect(one == other)
        #expect(one.root == other.root)
    }

    @Test(arguments: ["-1", "4398046511105", "9223372036854775807"])
    func sizesBeyondReasonAreRefused(size: String) {
        let digest = Digest(of: [])
        let text =
            "{\"repository\":\"a\",\"digest\":\"\(digest)\",\"size\":\(size),\"kind\":\"blob\",\"mediaType\":\"a/b\"}"
        #expect(throws: (any Error).self) { try JSONDecoder().decode(ClosureEntry.self, from: Data(text.utf8)) }
    }

    @Test func entryDecodesAsItWasEncoded() throws {
        for entry in Self.pool {
            let decoded = try JSONDecoder().decode(ClosureEntry.self, from: JSONEncoder().encode(entry))
            #expect(decoded == entry)
        }
    }
}

/// A repeatable order.
private struct Shuffler: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}
