/// One way to get the images across: ours, a peer, or a reference that only downloads.
struct Tool: Sendable {
    enum Kind: String, Codable, Sendable {
        /// Rollcall.
        case ours
        /// What a user could take instead.
        case peer
        /// A bound: it downloads and does not deliver.
        case reference
    }

    /// The tool with its settings, as tables show it.
    let name: String
    /// The executable that has to be on `PATH`.
    let executable: String
    /// How the executable tells its version.
    var versionArguments = ["--version"]
    let kind: Kind
    /// What has to be done before the timed command, and that command; `nil` for work that the tool has no way to do.
    let prepare: @Sendable (Job) throws -> Command?
    /// A server for what the tool delivered, where that is not the job's destination.
    var delivered: (@Sendable (Job) throws -> RegistryServer)?

    /// The version that the executable tells, on one line; `nil` where the executable is missing.
    var version: String? {
        guard Command.find(executable) != nil else { return nil }
        let output = (try? Command([executable] + versionArguments).run(timeout: 20)) ?? []
        let lines = String(decoding: output, as: UTF8.self).split(whereSeparator: \.isNewline)
        let line = lines.first { $0.lowercased().contains("version") || $0.contains(".") } ?? lines.first
        return line.map { String($0.prefix(80)) } ?? "unknown version"
    }

    /// Every tool, ours first.
    ///
    /// - Parameter binaries: where Rollcall's executables lie
    static func all(binaries: String) -> [Tool] {
        [
            rollcall(binaries), ownRegistry(binaries), skopeo, skopeoParallel, crane, craneParallel, regctl,
            regctlParallel, regsync, regsyncParallel, oras, orasParallel, ocMirror, ocMirrorParallel, curl, curlLimited,
        ]
    }
}

/// One run: the images to copy, and the registries, both fresh.
struct Job {
    let work: Scenario.Work
    let corpus: Corpus
    /// What has to come to the destination.
    let needed: [Corpus.Content]
    let source: Endpoint
    let destination: Endpoint
    /// An empty directory for the tool's files; it is `HOME` too.
    let directory: String
    /// Bytes a second that the tool may bring; any number unless said.
    var rate: Int?

    /// A scenario's work on a stage.
    init(_ scenario: Scenario, _ corpus: Corpus, _ stage: Stage, in directory: String) {
        self.init(
            work: scenario.work, corpus: corpus, needed: corpus.needed(scenario.there), source: stage.source.endpoint,
            destination: stage.destination.endpoint, directory: directory)
    }

    init(
        work: Scenario.Work, corpus: Corpus, needed: [Corpus.Content], source: Endpoint, destination: Endpoint,
        directory: String
    ) {
        self.work = work
        self.corpus = corpus
        self.needed = needed
        self.source = source
        self.destination = destination
        self.directory = directory
    }

    /// A reference to an image, at the source or at the destination.
    func reference(_ image: Corpus.Image, at registry: Endpoint) -> String {
        "\(registry.authority)/\(image.repository):\(image.tag)"
    }

    /// A command that copies the images one by one, several at once: what a user of a tool without a sync command has.
    ///
    /// - Parameters:
    ///   - parallel: how many at once
    ///   - words: the command for one image
    func each(parallel: Int, _ words: (_ source: String, _ destination: String) -> [String]) throws -> Command {
        let commands = corpus.images.map { image in
            Command(words(reference(image, at: source), reference(image, at: destination))).text
        }
        guard commands.count > 1 else {
            return Command(
                corpus.images.first.map { words(reference($0, at: source), reference($0, at: destination)) } ?? [])
        }
        let file = "\(directory)/commands"
        try Scratch.write(commands.joined(separator: "\n") + "\n", to: file)
        return Command([
            "xargs", "--arg-file", file, "--delimiter", "\\n", "--max-procs", "\(parallel)", "-I{}", "sh", "-c", "{}",
        ])
    }
}
