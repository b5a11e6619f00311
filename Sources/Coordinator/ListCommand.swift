import ArgumentParser
import Console
import ConfigurationFiles
import HTTP
import OCI
import Readiness
import Registry
import Transfer

/// Image lists as files.
struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Resolve image lists, and show them.", subcommands: [Resolve.self, Show.self])

    /// images.yaml to LIST.json.
    struct Resolve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Pin an images file's tags to digests, find all that the images need, and write the image list.",
            discussion: """
                Asks the registry that the file names as its source; credentials come from the usual files, \
                certificates from /etc/containers/certs.d/HOST[:PORT] and its like. The list's \
                generation is what jq -cjS 'del(.generation)' LIST.json | sha256sum prints.
                """)

        @Argument(help: ArgumentHelp("The images file.", valueName: "images.yaml"), completion: .file())
        var images: String

        @Option(name: [.short, .long], help: ArgumentHelp("The image list to write.", valueName: "file"))
        var output: String

        @OptionGroup var plainHTTP: PlainHTTPOptions

        @Option(help: ArgumentHelp("The credentials file; the usual places otherwise.", valueName: "file"))
        var authFile: String?

        func run() async throws {
            let file = try ImagesFile(path: images)
            let http = HTTPClient()
            defer { http.shutdown() }
            let client = RegistryClient(
                try RegistryEndpoint(plainHTTP.registryURL(file.source)), http: http,
                credentials: CredentialStore(authFile: authFile))
            let walk = ClosureWalk(source: client)
            let list = try await ListResolution(file: file).resolve { image in
                try await walk.images(image.repository, image.reference, platforms: image.platforms ?? [])
            }
            try ListFile.write(list, to: output)
            Terminal.say("\(output): \(list.summary)")
        }
    }

    /// LIST.json for a person.
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an image list.")

        @Argument(help: ArgumentHelp("The image list.", valueName: "LIST.json"), completion: .file())
        var list: String

        @OptionGroup var colour: ColourOptions

        func run() async throws {
            let list = try ListFile.read(self.list)
            // No size: the list's is that of the manifest alone, which a reader would take for the image's.
            var table = Table("REPOSITORY", "TAG", "PLATFORM", "DIGEST")
            for image in list.images {
                table.add(
                    image.repository.name, image.tag?.name ?? "-", image.platform?.description ?? "-",
                    image.digest.description)
            }
            Terminal.say(
                """
                \(list.summary)
                generation    \(list.generation)
                closure root  \(list.closure.root)
                source        \(list.source)

                \(table.lines.text(colours: colour.isOn))
                """)
        }
    }
}

extension ImageList {
    /// The list in one line, for people.
    var summary: String {
        "\(name) \(generation.short): \(images.count) \(images.count == 1 ? "image" : "images"),"
            + " \(closure.entries.count) entries, \(Quantity.bytes(closure.uniqueBytes))"
    }
}
