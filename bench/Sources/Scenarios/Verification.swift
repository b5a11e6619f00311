import FoundationEssentials

/// Asks the destination for everything that should be there, and hashes it, with clients that are not ours.
struct Verification {
    let corpus: Corpus
    let destination: RegistryServer

    /// - Throws: `BenchError` that names what is missing or wrong
    func run() throws {
        let directory = try Scratch.directory("verification")
        defer { Scratch.remove(directory) }
        try hashContents(in: directory)
        try lookForBlobs(in: directory)
        try readWithSkopeo(in: directory)
    }

    /// Every manifest by its tag and every blob once, through curl and sha256sum.
    private func hashContents(in directory: String) throws {
        var digests: [String: String] = [:]
        var requests: [String] = []
        func request(_ path: String, _ digest: String) {
            let file = "\(directory)/content-\(digests.count)"
            digests[file] = digest
            requests.append(
                "fail\nurl = \"http://\(destination.authority)/v2/\(path)\"\noutput = \"\(file)\"\n"
                    + "header = \"Accept: application/vnd.oci.image.manifest.v1+json\"\n")
        }
        var seen: Set<String> = []
        for image in corpus.images {
            request("\(image.repository)/manifests/\(image.tag)", image.manifest.digest)
            for blob in image.blobs where seen.insert(blob.digest).inserted {
                request("\(image.repository)/blobs/\(blob.digest)", blob.digest)
            }
        }
        try curl(requests, in: directory)
        let output = try Command(["sha256sum", "--"] + digests.keys).run(timeout: 300)
        var checked = 0
        for line in String(decoding: output, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let fields = line.split(separator: " ")
            guard fields.count == 2, let digest = digests[String(fields[1])] else { continue }
            guard "sha256:\(fields[0])" == digest else {
                throw BenchError(
                    .verification, "\(destination.authority) serves sha256:\(fields[0]) in the place of \(digest)")
            }
            checked += 1
        }
        guard checked == digests.count else {
            throw BenchError(.verification, "\(checked) of \(digests.count) contents could be hashed")
        }
    }

    /// That every repository serves each of its images' blobs.
    private func lookForBlobs(in directory: String) throws {
        var paths: Set<String> = []
        for image in corpus.images {
            for blob in image.blobs { paths.insert("\(image.repository)/blobs/\(blob.digest)") }
        }
        try curl(
            paths.map { "fail\nhead\nurl = \"http://\(destination.authority)/v2/\($0)\"\noutput = \"/dev/null\"\n" },
            in: directory)
    }

    /// That skopeo reads the manifest and the configuration of every image, four at once.
    private func readWithSkopeo(in directory: String) throws {
        let references = corpus.images.map { "docker://\(destination.authority)/\($0.repository):\($0.tag)" }
        let file = "\(directory)/references"
        try Scratch.write(references.joined(separator: "\n") + "\n", to: file)
        let output: [UInt8]
        do {
            // skopeo writes its answer in pieces, and those of four would mix: each is written by the shell, at once.
            output = try Command([
                "xargs", "--arg-file", file, "--max-procs", "4", "-I{}", "sh", "-c",
                """
                answer=$(skopeo inspect --tls-verify=false --format '{{.Digest}} {{.Architecture}}' "$1") || exit
                printf '%s %s\\n' "$1" "$answer"
                """, "sh", "{}",
            ]).run(in: destination.namespace, timeout: 600)
        } catch let error as BenchError {
            throw BenchError(.verification, "skopeo cannot read every image: \(error.message.suffix(300))")
        }
        let read = Set(String(decoding: output, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init))
        for (image, reference) in zip(corpus.images, references)
        where !read.contains("\(reference) \(image.manifest.digest) amd64") {
            let answer = read.first { $0.hasPrefix("\(reference) ") }?.dropFirst(reference.count + 1) ?? "nothing"
            throw BenchError(
                .verification, "skopeo reads \(answer) at \(reference), not \(image.manifest.digest) for amd64")
        }
    }

    private func curl(_ requests: [String], in directory: String) throws {
        let file = "\(directory)/requests"
        try Scratch.write(requests.joined(separator: "next\n"), to: file)
        do {
            try Command([
                "curl", "--disable", "--silent", "--show-error", "--parallel", "--parallel-max", "8", "--config", file,
            ]).run(in: destination.namespace, timeout: 300)
        } catch let error as BenchError {
            throw BenchError(.verification, "the destination does not serve everything: \(error.message.suffix(300))")
        }
    }
}
