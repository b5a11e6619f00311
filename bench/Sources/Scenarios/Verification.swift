/// Asks the destination for everything that should be there, and hashes it, with clients that are not ours.
struct Verification {
    let corpus: Corpus
    let destination: Endpoint

    /// A manifest or a blob that the destination must serve.
    struct Content: Hashable {
        /// Where it is, below `/v2/`.
        let path: String
        let digest: String
        /// The file that it is written to, to be hashed.
        let file: String
    }

    /// - Throws: `BenchError` that names what is missing or wrong
    func run() throws {
        let directory = try Scratch.directory("verification")
        defer { Scratch.remove(directory) }
        try hashContents(in: directory)
        try lookForBlobs(in: directory)
        try readWithSkopeo(in: directory)
    }

    /// Seconds for all of the bytes, over slow disks too.
    private var patience: Double { 300 + Double(corpus.bytes) / 20e6 }

    /// Every manifest by its tag and every blob once.
    static func contents(of images: [Corpus.Image], in directory: String) -> [Content] {
        var contents: [Content] = []
        var seen: Set<String> = []
        func add(_ path: String, _ digest: String) {
            contents.append(Content(path: path, digest: digest, file: "\(directory)/content-\(contents.count)"))
        }
        for image in images {
            add("\(image.repository)/manifests/\(image.tag)", image.manifest.digest)
            for blob in image.blobs where seen.insert(blob.digest).inserted {
                add("\(image.repository)/blobs/\(blob.digest)", blob.digest)
            }
        }
        return contents
    }

    /// Through curl and sha256sum.
    private func hashContents(in directory: String) throws {
        let contents = Self.contents(of: corpus.images, in: directory)
        let answers = try curl(contents.map { ($0.path, ["output = \"\($0.file)\""]) }, in: directory)
        try Self.requireServed(contents.map(\.path), answers, by: destination.authority)
        let list = "\(directory)/files"
        try Scratch.write(contents.map { "\($0.file)\n" }.joined(), to: list)
        // xargs makes as many commands of it as the kernel's bound on their length takes.
        let sums = try Command(["xargs", "--arg-file", list, "--delimiter", "\\n", "sha256sum", "--"])
            .answer(timeout: patience)
        try Self.requireHashes(of: contents, sums.output, by: destination.authority)
    }

    /// That every repository serves each of its images' blobs.
    private func lookForBlobs(in directory: String) throws {
        let paths = Set(corpus.images.flatMap { image in image.blobs.map { "\(image.repository)/blobs/\($0.digest)" } })
            .sorted()
        let answers = try curl(paths.map { ($0, ["head", "output = \"/dev/null\""]) }, in: directory)
        try Self.requireServed(paths, answers, by: destination.authority)
    }

    /// That skopeo reads the manifest and the configuration of every image, four at once.
    private func readWithSkopeo(in directory: String) throws {
        let file = "\(directory)/references"
        let references = corpus.images.map { "\(Self.reference($0, at: destination.authority))\n" }
        try Scratch.write(references.joined(), to: file)
        // skopeo writes its answer in pieces, and those of four would mix: each is written by the shell, at once.
        let answer = try Command([
            "xargs", "--arg-file", file, "--max-procs", "4", "-I{}", "sh", "-c",
            """
            answer=$(skopeo inspect --tls-verify=false --format '{{.Digest}} {{.Architecture}}' "$1") || exit
            printf '%s %s\\n' "$1" "$answer"
            """, "sh", "{}",
        ]).answer(in: destination.namespace, timeout: 600 + Double(corpus.images.count))
        try Self.requireRead(corpus.images, answer.output, by: destination.authority, errors: answer.errors)
    }

