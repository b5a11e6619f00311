extension Tool {
    /// skopeo as its manual has it: `copy --all` for an image, `sync` for a release.
    static let skopeo = Tool(name: "skopeo", executable: "skopeo", kind: .peer) { job in
        switch job.work {
        case .copy: return try job.each(parallel: 1, skopeoCopy)
        case .release:
            // It drops all of a repository's name but the last component, so the rest belongs to the destination.
            let prefixes = Set(
                job.corpus.images.map { $0.repository.split(separator: "/").dropLast().joined(separator: "/") })
            guard let prefix = prefixes.first, prefixes.count == 1 else { return nil }
            let file = "\(job.directory)/sync.yaml"
            try Scratch.write(
                "\(job.source.authority):\n  tls-verify: false\n  images:\n"
                    + job.corpus.images.map { "    \($0.repository): ['\($0.tag)']\n" }.joined(), to: file)
            return Command([
                "skopeo", "--insecure-policy", "sync", "--all", "--src", "yaml", "--dest", "docker",
                "--dest-tls-verify=false", file, "\(job.destination.authority)/\(prefix)",
            ])
        }
    }

    /// Eight `skopeo copy` at once: the best that a script makes of it for a release.
    static let skopeoParallel = Tool(name: "skopeo copy x8", executable: "skopeo", kind: .peer) { job in
        guard job.work == .release else { return nil }
        return try job.each(parallel: 8, skopeoCopy)
    }

    private static func skopeoCopy(_ source: String, _ destination: String) -> [String] {
        [
            "skopeo", "--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
            "docker://\(source)", "docker://\(destination)",
        ]
    }

    /// crane as its manual has it: one image a call, one call after another.
    static let crane = Tool(name: "crane", executable: "crane", versionArguments: ["version"], kind: .peer) { job in
        try job.each(parallel: 1, craneCopy)
    }

    /// Eight calls of crane at once, for a release; `--jobs` is for the layers of one image, of which it takes four.
    static let craneParallel = Tool(
        name: "crane x8, 8 jobs", executable: "crane", versionArguments: ["version"], kind: .peer
    ) { job in
        try job.each(parallel: 8) { craneCopy($0, $1) + ["--jobs", "8"] }
    }

    private static func craneCopy(_ source: String, _ destination: String) -> [String] {
        ["crane", "copy", "--insecure", source, destination]
    }

    /// oras as its manual has it. It does not verify what it copies.
    static let oras = Tool(name: "oras", executable: "oras", versionArguments: ["version"], kind: .peer) { job in
        try job.each(parallel: 1, orasCopy)
    }

    /// oras with the concurrency that its manual names as the most useful change, and eight calls at once for a release.
    static let orasParallel = Tool(
        name: "oras x8, concurrency 8", executable: "oras", versionArguments: ["version"], kind: .peer
    ) { job in
        try job.each(parallel: 8) { orasCopy($0, $1) + ["--concurrency", "8"] }
    }

    private static func orasCopy(_ source: String, _ destination: String) -> [String] {
        ["oras", "cp", "--from-plain-http", "--to-plain-http", "--no-tty", source, destination]
    }

    /// regctl, one image a call; a release is regsync's work.
    static let regctl = Tool(name: "regctl", executable: "regctl", versionArguments: ["version"], kind: .peer) {
        try regctl($0, reqConcurrent: nil)
    }

    /// regctl with eight requests at once to each registry, instead of three (regclient, config/host.go).
    static let regctlParallel = Tool(
        name: "regctl, 8 at once", executable: "regctl", versionArguments: ["version"], kind: .peer
    ) { try regctl($0, reqConcurrent: 8) }

    private static func regctl(_ job: Job, reqConcurrent: Int?) throws -> Command? {
        guard job.work == .copy else { return nil }
        var command = try job.each(parallel: 1) { ["regctl", "image", "copy", $0, $1] }
        let file = "\(job.directory)/regctl.json"
        let concurrency = reqConcurrent.map { ",\"reqConcurrent\":\($0)" } ?? ""
        let hosts = [job.source.authority, job.destination.authority].map {
            "\"\($0)\":{\"tls\":\"disabled\"\(concurrency)}"
        }
        try Scratch.write("{\"hosts\":{\(hosts.joined(separator: ","))}}\n", to: file)
        command.environment["REGCTL_CONFIG"] = file
        return command
    }

    /// regsync as it is: one image after another.
    static let regsync = Tool(name: "regsync", executable: "regsync", versionArguments: ["version"], kind: .peer) {
        try regsync($0, defaults: "{}", reqConcurrent: nil)
    }

    /// regsync with eight images at once, and as many requests to each registry.
    static let regsyncParallel = Tool(
        name: "regsync, 8 at once", executable: "regsync", versionArguments: ["version"], kind: .peer
    ) { try regsync($0, defaults: "{parallel: 8}", reqConcurrent: 8) }

    private static func regsync(_ job: Job, defaults: String, reqConcurrent: Int?) throws -> Command? {
        guard job.work == .release else { return nil }
        let file = "\(job.directory)/regsync.yml"
        let concurrency = reqConcurrent.map { ", reqConcurrent: \($0)" } ?? ""
        let hosts = [job.source.authority, job.destination.authority].map {
            "  - {registry: '\($0)', tls: disabled\(concurrency)}\n"
        }
        let images = job.corpus.images.map {
            "  - {source: '\(job.reference($0, at: job.source))', target: '\(job.reference($0, at: job.destination))',"
                + " type: image}\n"
        }
        try Scratch.write(
            "version: 1\ncreds:\n" + hosts.joined() + "defaults: \(defaults)\nsync:\n" + images.joined(), to: file)
        return Command(["regsync", "once", "--config", file])
    }

    /// oc-mirror (v2), mirror to mirror, for a release. It keeps its state in a directory.
    static let ocMirror = Tool(name: "oc-mirror", executable: "oc-mirror", versionArguments: ["version"], kind: .peer) {
        try ocMirror($0, [])
    }

    /// oc-mirror with as many images and layers at once as it takes.
    static let ocMirrorParallel = Tool(
        name: "oc-mirror, 10 images and 10 layers at once", executable: "oc-mirror", versionArguments: ["version"],
        kind: .peer
    ) { try ocMirror($0, ["--parallel-images", "10", "--parallel-layers", "10"]) }

    private static func ocMirror(_ job: Job, _ settings: [String]) throws -> Command? {
        guard job.work == .release else { return nil }
        let file = "\(job.directory)/imageset.yaml"
        try Scratch.write(
            "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\nmirror:\n  additionalImages:\n"
                + job.corpus.images.map { "    - name: \(job.reference($0, at: job.source))\n" }.joined(), to: file)
        return Command(
            ["oc-mirror", "--v2", "--config", file, "--workspace", "file://\(job.directory)/workspace"]
                + ["--src-tls-verify=false", "--dest-tls-verify=false", "--remove-signatures"] + settings
                + ["docker://\(job.destination.authority)"])
    }
}
