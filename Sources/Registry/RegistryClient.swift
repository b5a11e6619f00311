public import HTTP

/// A client of one registry, by the OCI distribution-spec v1.1.1.
///
/// A value that is cheap to copy; copies share tokens. Requests are authorised, bounded per host, redirected by hand and
/// retried; bodies that stream are sent or delivered once, and whoever owns them decides how to go on.
public struct RegistryClient: Sendable {
    /// What registry clients share, or may vary.
    public struct Configuration: Sendable {
        /// The budgets of requests in flight: one for all clients of a process.
        public var gates: HostGates
        /// When requests are sent again.
        public var retry: RetryPolicy
        /// Time and chance.
        public var timing: Timing
        /// Where certificates are looked up by host.
        public var certificates: CertificateDirectory
        /// Seconds of near silence after which a blob's body is given up, either way. A commit may take ten times as
        /// long: registries hash the blob again before they answer.
        public var stall = 60
        /// Bytes that the kernel may receive ahead of what is read, for each connection that is opened; `nil` for what it thinks
        /// right. Over a distance, a connection brings no more than that in a round trip.
        public var receiveBuffer: Int?

        /// - Parameters:
        ///   - gates: the budgets of requests in flight
        ///   - retry: when requests are sent again
        ///   - timing: time and chance
        ///   - certificates: where certificates are looked up by host
        public init(
            gates: HostGates = HostGates(), retry: RetryPolicy = RetryPolicy(), timing: Timing = .system,
            certificates: CertificateDirectory = .standard()
        ) {
            self.gates = gates
            self.retry = retry
            self.timing = timing
            self.certificates = certificates
        }
    }

    /// The registry.
    public let endpoint: RegistryEndpoint
    let transport: Transport
    /// How long a blob's body may be silent.
    let bodyTimeouts: Timeouts
    /// The same where the registry may hash the whole blob again before it answers: 10 GiB at 20 MB/s takes nine minutes.
    let commitTimeouts: Timeouts
    private let authenticator: Authenticator
    /// How often one request asks for a new token where the registry calls its own invalid. More than once, since the new one
    /// may have been asked for by another request just before the key that signs them was replaced.
    static let maximumRenewals = 3

    /// - Parameters:
    ///   - endpoint: the registry
    ///   - http: the client that sends
    ///   - credentials: where credentials are found; without it, access is anonymous
    ///   - configuration: what clients share
    public init(
        _ endpoint: RegistryEndpoint, http: HTTPClient, credentials: CredentialStore? = nil,
        configuration: Configuration = Configuration()
    ) {
        self.endpoint = endpoint
        transport = Transport(
            endpoint: endpoint, http: http, gates: configuration.gates, retry: configuration.retry,
            timing: configuration.timing, certificates: configuration.certificates,
            receiveBuffer: configuration.receiveBuffer)
        bodyTimeouts = Timeouts(stall: configuration.stall)
        commitTimeouts = Timeouts(stall: configuration.stall * 10)
        authenticator = Authenticator(transport: transport, credentials: credentials)
    }

    /// Authenticates ahead of the requests that need it: for early refusals, and to keep the token's round trips out of a
    /// transfer. Every other method does the same where it was not done.
    ///
    /// - Parameter scopes: what will be done, all in one token; the first names the repository whose credentials count
    /// - Throws: `RegistryError` where the registry cannot be reached or refuses the credentials.
    public func prepare(_ scopes: [TokenScope]) async throws(RegistryError) {
        _ = try await authenticator.authorization(for: scopes)
    }

    /// The one way in which requests leave: authorised at this registry's origin and nowhere else.
    ///
    /// - Returns: a response whose status `exchange` accepts
    /// - Throws: `RegistryError`; on a 401 the authorisation is renewed once, or up to `maximumRenewals` times where the
    ///   token itself is what is refused. A body that streams is not sent again: the error is then transient, and the next
    ///   attempt goes out with the new token.
    func perform(_ exchange: Exchange, scopes: [TokenScope]) async throws(RegistryError) -> Reply {
        var exchange = exchange
        let isHome = exchange.url.isSameOrigin(as: endpoint.url)
        if isHome { exchange.authorization = try await authenticator.authorization(for: scopes) }
        var reply = try await transport.send(exchange)
        let mayRenew = { (reply: Reply) in
            reply.status == 401 && isHome && reply.url.isSameOrigin(as: endpoint.url)
                && !exchange.accepts.contains(401)
        }
        var renewals = 0
        while mayRenew(reply) {
            let isWorthAnother =
                renewals == 0
                || renewals < Self.maximumRenewals && AuthenticationScheme.callsTokenInvalid(reply.head)
            if isWorthAnother, renewals > 0 { try await transport.pauseBeforeAnotherTry(exchange) }
            guard isWorthAnother,
                let fresh = try await authenticator.renew(
                    after: reply.head, at: reply.url, scopes: scopes, rejected: exchange.authorization,
                    isFirst: renewals == 0)
            else {
                let error = refusal(reply)
                let reason = await authenticator.explanation(for: scopes)
                var explained = RegistryError(.unauthorized, "HTTP 401: \(reason)", url: error.url, status: 401)
                explained.details = error.details
                throw explained
            }
            guard exchange.isReplayable else {
                var error = refusal(reply)
                error.isTransient = true
                throw error
            }
            renewals += 1
            exchange.authorization = fresh
            reply = try await transport.send(exchange)
        }
        guard exchange.accepts.contains(reply.status) else { throw refusal(reply) }
        return reply
    }

    /// The error that a reply stands for.
    func refusal(_ reply: Reply) -> RegistryError {
        RegistryError(reply.head, body: reply.body, url: reply.url, unixTime: transport.timing.unixTime())
    }
}
