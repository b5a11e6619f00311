import ConfigurationFiles
import Console
import HTTP
import Readiness
import Registry

/// What all registry clients of the process share, and how single hosts are spoken to.
struct RegistryAccess: Sendable {
    private let http: HTTPClient
    private let credentials: CredentialStore
    private let configuration: RegistryClient.Configuration
    private let hosts: @Sendable (HTTPURL) -> AgentFile.Host?
    /// The hosts that the command line names as plain.
    private let plainHTTP: PlainHTTPOptions

    /// - Parameters:
    ///   - http: the client that sends; it is the caller's to shut down
    ///   - authFile: the credentials file; `nil` looks in the usual places
    ///   - connections: the most downloads from one host at once; small requests beside them are at most as many, but 4
    ///     at least and 16 at most
    ///   - plainHTTP: the values of `--plain-http`
    ///   - hosts: settings by host
    init(
        http: HTTPClient, authFile: String?, connections: Int, plainHTTP: PlainHTTPOptions,
        hosts: @escaping @Sendable (HTTPURL) -> AgentFile.Host? = { _ in nil }
    ) {
        self.http = http
        self.hosts = hosts
        credentials = CredentialStore(authFile: authFile)
        let gates = HostGates { url in
            let connections = hosts(url)?.connections ?? connections
            var limits = HostGate.Limits()
            limits.download = max(connections, 1)
            // Whoever spares a host its downloads means its small requests too: of twenty agents with four connections
            // each, a source saw 320. Four are left, since tokens and questions must not wait for one another.
            limits.control = min(limits.control, max(connections, 4))
            return limits
        }
        configuration = RegistryClient.Configuration(gates: gates)
        self.plainHTTP = plainHTTP
    }

    /// A client of the registry at a URL.
    ///
    /// - Parameter receiveBuffer: bytes that the kernel may receive ahead for each connection; `nil` for what it thinks right
    func client(of url: HTTPURL, receiveBuffer: Int? = nil) throws(RegistryError) -> RegistryClient {
        try client(plainHTTP.registryURL(url), host: hosts(url), receiveBuffer: receiveBuffer)
    }

    /// A client of the registry that an image reference names.
    func client(ofHost host: String) throws(RegistryError) -> RegistryClient {
        let host = host.lowercased()
        return try client(plainHTTP.contains(host) ? "http://\(host)" : "https://\(host)", host: nil)
    }

    private func client(
        _ url: String, host: AgentFile.Host?, receiveBuffer: Int? = nil
    ) throws(RegistryError) -> RegistryClient {
        var endpoint = try RegistryEndpoint(url)
        if let host {
            endpoint.tls = host.tls
            endpoint.proxy = host.proxy
        }
        var configuration = configuration
        configuration.receiveBuffer = receiveBuffer
        return RegistryClient(endpoint, http: http, credentials: credentials, configuration: configuration)
    }
}
