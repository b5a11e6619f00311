import Configuration
import HTTP
import Readiness
import Registry

/// What all registry clients of the process share, and how single hosts are spoken to.
struct RegistryAccess: Sendable {
    private let http: HTTPClient
    private let credentials: CredentialStore
    private let configuration: RegistryClient.Configuration
    private let hosts: @Sendable (HTTPURL) -> AgentFile.Host?
    /// The hosts, as `host` or `host:port`, that the command line names as plain.
    private let plainHTTP: Set<String>

    /// - Parameters:
    ///   - http: the client that sends; it is the caller's to shut down
    ///   - authFile: the credentials file; `nil` looks in the usual places
    ///   - connections: the most downloads from one host at once
    ///   - plainHTTP: the values of `--plain-http`
    ///   - hosts: settings by host
    /// - Throws: `AgentError.usage` for a value that is no host
    init(
        http: HTTPClient, authFile: String?, connections: Int, plainHTTP: [String],
        hosts: @escaping @Sendable (HTTPURL) -> AgentFile.Host? = { _ in nil }
    ) throws(AgentError) {
        self.http = http
        self.hosts = hosts
        credentials = CredentialStore(authFile: authFile)
        var limits = HostGate.Limits()
        limits.download = max(connections, 1)
        configuration = RegistryClient.Configuration(gates: HostGates(limits: limits))
        var plain: Set<String> = []
        for text in plainHTTP {
            guard !text.contains("/"), let url = try? HTTPURL("http://\(text)"), url.query == nil else {
                throw AgentError(.usage, "--plain-http '\(text)' is not a host: write HOST or HOST:PORT")
            }
            plain.insert(url.authority)
        }
        self.plainHTTP = plain
    }

    /// A client of the registry at a URL.
    func client(of url: HTTPURL) throws(RegistryError) -> RegistryClient {
        let text = plainHTTP.contains(url.authority) ? "http://\(url.authority)" : url.redacted
        return try client(text, host: hosts(url))
    }

    /// A client of the registry that an image reference names.
    func client(ofHost host: String) throws(RegistryError) -> RegistryClient {
        let host = host.lowercased()
        return try client(plainHTTP.contains(host) ? "http://\(host)" : "https://\(host)", host: nil)
    }

    private func client(_ url: String, host: AgentFile.Host?) throws(RegistryError) -> RegistryClient {
        var endpoint = try RegistryEndpoint(url)
        if let host {
            endpoint.tls = host.tls
            endpoint.proxy = host.proxy
        }
        return RegistryClient(endpoint, http: http, credentials: credentials, configuration: configuration)
    }
}
