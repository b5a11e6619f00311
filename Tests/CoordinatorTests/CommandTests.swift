import FoundationEssentials
import Glibc
import OCI
import Readiness
import TestSupport
import Testing

/// The commands as processes.
@Suite(.timeLimit(.minutes(5))) struct CommandTests {
    @Test func aListClimbsTheLadder() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            var result = try await workplace.run("stage", "list.json", "--environment", "production")
            #expect(result.status == 3)
            #expect(result.text == "")
            #expect(result.errorText.hasPrefix("rollcall: refused: 'platform' of generation "))
            #expect(result.errorText.contains("run 'rollcall promote platform --environment lab' first"))

            result = try await workplace.run("stage", "list.json", "--environment", "lab")
            #expect(result.status == 0)
            #expect(result.text.hasPrefix("staged to lab: platform sha256:"))
            result = try await workplace.run("stage", "list.json", "--environment", "lab")
            #expect(result.status == 0)
            #expect(result.text.hasPrefix("staged to lab already, "))

            result = try await workplace.run("check", "platform", "--environment", "lab")
            #expect(result.status == 3)
            #expect(result.text.contains("BLOCKED (0 of 2 sites ready)"))
            #expect(result.text.contains("silent: it has no cache manifest"))
            #expect(result.errorText == "")
            try await workplace.prove(list, at: "lab-1")
            try await workplace.prove(list, missing: [list.closure.entries[0]], at: "lab-2")
            for command in ["check", "promote"] {
                result = try await workplace.run(command, "platform", "--environment", "lab")
                #expect(result.status == 3)
                #expect(result.text.contains("incomplete: it misses 1 of 2 entries"))
                #expect(result.text.contains("missing at lab-2:\n  platform/api@\(list.closure.entries[0].digest)"))
            }

            try await workplace.prove(list, at: "lab-2")
            result = try await workplace.run("check", "platform", "--environment", "lab")
            #expect(result.status == 0)
            #expect(result.text.contains("READY (2 of 2 sites ready)"))
            result = try await workplace.run("promote", "platform", "--environment", "lab")
            #expect(result.status == 0)
            #expect(result.text == "platform in lab: \(list.generation.short) is promoted\n")
            result = try await workplace.run("stage", "list.json", "--environment", "production")
            #expect(result.status == 0)
            result = try await workplace.run("status")
            #expect(result.status == 0)
            for line in ["lab          platform  sha256:", "production   platform  prod-1  blocked"] {
                #expect(result.text.contains(line), "\(result.text)")
            }
        }
    }

    @Test func jsonIsForPrograms() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            let check = try await workplace.run("check", "platform", "--environment", "lab", "--output", "json")
            #expect(check.status == 3)
            let verdict = try JSONDecoder().decode(Verdict.self, from: Data(check.output))
            #expect(!verdict.ready)
            #expect(verdict.staged?.generation == list.generation)
            #expect(verdict.sites.map(\.site) == ["lab-1", "lab-2"])
            #expect(verdict.sites.map(\.ready) == [true, false])
            #expect(verdict.sites.last?.reasons.map(\.code) == ["silent"])

            try await workplace.prove(list, at: "lab-2")
            for outcome in ["promoted", "already-promoted"] {
                let promote = try await workplace.run("promote", "platform", "--environment", "lab", "--output", "json")
                #expect(promote.status == 0)
                let promotion = try JSONDecoder().decode(Promotion.self, from: Data(promote.output))
                #expect(promotion.outcome == outcome)
                #expect(promotion.verdict.ready)
            }
            let status = try await workplace.run("status", "--output", "json")
            #expect(status.status == 0)
            #expect(status.text.contains("\"environment\" : \"production\""))
        }
    }

    /// What programs may rely on.
    private struct Verdict: Decodable {
        struct Reason: Decodable { let code: String, message: String }
        struct Site: Decodable {
            let site: String, ready: Bool, reasons: [Reason], missing: [ClosureEntry], missingEntries: Int
            let missingBytes: Int64
        }
        let environment: String, list: String, ready: Bool, decidedAt: String
        let staged: EnvironmentRecord.Pointer?
        let reasons: [Reason], sites: [Site]
    }
    private struct Promotion: Decodable { let outcome: String, verdict: Verdict }

    @Test func waitingEndsWhenReady() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            var result = try await workplace.run(
                "check", "platform", "--environment", "lab", "--wait", "--timeout", "0s")
            #expect(result.status == 3)
            async let waiting = workplace.run(
                "check", "platform", "--environment", "lab", "--wait", "--timeout", "1h", "--interval", "1s")
            try await workplace.prove(list, at: "lab-2")
            result = try await waiting
            #expect(result.status == 0)
        }
    }

    /// Of twenty processes that promote at once one wins, and twenty that stage twenty lists at once all do.
    @Test func processesShareTheStore() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            for site in ["lab-1", "lab-2"] { try await workplace.prove(list, at: site) }
            let outcomes = try await withThrowingTaskGroup(of: CommandResult.self) { group in
                for index in 0..<20 {
                    try workplace.write(Workplace.list("list-\(index)"), to: "\(index).json")
                    group.addTask { try await workplace.run("promote", "platform", "--environment", "lab") }
                    group.addTask { try await workplace.run("stage", "\(index).json", "--environment", "lab") }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(outcomes.count { $0.text.hasSuffix("is promoted\n") } == 1)
            #expect(outcomes.count { $0.text.hasPrefix("staged to lab: ") } == 20)
            #expect(outcomes.allSatisfy { $0.status == 0 || $0.text.contains("changed-meanwhile") })
            let record = try await workplace.central.record(of: workplace.lab).record
            #expect(record.lists.count == 21)
            #expect(record.lists[list.name]?.promoted?.generation == list.generation)
            #expect(record.lists[list.name]?.history == [])
        }
    }

    @Test func sitesThatAreNoMoreAreForgotten() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            for site in ["lab-1", "lab-2", "lab-9"] { try await workplace.prove(list, at: site) }
            var result = try await workplace.run("check", "platform", "--environment", "lab")
            #expect(result.status == 3)
            #expect(result.text.contains("run 'rollcall site forget lab-9 --environment lab'"))
            result = try await workplace.run("site", "forget", "lab-9", "--environment", "lab")
            #expect(result.text == "lab-9 in lab: forgotten\n")
            #expect(try await workplace.run("check", "platform", "--environment", "lab").status == 0)
            result = try await workplace.run("site", "forget", "lab-9", "--environment", "lab")
            #expect(result.status == 64)
            #expect(result.errorText.contains("no site 'lab-9' in 'lab': neither the fleet file nor"))
            result = try await workplace.run("site", "forget", "lab-1", "--environment", "lab")
            #expect(result.text.contains("still names it"))
            #expect(try await workplace.run("check", "platform", "--environment", "lab").status == 3)
        }
    }

    @Test func listsAreResolvedAndShown() async throws {
        try await withScriptedRegistry { registry in
            try await Workplace.with { workplace in
                let amd = TestImage(seed: 1, layers: [100, 200])
                let arm = TestImage(seed: 2, layers: [300], platform: "linux/arm64")
                registry.store(amd, in: "platform/api", tag: "4.17.3")
                registry.store(TestImage(index: [amd, arm]), in: "platform/multi", tag: "1")
                try workplace.directory.write(
                    "images.yaml",
                    """
                    name: platform-4.17.3
                    source: \(registry.origin)
                    images:
                      - repository: platform/api
                        tag: "4.17.3"
                      - repository: platform/api
                        digest: \(amd.descriptor.digest)
                      - repository: platform/multi
                        tag: "1"
                        platforms: [linux/arm64]

                    """)
                var result = try await workplace.run("list", "resolve", "images.yaml", "--output", "list.json")
                #expect(result.status == 0, "\(result.errorText)")
                let list = try ImageList(parsing: workplace.directory.read("list.json"))
                #expect(result.text.hasPrefix("list.json: platform-4.17.3 \(list.generation.short): 3 images, "))
                #expect(list.images.map { $0.tag?.name } == [nil, "4.17.3", "1"])
                #expect(list.images.map(\.digest) == [amd, amd, arm].map(\.descriptor.digest))
                #expect(list.images.map { $0.platform?.description } == [nil, nil, "linux/arm64"])
                #expect(Set(list.closure.entries.map(\.digest)) == amd.allDigests.union(arm.allDigests))
                let written = try workplace.directory.read("list.json")
                _ = try await workplace.run("list", "resolve", "images.yaml", "--output", "list.json")
                #expect(try workplace.directory.read("list.json") == written)

                result = try await workplace.run("list", "show", "list.json")
                #expect(result.status == 0)
                #expect(result.text.contains("generation    \(list.generation)\n"))

                registry.remove(amd.descriptor.digest, from: "platform/api")
                result = try await workplace.run("list", "resolve", "images.yaml", "--output", "new.json")
                #expect(result.status == 1)
                #expect(
                    result.errorText.contains(": cannot resolve platform/api: "), "\(result.errorText)")
                #expect(result.errorText.count { $0 == "\n" } == 1)
                #expect(!FileManager.default.fileExists(atPath: workplace.directory.file("new.json")))
            }
        }
    }
}
