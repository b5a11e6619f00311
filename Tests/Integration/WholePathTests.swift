import FoundationEssentials
import OCI
import TestSupport
import Testing

/// The main job on real registries with real images: resolve, stage, sync, check, promote, and what closes the gate.
@Suite(.realImages, .timeLimit(.minutes(5))) struct WholePathTests {
    private let images: RealImages

    init() throws { images = try #require(RealImages.current) }

    private func digest(_ image: String) throws -> String { try #require(images.digests["platform/\(image):1"]) }

    @Test func fromTagsToPromotion() async throws {
        let ladder: KeyValuePairs = ["lab": ["lab-1", "lab-2"], "qa": ["qa-1"]]
        try await TestFleet.with(ladder, source: images.registry.origin) { fleet in
            // Resolve: tags and a digest become digests, the closure is walked through the index.
            let list = try await fleet.resolve(
                "platform", "platform/nginx:1", "platform/redis:1", "platform/multi:1",
                "platform/busybox@\(digest("busybox"))")
            #expect(list.images.map(\.repository) == ["busybox", "multi", "nginx", "redis"].map { "platform/\($0)" })
            for image in list.images { #expect(image.digest == images.digests["\(image.repository):1"]) }
            #expect(list.images.map(\.tag) == [nil, "1", "1", "1"])
            // An index with two manifests, three single ones; each manifest with a config and two layers.
            #expect(list.closure.count { $0.kind == "manifest" } == 6)
            #expect(list.closure.count { $0.kind == "blob" } == 15)
            let shown = try await fleet.rollcall("list", "show", "platform.json")
            for image in list.images { #expect(shown.text.contains(image.digest)) }
            #expect(shown.text.contains(list.generation) && shown.text.contains(list.closureRoot))
            // The same again gives the same list, byte for byte.
            let first = try fleet.directory.read("platform.json")
            try await fleet.expect(0, .rollcall, ["list", "resolve", "platform.yaml", "--output", "again.json"])
            #expect(try fleet.directory.read("again.json") == first)

            // Stage: nobody has confirmed anything. The next rung refuses before the first promotion.
            try await fleet.stage("platform")
            var verdict = try await fleet.check("platform")
            #expect(verdict.staged?.generation == list.generation)
            #expect(verdict.sites.map(\.site) == ["lab-1", "lab-2"])
            #expect(verdict.sites.map(\.codes) == [["silent"], ["silent"]])
            #expect(try await fleet.promote("platform").outcome == "refused")
            let refusal = try await fleet.rollcall("stage", "platform.json", "--environment", "qa")
            refusal.expectFailure(of: .rollcall, 3, naming: ["'lab'", "rollcall promote platform --environment lab"])
            #expect(try await fleet.check("platform", in: "qa").reasons.map(\.code) == ["nothing-staged"])

            // One site is not enough: the other has not run, and is named.
            try await fleet.sync("lab-1")
            verdict = try await fleet.check("platform")
            #expect(verdict.site("lab-1")?.ready == true)
            #expect(verdict.site("lab-2")?.codes == ["silent"])
            let table = try await fleet.rollcall("check", "platform", "--environment", "lab")
            #expect(table.status == 3)
            #expect(table.text.contains("lab-2") && table.text.contains("silent"))
            #expect(try await fleet.promote("platform").outcome == "refused")

            try await fleet.sync("lab-2")
            #expect(try await fleet.check("platform").ready)
            let promotion = try await fleet.promote("platform")
            #expect(promotion.outcome == "promoted")
            #expect(promotion.promoted?.generation == list.generation)
            #expect(promotion.promoted?.closureRoot == list.closureRoot)
            #expect(try await fleet.promote("platform").outcome == "already-promoted")

            for site in fleet.sites.prefix(2) { try await expectExactly(list, at: site, in: fleet) }

            // The ladder goes on.
            try await fleet.stage("platform", to: "qa")
            #expect(try await !fleet.check("platform", in: "qa").ready)
            try await fleet.sync("qa-1")
            #expect(try await fleet.promote("platform", in: "qa").outcome == "promoted")

            let status: StatusDocument = try await fleet.rollcall("status", "--output", "json").decoded()
            #expect(status.environments.map(\.environment) == ["lab", "qa"])
            for environment in ["lab", "qa"] {
                let entry = try #require(status.list("platform", in: environment))
                #expect(entry.promoted?.generation == list.generation)
                #expect(entry.verdict.ready)
            }
            let lines = try await fleet.rollcall("status").text.split(separator: "\n")
            #expect(lines.count { $0.contains("platform") && $0.contains("ready") } == 5, "\(lines)")
        }
    }

    /// skopeo reads exactly the list's digests: every image with all that it needs, and the registry holds nothing else.
    private func expectExactly(_ list: ListDocument, at site: TestFleet.Site, in fleet: TestFleet) async throws {
        for image in list.images {
            let copy = "skopeo-\(site.name)-\(image.repository.replacing("/", with: "-"))"
            // skopeo hashes every byte that it copies.
            let result = try await runCommand(
                [
                    "skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests",
                    "--src-tls-verify=false", "docker://\(site.registry.authority)/\(image.repository)@\(image.digest)",
                    "dir:\(copy)",
                ], directory: fleet.directory.path)
            #expect(result.status == 0, "\(result.errorText)")
            let files = try FileManager.default.contentsOfDirectory(atPath: fleet.directory.file(copy))
            var found: Set<Digest> = []
            for file in files where file != "version" {
                found.insert(Digest(of: try fleet.directory.read("\(copy)/\(file)")))
            }
            let wanted = list.closure.filter { $0.repository == image.repository }.map(\.digest)
            #expect(Set(found.map(\.description)) == Set(wanted), "\(image.repository) at \(site.name)")
            // The tag, where the list names one, is there too.
            if let tag = image.tag {
                let inspected = try await runCommand([
                    "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}",
                    "docker://\(site.registry.authority)/\(image.repository):\(tag)",
                ])
                #expect(inspected.text == "\(image.digest)\n", "\(inspected.errorText)")
            }
        }
        #expect(try site.registry.storedDigests == Set(list.closure.map(\.digest)))
    }

    /// What a platform's user takes out of an index is an image of its own, without the index and without a tag.
    @Test func platforms() async throws {
        try await TestFleet.with(source: images.registry.origin) { fleet in
            let all = try await fleet.resolve("all", "platform/multi:1")
            let arm = try await fleet.resolve("arm", "platform/multi:1 linux/arm64/v8")
            #expect(arm.images.map(\.platform) == ["linux/arm64/v8"])
            #expect(arm.closure.count == 4)
            #expect(Set(arm.closure).isSubset(of: Set(all.closure)))
            #expect(arm.images.first?.digest != all.images.first?.digest)
            let refused = try await fleet.directory.resolving(
                "platform/multi", tag: "1", platform: "linux/s390x", fleet)
            refused.expectFailure(of: .rollcall, 1, naming: ["other.yaml:4: ", "linux/s390x", "linux/amd64"])
            try await fleet.stage("arm")
            try await fleet.sync("lab-1")
            #expect(try await fleet.check("arm").ready)
            #expect(try fleet.site("lab-1").registry.storedDigests == Set(arm.closure.map(\.digest)))
        }
    }

    /// An image, and only a layer of another, vanish behind a registry's back: verify sees it, the gate closes and names
    /// them, sync mends it.
    @Test func lossesCloseTheGate() async throws {
        try await TestFleet.with(["lab": ["lab-1", "lab-2"]], source: images.registry.origin) { fleet in
            let list = try await fleet.resolve("platform", "platform/nginx:1", "platform/redis:1")
            try await fleet.stage("platform")
            try await fleet.sync("lab-1", "lab-2")
            #expect(try await fleet.check("platform").ready)

            let registry = try fleet.site("lab-2").registry
            let redis = try digest("redis")
            let deleted = try await runCommand([
                "curl", "-fsS", "-X", "DELETE", "\(registry.origin)/v2/platform/redis/manifests/\(redis)",
            ])
            #expect(deleted.status == 0, "\(deleted.errorText)")
            try await expectMissing([redis], in: fleet)

            let layer = try #require(
                list.closure.filter { $0.repository == "platform/nginx" && $0.kind == "blob" }.max { $0.size < $1.size }
            )
            // Restarted, since it remembers what it has.
            try await registry.restart {
                let layer = try Digest(layer.digest)
                for repository in ["platform/nginx", "platform/redis"] {
                    let link = registry.linkPath(layer, in: try Repository(repository))
                    try? FileManager.default.removeItem(atPath: link)
                }
                try registry.removeContent(layer)
            }
            let lost = list.closure.filter { $0.digest == layer.digest }.map(\.digest) + [redis]
            try await expectMissing(lost, in: fleet)

            try await fleet.sync("lab-2")
            #expect(try await fleet.promote("platform").outcome == "promoted")
        }
    }

    private func expectMissing(_ digests: [String], in fleet: TestFleet) async throws {
        let verified = try await fleet.agent("verify", "lab-2")
        #expect(verified.status == 3)
        let verdict = try await fleet.check("platform")
        #expect(!verdict.ready)
        #expect(verdict.site("lab-1")?.ready == true)
        let site = try #require(verdict.site("lab-2"))
        #expect(site.codes == ["incomplete"])
        #expect(site.missing.map(\.digest).sorted() == digests.sorted())
        #expect(site.missingEntries == digests.count)
        let promotion = try await fleet.promote("platform")
        #expect(promotion.outcome == "refused")
        #expect(promotion.verdict.site("lab-2")?.missing.count == digests.count)
        for command in ["check", "promote"] {
            let table = try await fleet.rollcall(command, "platform", "--environment", "lab")
            #expect(table.status == 3)
            #expect(table.text.contains("lab-2"))
            for digest in digests {
                #expect(verified.errorText.contains(digest))
                #expect(table.text.contains(digest), "\(table.text)")
            }
        }
    }
}

extension TemporaryDirectory {
    /// Runs `rollcall list resolve` for one image of one platform.
    fileprivate func resolving(
        _ repository: String, tag: String, platform: String, _ fleet: TestFleet
    ) async throws -> CommandResult {
        try write(
            "other.yaml",
            """
            name: other
            source: \(fleet.source)
            images:
              - repository: \(repository)
                tag: "\(tag)"
                platforms: [\(platform)]

            """)
        return try await fleet.rollcall("list", "resolve", "other.yaml", "--output", "other.json")
    }
}

extension RealRegistry {
    /// The digests of all content in the storage, whether a repository names it or not.
    var storedDigests: Set<String> {
        get throws {
            let root = "\(storagePath)/docker/registry/v2/blobs"
            let paths = (try? FileManager.default.subpathsOfDirectory(atPath: root)) ?? []
            return Set(
                paths.filter { $0.hasSuffix("/data") }.map { path in
                    let parts = path.split(separator: "/")
                    return "\(parts[0]):\(parts[parts.count - 2])"
                })
        }
    }
}
