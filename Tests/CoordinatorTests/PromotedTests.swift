import FoundationEssentials
import OCI
import Readiness
import TestSupport
import Testing

/// What people and programs are told of what is promoted, while the next generation is staged.
@Suite(.timeLimit(.minutes(5))) struct PromotedTests {
    /// What programs may rely on.
    private struct Document: Decodable {
        struct Site: Decodable { let site: String, ready: Bool }
        let of: String, ready: Bool
        let staged: EnvironmentRecord.Pointer?, promoted: EnvironmentRecord.Pointer?
        let sites: [Site]
    }
    private struct Status: Decodable {
        struct Environment: Decodable { let lists: [List] }
        struct List: Decodable {
            let promoted: EnvironmentRecord.Pointer?
            let verdict: Document
            let promotedVerdict: Document?
        }
        let environments: [Environment]
    }

    /// The first generation is promoted and held, the second is staged.
    private func withTwoGenerations(
        _ body: (Workplace, _ promoted: ImageList, _ staged: ImageList) async throws -> Void
    ) async throws {
        try await Workplace.with { workplace in
            let promoted = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            for site in ["lab-1", "lab-2"] { try await workplace.prove(promoted, at: site) }
            #expect(try await workplace.run("promote", "platform", "--environment", "lab").status == 0)
            let staged = try workplace.write(Workplace.list(tag: "2"))
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await body(workplace, promoted, staged)
        }
    }

    private func check(_ workplace: Workplace, _ arguments: String...) async throws -> CommandResult {
        try await workplace.run(["check", "platform", "--environment", "lab"] + arguments)
    }

    @Test func whatIsPromotedIsAskedAbout() async throws {
        try await withTwoGenerations { workplace, promoted, staged in
            #expect(try await check(workplace).status == 3)
            var result = try await check(workplace, "--promoted")
            #expect(result.status == 0)
            #expect(
                result.text.hasPrefix(
                    "platform in lab, promoted: READY (2 of 2 sites ready)\npromoted \(promoted.generation.short), "))
            // Which of the two a generation is decides.
            #expect(try await check(workplace, "--generation", "\(promoted.generation)").status == 0)
            #expect(try await check(workplace, "--generation", "\(staged.generation)").status == 3)
            result = try await check(workplace, "--promoted", "--generation", "\(staged.generation)")
            #expect(result.status == 3)
            #expect(result.text.contains("not-promoted: generation \(staged.generation.short) of 'platform'"))

            // Of the two generations' entries, the manifest is the one that they do not share.
            let lost = promoted.closure.entries.filter { $0.kind == .manifest }
            try await workplace.prove([promoted, staged], missing: lost, at: "lab-1")
            try await workplace.prove([promoted, staged], at: "lab-2")
            #expect(try await check(workplace).status == 0)
            result = try await check(workplace, "--promoted")
            #expect(result.status == 3)
            #expect(result.text.contains("promoted: BLOCKED (1 of 2 sites ready)"))
            #expect(result.text.contains("incomplete: it misses 1 of 2 entries"))

            let json = try JSONDecoder().decode(
                Document.self, from: Data(try await check(workplace, "--promoted", "--output", "json").output))
            #expect(json.of == "promoted" && !json.ready)
            #expect(json.staged == nil && json.promoted?.generation == promoted.generation)
            #expect(json.sites.map(\.ready) == [false, true])
            let other = try JSONDecoder().decode(
                Document.self, from: Data(try await check(workplace, "--output", "json").output))
            #expect(other.of == "staged" && other.ready)
            #expect(other.promoted == nil && other.staged?.generation == staged.generation)
            // A build server keeps the two apart.
            result = try await check(workplace, "--promoted", "--output", "junit")
            #expect(result.text.contains("<testsuite name=\"platform in lab, promoted\""))
            #expect(result.text.contains("classname=\"rollcall.lab.platform.promoted\" name=\"lab-1\""))
        }
    }

    @Test func whatIsNotPromotedIsSaidToBe() async throws {
        try await Workplace.with { workplace in
            let result = try await check(workplace, "--promoted")
            #expect(result.status == 3)
            #expect(result.text.contains("not-promoted: nothing is promoted in 'lab' as 'platform'"))
        }
    }

    @Test func statusShowsBoth() async throws {
        try await withTwoGenerations { workplace, promoted, staged in
            var result = try await workplace.run("status")
            #expect(result.status == 0)
            for words in [
                "blocked (0 of 2 sites)", "still held:  ", "ready (2 of 2 sites)",
                "lab          platform             lab-1  blocked",
                "lab          platform (promoted)  lab-1  ready",
            ] {
                #expect(result.text.contains(words), "\(words) in \(result.text)")
            }
            result = try await workplace.run("status", "--output", "json")
            let status = try JSONDecoder().decode(Status.self, from: Data(result.output))
            let list = try #require(status.environments.first?.lists.first)
            #expect(list.verdict.of == "staged" && !list.verdict.ready)
            #expect(list.verdict.staged?.generation == staged.generation)
            #expect(list.promotedVerdict?.of == "promoted" && list.promotedVerdict?.ready == true)
            #expect(list.promotedVerdict?.promoted?.generation == promoted.generation)

            // Once they are the same, one decision is about both.
            for site in ["lab-1", "lab-2"] { try await workplace.prove([promoted, staged], at: site) }
            _ = try await workplace.run("promote", "platform", "--environment", "lab")
            result = try await workplace.run("status", "--output", "json")
            let after = try JSONDecoder().decode(Status.self, from: Data(result.output))
            #expect(after.environments.first?.lists.first?.promotedVerdict == nil)
            #expect(after.environments.first?.lists.first?.promoted?.generation == staged.generation)
            #expect(try await !workplace.run("status").text.contains("still held:"))
        }
    }
}
