import ArgumentParser
import ConfigurationFiles
import Console
import ImageLayout
import OCI

/// What concerns an embedded registry and its layout.
struct RegistryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registry",
        abstract: "Serve, check and tidy up a registry of images in a directory.",
        subcommands: [
            RegistryServeCommand.self, RegistryImportCommand.self, RegistryCheckCommand.self,
            RegistryCollectCommand.self,
        ])
}

/// The layout that a command works on.
struct LayoutOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The registry's directory.", valueName: "dir"), completion: .directory)
    var layout: String?

    @Option(help: ArgumentHelp("An agent's file that names an embedded registry.", valueName: "file"))
    var config: String?

    func validate() throws {
        guard (layout == nil) != (config == nil) else { throw ValidationError("give --layout DIR or --config FILE") }
    }

    /// The directory.
    func path() throws -> String {
        if let layout { return layout }
        return try settings()?.layout ?? ""
    }

    /// What the file says of the registry; `nil` without a file.
    func settings() throws -> RegistrySettings.Embedded? {
        guard let config else { return nil }
        guard case .embedded(let settings) = try AgentFile(path: config).registry else {
            throw AgentError(
                .usage, "\(config): 'registry' names no embedded registry, so there is no directory of one")
        }
        return settings
    }
}

/// Looks at every file of a layout.
struct RegistryCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Read everything that a registry's directory holds, and compare it with its digests.",
        discussion: """
            Ends with 0 when everything is as it must be, and with 3 otherwise, after one line for each fault. Beside a \
            running registry it may be run at any time.
            """)

    @OptionGroup var options: LayoutOptions

    @Flag(help: "Look at names and sizes only, and read manifests but no blobs.")
    var quick = false

    @Flag(help: "Take away files whose bytes are wrong, so that the next sync brings them again.")
    var removeDamaged = false

    func validate() throws {
        guard !quick || !removeDamaged else {
            throw ValidationError("--remove-damaged reads every file, and --quick none: give one")
        }
    }

    func run() async throws {
        let path = try options.path()
        let report = try ImageLayout(existing: path).check(
            readsContents: !quick, removesDamaged: removeDamaged)
        report.problems.forEach(Terminal.complain)
        let read = quick ? "" : ", \(report.blobs) files of \(Quantity.bytes(report.bytes)) read"
        let removed = report.removed > 0 ? ", \(report.removed) damaged files removed" : ""
        print(
            "\(path): \(report.repositories) repositories, \(report.manifests) manifests\(read):"
                + " \(report.problems.count) faults\(removed)")
        if !report.problems.isEmpty || report.removed > 0 { throw ExitCode.blocked }
    }
}

/// Removes what nothing names.
struct RegistryCollectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Remove blobs that no manifest names, and uploads that nobody continues.",
        discussion: """
            What was pushed, mounted or asked for by a writer within the last day stays. It may be run at any time beside a \
            running registry and beside transfers.
            """)

    @OptionGroup var options: LayoutOptions

    @Option(help: ArgumentHelp("How old garbage must be, in hours.", valueName: "hours"))
    var olderThan = Int(ImageLayout.gracePeriod / 3600)

    @Flag(help: "Say what would be removed, and remove nothing.")
    var dryRun = false

    func validate() throws {
        guard (0...8760).contains(olderThan) else { throw ValidationError("--older-than is from 0 to 8760 hours") }
    }

    func run() async throws {
        let path = try options.path()
        let report = try ImageLayout(existing: path).collectGarbage(
            olderThan: Int64(olderThan) * 3600, isDry: dryRun)
        report.skipped.forEach(Terminal.complain)
        print(
            "\(path): \(dryRun ? "would remove" : "removed") \(report.names) names, \(report.blobs) blobs and"
                + " \(report.uploads) uploads: \(Quantity.bytes(report.bytes))")
        if !report.skipped.isEmpty { throw ExitCode.failure }
    }
}

/// Copies another layout's images.
struct RegistryImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Copy the images of an OCI image layout into a repository.",
        discussion: """
            SOURCE is a directory that skopeo, podman or a build wrote (oci:SOURCE there). Every byte is hashed on the way. \
            Without a tag, images keep the names that they have in SOURCE. It may be run beside a running registry.
            """)

    @OptionGroup var options: LayoutOptions

    @Argument(help: "The OCI image layout to copy from.", completion: .directory)
    var source: String

    @Argument(help: ArgumentHelp("Where to: REPOSITORY or REPOSITORY:TAG.", valueName: "repository"))
    var destination: String

    func run() async throws {
        let repository: Repository
        let tag: Tag?
        do {
            let parts = destination.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            repository = try Repository(String(parts[0]))
            tag = parts.count > 1 ? try Tag(String(parts[1])) : nil
        } catch {
            throw AgentError(.usage, "\(error)")
        }
        let report = try ImageLayout(path: options.path()).importImages(from: source, to: repository, tag: tag)
        for image in report.images { print("\(repository)\(tag.map { ":\($0)" } ?? "")@\(image)") }
        print("\(report.contents) contents, \(Quantity.bytes(report.bytes)), were not there before")
    }
}
