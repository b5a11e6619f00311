import TestSupport
import Testing

@testable import Bench

/// The command of each tool, word by word: those that are not on this machine are known by nothing else.
@Suite(.timeLimit(.minutes(5))) struct PeerTests {
    private static let image = "far:5000/bench/layer:1.0"
    private static let copy = "near:5001/bench/layer:1.0"

    /// A tool's command and the files that it comes with, for one image or a release of two.
    private struct Prepared {
        let command: String
        let environment: [String: String]
        /// By name.
        let files: [String: String]
    }

    /// `nil` where the tool has no way to do it.
    private func prepare(_ name: String, isRelease: Bool) throws -> Prepared? {
        let directory = try TemporaryDirectory("peer")
        defer { directory.remove() }
        try Scratch.makeDirectory(directory.file("storage"))
        let plan: CorpusPlan =
            isRelease
            ? .release(images: 2, bytes: 1 << 16, seed: 1) : .image("layer", bytes: 4096, layers: 1, seed: 1)
        let corpus = try Corpus(plan, in: directory.file("storage"))
        let job = Job(
            work: isRelease ? .release : .copy, corpus: corpus, needed: corpus.needed(.nothing),
            source: Endpoint(authority: "far:5000"), destination: Endpoint(authority: "near:5001"),
            directory: directory.path)
        let tool = try #require(Tool.all(binaries: "/opt").first { $0.name == name })
        guard let command = try tool.prepare(job) else { return nil }
        func shown(_ text: String) -> String { text.replacing(directory.path, with: "DIR") }
        var files: [String: String] = [:]
        for file in ["commands", "sync.yaml", "regctl.json", "regsync.yml", "imageset.yaml", "curl"] {
            files[file] = (try? directory.read(file)).map { shown(String(decoding: $0, as: UTF8.self)) }
        }
        return Prepared(
            command: shown(command.arguments.joined(separator: " ")),
            environment: command.environment.mapValues(shown), files: files)
    }

    @Test(arguments: [
        (
            "rollcall", "/opt/rollcall-agent copy \(image) \(copy) --plain-http far:5000 --plain-http near:5001"
        ),
        (
            "skopeo",
            "skopeo --insecure-policy copy --all --src-tls-verify=false --dest-tls-verify=false docker://\(image) docker://\(copy)"
        ),
        ("crane", "crane copy --insecure \(image) \(copy)"),
        ("crane x8, 8 jobs", "crane copy --insecure \(image) \(copy) --jobs 8"),
        ("oras", "oras cp --from-plain-http --to-plain-http --no-tty \(image) \(copy)"),
        (
            "oras x8, concurrency 8",
            "oras cp --from-plain-http --to-plain-http --no-tty \(image) \(copy) --concurrency 8"
        ),
        ("regctl", "regctl image copy \(image) \(copy)"), ("regctl, 8 at once", "regctl image copy \(image) \(copy)"),
    ])
    func oneImageIsCopied(_ name: String, _ command: String) throws {
        #expect(try prepare(name, isRelease: false)?.command == command)
    }

    @Test(arguments: [
        ("skopeo copy x8", false), ("regsync", false), ("regsync, 8 at once", false), ("oc-mirror", false),
        ("oc-mirror, 10 images and 10 layers at once", false), ("regctl", true), ("regctl, 8 at once", true),
        ("rollcall, own registry", true), ("curl --limit-rate, one after another", false),
    ])
    func whatAToolIsNotForItDoesNotDo(_ name: String, _ isRelease: Bool) throws {
        let prepared = try prepare(name, isRelease: isRelease)
        #expect(prepared?.command == nil)
    }

    @Test func regctlIsToldHowManyRequestsItMayMake() throws {
        let usual = try #require(try prepare("regctl", isRelease: false))
        #expect(usual.environment == ["REGCTL_CONFIG": "DIR/regctl.json"])
        #expect(
            usual.files["regctl.json"]
                == "{\"hosts\":{\"far:5000\":{\"tls\":\"disabled\"},\"near:5001\":{\"tls\":\"disabled\"}}}\n")
        let best = try #require(try prepare("regctl, 8 at once", isRelease: false))
        #expect(
            best.files["regctl.json"]
                == "{\"hosts\":{\"far:5000\":{\"tls\":\"disabled\",\"reqConcurrent\":8},"
                + "\"near:5001\":{\"tls\":\"disabled\",\"reqConcurrent\":8}}}\n")
    }

    @Test(arguments: [
        (
            "skopeo copy x8", 8, "skopeo --insecure-policy copy --all --src-tls-verify=false --dest-tls-verify=false ",
            "docker://", ""
        ),
        ("crane", 1, "crane copy --insecure ", "", ""),
        ("crane x8, 8 jobs", 8, "crane copy --insecure ", "", " --jobs 8"),
        ("oras", 1, "oras cp --from-plain-http --to-plain-http --no-tty ", "", ""),
        ("oras x8, concurrency 8", 8, "oras cp --from-plain-http --to-plain-http --no-tty ", "", " --concurrency 8"),
    ])
    func aReleaseIsOneCommandForEachImage(
        _ name: String, _ parallel: Int, _ words: String, _ scheme: String, _ settings: String
    ) throws {
        let prepared = try #require(try prepare(name, isRelease: true))
        #expect(
            prepared.command
                == "xargs --arg-file DIR/commands --delimiter \\n --max-procs \(parallel) -I{} sh -c {}")
        let commands = ["00", "01"].map { number in
            let image = "platform/app-\(number):4.17.3"
            return "\(words)\(scheme)far:5000/\(image) \(scheme)near:5001/\(image)\(settings)\n"
        }
        #expect(prepared.files["commands"] == commands.joined())
    }

    @Test func skopeoSyncsARelease() throws {
        let prepared = try #require(try prepare("skopeo", isRelease: true))
        #expect(
            prepared.command
                == "skopeo --insecure-policy sync --all --src yaml --dest docker --dest-tls-verify=false DIR/sync.yaml near:5001/platform"
        )
        #expect(
            prepared.files["sync.yaml"] == """
                far:5000:
                  tls-verify: false
                  images:
                    platform/app-00: ['4.17.3']
                    platform/app-01: ['4.17.3']

                """)
    }

    @Test(arguments: [("regsync", "", "{}"), ("regsync, 8 at once", ", reqConcurrent: 8", "{parallel: 8}")])
    func regsyncSyncsARelease(_ name: String, _ concurrency: String, _ defaults: String) throws {
        let prepared = try #require(try prepare(name, isRelease: true))
        #expect(prepared.command == "regsync once --config DIR/regsync.yml")
        #expect(
            prepared.files["regsync.yml"] == """
                version: 1
                creds:
                  - {registry: 'far:5000', tls: disabled\(concurrency)}
                  - {registry: 'near:5001', tls: disabled\(concurrency)}
                defaults: \(defaults)
                sync:
                  - {source: 'far:5000/platform/app-00:4.17.3', target: 'near:5001/platform/app-00:4.17.3', type: image}
                  - {source: 'far:5000/platform/app-01:4.17.3', target: 'near:5001/platform/app-01:4.17.3', type: image}

                """)
    }

    @Test(arguments: [
        ("oc-mirror", ""),
        ("oc-mirror, 10 images and 10 layers at once", " --parallel-images 10 --parallel-layers 10"),
    ])
    func ocMirrorMirrorsARelease(_ name: String, _ settings: String) throws {
        let prepared = try #require(try prepare(name, isRelease: true))
        #expect(
            prepared.command
                == "oc-mirror --v2 --config DIR/imageset.yaml --workspace file://DIR/workspace --src-tls-verify=false "
                + "--dest-tls-verify=false --remove-signatures\(settings) docker://near:5001")
        #expect(
            prepared.files["imageset.yaml"] == """
                kind: ImageSetConfiguration
                apiVersion: mirror.openshift.io/v2alpha1
                mirror:
                  additionalImages:
                    - name: far:5000/platform/app-00:4.17.3
                    - name: far:5000/platform/app-01:4.17.3

                """)
    }

    @Test func curlDownloadsEveryBlobOnce() throws {
        let prepared = try #require(try prepare("curl, 32 at once, download only", isRelease: true))
        #expect(prepared.command.hasSuffix("--parallel --parallel-max 32 --parallel-immediate --config DIR/curl"))
        let requests = prepared.files["curl"]?.split(separator: "\n").filter { $0.hasPrefix("url = ") } ?? []
        // Two configurations, and the layers: two bases and two runtimes, and three of each image's own.
        #expect(Set(requests).count == 2 + 4 + 6)
        #expect(requests.count == Set(requests).count)
    }
}
