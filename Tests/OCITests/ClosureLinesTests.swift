import Testing

@testable import OCI

@Suite struct ClosureLinesTests {
    private func entry(_ repository: String, _ text: String, _ kind: ClosureEntry.Kind = .blob) throws -> ClosureEntry {
        ClosureEntry(
            repository: try Repository(repository), digest: Digest(of: Array(text.utf8)), size: Int64(text.utf8.count),
            kind: kind, mediaType: MediaType("application/octet-stream"))
    }

    @Test func theTextHashesToTheRoot() throws {
        let closure = Closure(try (0..<20).map { try entry("a/b", "\($0)") })
        let lines = ClosureLines(closure)
        #expect(Digest(of: lines.bytes) == closure.root)
        #expect(lines.root == closure.root)
        #expect(ClosureLines(lines.bytes, root: closure.root) == lines)
        #expect(ClosureLines(lines.bytes + [0], root: closure.root) == nil)
        #expect(ClosureLines(Closure([])).bytes == [])
    }

    /// Every subset of entries whose names make their order awkward, against every other.
    @Test func theDifferenceIsThatOfTheSets() throws {
        let all = Closure([
            try entry("a", "1"), try entry("a", "1", .manifest), try entry("a-b", "2"), try entry("a.b", "3"),
            try entry("a/b", "4"), try entry("a0", "5"), try entry("a_b", "6"),
        ]).entries
        func subset(_ mask: Int) -> Closure {
            Closure(all.enumerated().filter { mask & 1 << $0.offset != 0 }.map(\.element))
        }
        for mine in 0..<(1 << all.count) {
            let left = subset(mine)
            for theirs in stride(from: 0, to: 1 << all.count, by: 5) {
                let right = subset(theirs)
                let expected = left.entries.filter { !right.entries.contains($0) }
                let (lines, count) = ClosureLines(left).missing(from: ClosureLines(right), limit: 3)
                #expect(count == expected.count)
                #expect(lines.map(\.digest) == expected.prefix(3).map(\.digest))
                #expect(lines.map(\.repository) == expected.prefix(3).map(\.repository))
                #expect(lines.map(\.kind) == expected.prefix(3).map(\.kind))
                #expect(lines.map(\.size) == expected.prefix(3).map(\.size))
            }
        }
    }

    @Test func anotherSizeIsAnotherEntry() throws {
        let one = try entry("a", "1")
        let larger = ClosureEntry(
            repository: one.repository, digest: one.digest, size: 100, kind: one.kind, mediaType: one.mediaType)
        let (lines, count) = ClosureLines(Closure([one])).missing(from: ClosureLines(Closure([larger])), limit: 9)
        #expect(count == 1)
        #expect(lines.map(\.size) == [1])
    }

    @Test func whatIsNoLineIsCountedAndNotNamed() throws {
        let text = Array("a blob sha256:1 1\n\nA blob x 1\nnot a line".utf8)
        let lines = try #require(ClosureLines(text, root: Digest(of: text)))
        let (named, count) = lines.missing(from: ClosureLines(Closure([])), limit: 9)
        #expect(named == [])
        #expect(count == 4)
    }
}
