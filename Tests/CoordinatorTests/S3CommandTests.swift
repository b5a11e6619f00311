import FoundationEssentials
import OCI
import ObjectStore
import Readiness
import TestSupport
import Testing

/// The commands against an S3 server.
@Suite(.timeLimit(.minutes(5))) struct S3CommandTests {
    /// The whole way, in a bucket: what was read is kept between processes, and never answers for the store.
    @Test func theGateWorksInABucket() async throws {
        try await withRealS3(.ceph) { server in
            try await Workplace.with { workplace in
                let fleet = String(decoding: try workplace.directory.read("fleet.yaml"), as: UTF8.self)
                let directory = "file://\(workplace.directory.file("store"))"
                try workplace.directory.write("fleet.yaml", fleet.replacing(directory, with: server.url))
                var access = ObjectStoreAccess(environment: server.environment)
                access.proxy = ""
                let central = CentralStore(try ObjectStoreLocation(server.url).open(access))
                let cache = workplace.directory.file("cache")
                func run(_ arguments: String...) async throws -> CommandResult {
                    try await workplace.run(
                        arguments, environment: server.environment.merging(["ROLLCALL_CACHE": cache]) { $1 })
                }
                var kept: [String] {
                    let stores = (try? FileManager.default.contentsOfDirectory(atPath: cache)) ?? []
                    return stores.flatMap {
                        (try? FileManager.default.contentsOfDirectory(atPath: "\(cache)/\($0)")) ?? []
                    }
                }

                let list = try workplace.write(Workplace.list())
                var result = try await run("stage", "list.json", "--environment", "lab")
                #expect(result.status == 0, "\(result.errorText)")
                for site in ["lab-1", "lab-2"] { try await workplace.prove([list], at: site, in: central) }
                result = try await run("check", "platform", "--environment", "lab")
                #expect(result.status == 0, "\(result.text)\(result.errorText)")
                #expect(kept.count >= 3)
                // What this machine has seen of the store, the next process holds the store to: the chain's end is asked for.
                #expect(kept.contains { $0.hasPrefix("seen-") && $0.hasSuffix(".json") })
                #expect(try await run("check", "platform", "--environment", "lab").status == 0)
                let files = kept.count
                // What is kept serves the next process, and what has changed since is seen by it.
                #expect(try await run("check", "platform", "--environment", "lab").status == 0)
                #expect(kept.count == files)
                try await workplace.prove([list], missing: [list.closure.entries[0]], at: "lab-2", in: central)
                result = try await run("check", "platform", "--environment", "lab")
                #expect(result.status == 3)
                #expect(result.text.contains("incomplete"))
                try await workplace.prove([list], at: "lab-2", in: central)
                #expect(try await run("promote", "platform", "--environment", "lab").status == 0)
                result = try await run("audit", "verify")
                #expect(result.status == 0, "\(result.text)\(result.errorText)")
                #expect(result.text.hasPrefix("the audit chain holds together: 5 records"), "\(result.text)")
                // Without a cache it is the same.
                result = try await workplace.run(
                    ["check", "platform", "--environment", "lab"],
                    environment: server.environment.merging(["ROLLCALL_CACHE": "none"]) { $1 })
                #expect(result.status == 0)
            }
        }
    }
}
