public import HTTP

/// Where a registry is, and how to connect to it.
public struct RegistryEndpoint: Sendable, Hashable {
    /// Scheme, host and port; the path is `/`.
    public let url: HTTPURL
    /// The name that credential files and certificate directories know the registry by: `HOST[:PORT]`.
    public let name: String
    /// How its connections are secured. Left as it is by default, the host's `certs.d` directory is looked up.
    public var tls: TLSConfiguration
    /// The proxy's URL; `nil` takes it from the environment, `""` uses none.
    public var proxy: String?

    /// - Parameters:
    ///   - string: `https://HOST[:PORT]`; `http://` only where plain HTTP is meant; without a scheme, HTTPS
    ///   - tls: how connections are secured
    ///   - proxy: the proxy's URL; `nil` takes it from the environment, `""` uses none
    /// - Throws: `RegistryError.invalidConfiguration` for anything else, a path included.
    public init(_ string: String, tls: TLSConfiguration = TLSConfiguration(), proxy: String? = nil)
        throws(RegistryError)
    {
        let parsed: HTTPURL
        do {
            parsed = try HTTPURL(string.contains("://") ? string : "https://\(string)")
        } catch {
            throw RegistryError(.invalidConfiguration, error.message, url: error.url)
        }
        guard parsed.path == "/", parsed.query == nil else {
            throw RegistryError(
                .invalidConfiguration,
                "a registry's URL is scheme, host and port only: put the path into the repository's name",
                url: parsed.redacted)
        }
        // Docker Hub's API does not live at the name its images and credentials go by.
        if parsed.scheme == "https", Self.dockerHub.contains(parsed.authority),
            let hub = try? HTTPURL("https://registry-1.docker.io")
        {
            url = hub
            name = "docker.io"
        } else {
            url = parsed
            name = parsed.authority
        }
        self.tls = tls
        self.proxy = proxy
    }

    /// Names of Docker Hub, as users and credential files write it.
    static let dockerHub = ["docker.io", "index.docker.io", "registry-1.docker.io"]

    /// A URL below `/v2/`.
    ///
    /// - Parameters:
    ///   - path: what follows `/v2/`, percent-encoded
    ///   - query: percent-encoded, without `?`
    func api(_ path: String, query: String? = nil) -> HTTPURL {
        url.with(path: "/v2/\(path)", query: query)
    }
}