    /// What curl says of each path: a line with the status and the URL.
    private func curl(_ requests: [(String, [String])], in directory: String) throws -> String {
        let file = "\(directory)/requests"
        let texts = requests.map { path, options in
            let lines = [
                "url = \"\(Self.url(path, at: destination.authority))\"",
                "header = \"Accept: application/vnd.oci.image.manifest.v1+json\"",
                "write-out = \"%{http_code} %{url_effective}\\n\"",
            ]
            return (lines + options).map { "\($0)\n" }.joined()
        }
        try Scratch.write(texts.joined(separator: "next\n"), to: file)
        let answer = try Command([
            "curl", "--disable", "--silent", "--show-error", "--parallel", "--parallel-max", "8", "--config", file,
        ]).answer(in: destination.namespace, timeout: patience)
        return answer.output
    }

    private static func url(_ path: String, at authority: String) -> String { "http://\(authority)/v2/\(path)" }

    private static func reference(_ image: Corpus.Image, at authority: String) -> String {
        "docker://\(authority)/\(image.repository):\(image.tag)"
    }

    /// That each path was answered with 200.
    ///
    /// - Parameter answers: a line with the status and the URL for each answer; 000 where there was none
    /// - Throws: `BenchError` that names the first that was not
    static func requireServed(_ paths: [String], _ answers: String, by authority: String) throws {
        var codes: [String: Substring] = [:]
        for line in answers.split(whereSeparator: \.isNewline) {
            let fields = line.split(separator: " ", maxSplits: 1)
            if fields.count == 2 { codes[String(fields[1])] = fields[0] }
        }
        let missing = paths.filter { codes[url($0, at: authority)] != "200" }
        guard let first = missing.first else { return }
        let code = codes[url(first, at: authority)].flatMap { $0 == "000" ? nil : "status \($0)" } ?? "no answer"
        throw BenchError(
            .verification, "\(authority) does not serve \(first): \(code); \(missing.count) of \(paths.count) in all")
    }

    /// That each content hashes to its digest.
    ///
    /// - Parameter sums: what `sha256sum` wrote of the files
    /// - Throws: `BenchError` that names the first that does not
    static func requireHashes(of contents: [Content], _ sums: String, by authority: String) throws {
        var hashes: [String: String] = [:]
        for line in sums.split(whereSeparator: \.isNewline) where line.utf8.count > 66 {
            hashes[String(line.dropFirst(66))] = "sha256:\(line.prefix(64))"
        }
        for content in contents {
            guard let hash = hashes[content.file] else {
                throw BenchError(.verification, "\(content.path) from \(authority) could not be hashed")
            }
            guard hash == content.digest else {
                throw BenchError(
                    .verification, "\(authority) serves \(hash) at \(content.path), in the place of \(content.digest)")
            }
        }
    }

    /// That skopeo read each image.
    ///
    /// - Parameters:
    ///   - answers: a line with the reference, the manifest's digest and the architecture for each image
    ///   - errors: the end of what went wrong
    /// - Throws: `BenchError` that names the first that it did not read, or read otherwise
    static func requireRead(_ images: [Corpus.Image], _ answers: String, by authority: String, errors: String) throws {
        var read: [String: Substring] = [:]
        for line in answers.split(whereSeparator: \.isNewline) {
            let fields = line.split(separator: " ", maxSplits: 1)
            if fields.count == 2 { read[String(fields[0])] = fields[1] }
        }
        for image in images {
            let reference = Self.reference(image, at: authority)
            guard let answer = read[reference] else {
                throw BenchError(.verification, "skopeo cannot read \(reference): \(errors.suffix(300))")
            }
            guard answer == "\(image.manifest.digest) amd64" else {
                throw BenchError(
                    .verification, "skopeo reads \(answer) at \(reference), not \(image.manifest.digest) for amd64")
            }
        }
    }
}

extension RegistryServer {
    /// Asks this registry for all of a corpus, and hashes it.
    ///
    /// - Throws: `BenchError` that names what is missing or wrong
    func verify(_ corpus: Corpus) throws { try Verification(corpus: corpus, destination: endpoint).run() }
}
