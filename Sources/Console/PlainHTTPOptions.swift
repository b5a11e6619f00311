public import ArgumentParser
public import HTTP

/// Which hosts a command speaks to without TLS.
public struct PlainHTTPOptions: ParsableArguments, Sendable {
    @Option(
        name: .customLong("plain-http"),
        help: ArgumentHelp("Speak plain HTTP to this host; may be repeated.", valueName: "host:port"),
        transform: PlainHTTPHost.init(_:))
    private var hosts: [PlainHTTPHost] = []

    /// None.
    public init() {}

    /// How a registry is spoken to: its URL, with `http` where the command line names its host.
    public func registryURL(_ url: HTTPURL) -> String {
        contains(url.authority) ? "http://\(url.authority)" : url.redacted
    }

    /// Whether the command line names a host, `HOST` or `HOST:PORT`.
    public func contains(_ authority: String) -> Bool {
        hosts.contains { $0.authority == authority.lowercased() }
    }
}

/// A host that a command line names.
struct PlainHTTPHost: Hashable, Sendable {
    /// `HOST`, or `HOST:PORT` where it is not port 80.
    let authority: String

    init(_ text: String) throws {
        guard !text.contains("/"), let url = try? HTTPURL("http://\(text)"), url.query == nil else {
            throw ValidationError("--plain-http '\(text.shownAsURL)' is not a host: write HOST or HOST:PORT")
        }
        authority = url.authority
    }
}
