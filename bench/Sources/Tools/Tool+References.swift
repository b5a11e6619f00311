extension Tool {
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
