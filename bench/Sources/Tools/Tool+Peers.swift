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

    /// crane copies one image a call; eight calls at once for a release.
    static let crane = Tool(name: "crane", executable: "crane", versionArguments: ["version"], kind: .peer) { job in
        try job.each(parallel: 8) { ["crane", "copy", "--insecure", $0, $1] }
    }

    /// oras with the concurrency that its manual names as the most useful change. It does not verify what it copies.
    static let oras = Tool(name: "oras", executable: "oras", versionArguments: ["version"], kind: .peer) { job in
        try job.each(parallel: 8) {
            ["oras", "cp", "--from-plain-http", "--to-plain-http", "--concurrency", "8", "--no-tty", $0, $1]
        }
    }

    /// regctl, one image a call; a release is regsync's work.
    static let regctl = Tool(name: "regctl", executable: "regctl", versionArguments: ["version"], kind: .peer) { job in
        guard job.work == .copy else { return nil }
        var command = try job.each(parallel: 1) { ["regctl", "image", "copy", $0, $1] }
        let file = "\(job.directory)/regctl.json"
        try Scratch.write(
            """
            {"hosts":{"\(job.source.authority)":{"tls":"disabled"},"\(job.destination.authority)":{"tls":"disabled"}}}
            """, to: file)
        command.environment["REGCTL_CONFIG"] = file
        return command
    }

    /// regsync with eight workers.
    static let regsync = Tool(name: "regsync", executable: "regsync", versionArguments: ["version"], kind: .peer) {
        job in
        guard job.work == .release else { return nil }
        let file = "\(job.directory)/regsync.yml"
        let hosts = [job.source.authority, job.destination.authority].map { "  - {registry: '\($0)', tls: disabled}\n" }
        let images = job.corpus.images.map {
            "  - {source: '\(job.reference($0, at: job.source))', target: '\(job.reference($0, at: job.destination))',"
                + " type: image}\n"
        }
        try Scratch.write(
            "version: 1\ncreds:\n" + hosts.joined() + "defaults: {parallel: 8}\nsync:\n" + images.joined(), to: file)
        return Command(["regsync", "once", "--config", file])
    }

    /// curl, as an upper reference: it downloads every blob once, large ones in 32 ranges, 32 requests at a time, and
    /// throws the bytes away.
    static let curl = Tool(name: "curl, 32 at once, download only", executable: "curl", kind: .reference) { job in
        guard job.rate == nil else { return nil }
        let repositories = Dictionary(
            job.corpus.images.flatMap { image in image.blobs.map { ($0.digest, image.repository) } },
            uniquingKeysWith: { first, _ in first })
        var requests: [String] = []
        for blob in job.needed {
            // What is in no repository as a blob is a manifest, of which there is little.
            guard let repository = repositories[blob.digest] else { continue }
            let url = "http://\(job.source.authority)/v2/\(repository)/blobs/\(blob.digest)"
            let parts = blob.size >= 32 << 20 ? 32 : 1
            for part in 0..<parts {
                let (start, end) = (blob.size * part / parts, blob.size * (part + 1) / parts - 1)
                requests.append("fail\nurl = \"\(url)\"\noutput = \"/dev/null\"\nrange = \"\(start)-\(end)\"\n")
            }
        }
        guard !requests.isEmpty else { return nil }
        let file = "\(job.directory)/curl"
        try Scratch.write(requests.joined(separator: "next\n"), to: file)
        return Command([
            "curl", "--disable", "--silent", "--show-error", "--parallel", "--parallel-max", "32",
            "--parallel-immediate", "--config", file,
        ])
    }

    /// curl with its own limit, which is for each transfer: what a rate limit looks like on a single connection.
    static let curlLimited = Tool(
        name: "curl --limit-rate, one after another", executable: "curl", kind: .reference
    ) { job in
        guard let rate = job.rate, let image = job.corpus.images.first else { return nil }
        let url = "http://\(job.source.authority)/v2/\(image.repository)/blobs"
        let requests = job.needed.filter { image.blobs.contains($0) }.map {
            "fail\nurl = \"\(url)/\($0.digest)\"\noutput = \"/dev/null\"\nlimit-rate = \(rate)\n"
        }
        let file = "\(job.directory)/curl"
        try Scratch.write(requests.joined(separator: "next\n"), to: file)
        return Command(["curl", "--disable", "--silent", "--show-error", "--config", file])
    }
}
