public import ArgumentParser
import Trust

/// A new key: for a site's agent, or for a person who signs waivers.
public struct KeygenCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Make a signing key, and print its public half as one line for the fleet file.",
        discussion: """
            Writes an Ed25519 key as PEM (PKCS #8) to a new file that only its owner may read. A file that is there is not \
            overwritten. With --show, prints the public half of a key that is there already.
            """)

    @Option(name: [.short, .long], help: ArgumentHelp("The private key's new file.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Print the public half of this key.", valueName: "file"))
    var show: String?

    public init() {}

    public func validate() throws {
        guard (output == nil) != (show == nil) else { throw ValidationError("name a file with --output or --show") }
    }

    public func run() throws {
        let key: PrivateKey
        if let output {
            key = try PrivateKey.generate()
            try key.write(to: output)
        } else {
            key = try PrivateKey(path: show ?? "")
        }
        Terminal.say(key.publicKey.description)
    }
}
