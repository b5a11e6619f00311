import HTTP

/// Sends exchanges: one slot of the host's budget each, redirects by hand, retries by policy. Knows nothing of tokens.
struct Transport: Sendable {
    let endpoint: RegistryEndpoint
    let http: HTTPClient
    let gates: HostGates
    let retry: RetryPolicy
    let timing: Timing
    let certificates: CertificateDirectory
    let receiveBuffer: Int?

    /// The most redirects of one request.
    static let maximumRedirects = 5
    /// How often one request asks for a new signed URL. More than once, since one may expire for all at the same moment, as
    /// where a storage's key is replaced.
    static let maximumExpiries = 3
    /// The longest pause that a host may ask for; after it, it is asked again.
    static let longestPause = Duration.seconds(3600)

    /// Sends an exchange until it has an answer or a refusal that will not pass.
    ///
    /// Each attempt starts at the exchange's own URL: redirects to storage are signed for a few minutes and one method,
    /// and are never kept (distribution, registry/storage/driver/s3-aws/s3.go).
    ///
    /// - Returns: any complete response; its status may be a refusal.
    func send(_ exchange: Exchange) async throws(RegistryError) -> Reply {
        var waited = Duration.zero
        var attempt = 1
        var expired = 0
        while true {
            let failure: RetryPolicy.Failure
            let outcome = await attemptOnce(exchange)
            switch outcome.result {
            case .success(let reply):
                if exchange.accepts.contains(reply.status) { return reply }
                // A signed URL that expired on the way: 400 or 403 from storage (Cloudflare R2 documents 403). A new one
                // is asked for, a few times.
                if !reply.url.isSameOrigin(as: exchange.url), [400, 403].contains(reply.status),
                    expired < Self.maximumExpiries
                {
                    expired += 1
                    if expired > 1 {
                        let wait = try await pauseBeforeAnotherTry(exchange)
                        waited += wait
                    }
                    continue
                }
                failure = .status(reply.status, retryAfter: reply.head.retryAfter(unixTime: timing.unixTime()))
            // The host is not asked for longer than anybody waits here.
            case .failure(let error) where error.code == .rateLimited: throw error
            case .failure(let error):
                failure = .transport(isTransient: error.isTransient)
            }
            let decision = retry.decide(attempt: attempt, failure: failure, waited: waited, chance: timing.chance())
            if case .status(let status, let retryAfter) = failure, RetryPolicy.throttles(status) {
                pause(outcome.url, status: status, retryAfter: retryAfter, decision: decision)
            }
            guard case .retry(let wait, let pausesHost) = decision, exchange.isRetried else {
                return try outcome.result.get()
            }
            waited += wait
            attempt += 1
            // Where the host is paused, its gate does the waiting.
            if !pausesHost {
                do { try await timing.sleep(wait) } catch { throw .cancelled(exchange.url) }
            }
        }
    }

    /// Waits before something is tried again that a first repetition, at once, has not helped.
    ///
    /// - Returns: how long it was
    @discardableResult
    func pauseBeforeAnotherTry(_ exchange: Exchange) async throws(RegistryError) -> Duration {
        let wait = retry.firstWait * timing.chance()
        do { try await timing.sleep(wait) } catch { throw .cancelled(exchange.url) }
        return wait
    }

    /// Nothing more is sent to a host that asked for patience, by anyone: not even where this request gives up.
    private func pause(_ url: HTTPURL, status: Int, retryAfter: Duration?, decision: RetryPolicy.Decision) {
        let wait: Duration
        if case .retry(let after, _) = decision { wait = after } else { wait = retryAfter ?? .zero }
        gates.gate(for: url).pause(until: timing.now() + min(wait, Self.longestPause))
    }

    private struct Outcome {
        let result: Result<Reply, RegistryError>
        /// The host that answered or failed.
        let url: HTTPURL
    }

    private func attemptOnce(_ exchange: Exchange) async -> Outcome {
        var url = exchange.url
        do throws(RegistryError) {
            for _ in 0...Self.maximumRedirects {
                let sink = ResponseSink(exchange)
                let result = await hop(exchange, to: url, sink: sink)
                let reply = try result.get()
                guard let next = try redirect(reply, of: exchange, from: url) else {
                    return Outcome(result: .success(reply), url: url)
                }
                url = next
            }
            throw .violation("more than \(Self.maximumRedirects) redirects: they may go in a circle", url)
        } catch {
            return Outcome(result: .failure(error), url: url)
        }
    }

    /// One request, in one slot of its host's budget.
    private func hop(_ exchange: Exchange, to url: HTTPURL, sink: ResponseSink) async -> Result<Reply, RegistryError> {
        var request = HTTPRequest(exchange.method, url, headers: exchange.headers, body: exchange.body)
        if let authorization = exchange.authorization, url.isSameOrigin(as: exchange.url) {
            request.headers["Authorization"] = authorization.text
        }
        do {
            request.tls = try tls(for: url)
        } catch {
            return .failure(error)
        }
        request.proxy = endpoint.proxy
        request.timeouts = exchange.timeouts
        request.readSize = exchange.readSize
        request.receiveBuffer = exchange.receiveBuffer ?? receiveBuffer
        let gate = gates.gate(for: url)
        do throws(HostGate.Refusal) {
            try await gate.acquire(exchange.lane, patience: retry.totalWait)
        } catch {
            guard case .paused(let left) = error else { return .failure(.cancelled(url)) }
            var error = RegistryError(
                .rateLimited,
                "\(url.authority) asked everybody to wait: for another \(left.components.seconds) s, it is not asked",
                url: url.redacted)
            error.isTransient = true
            error.retryAfter = left
            return .failure(error)
        }
        defer { gate.release(exchange.lane) }
        do {
            let response = try await http.send(request, into: sink)
            let head = sink.head ?? response.head
            if sink.missing > 0, exchange.method != .head {
                var error = RegistryError(
                    .network, "the body ended \(sink.missing) bytes before its announced length", url: url.redacted,
                    status: head.status)
                error.isTransient = true
                error.transport = .truncatedBody
                return .failure(error)
            }
            return .success(
                Reply(
                    head: head, body: sink.body, url: url, receivedBytes: response.receivedBytes))
        } catch {
            // A server that refuses an upload may close before it has read the body, or send a page without end.
            // And of what is only peeked at, the rest is not wanted, or does not come.
            let isPeeked = sink.isPeek && [.refusedBySink, .truncatedBody, .connectionReset].contains(error.code)
            if let head = sink.head, isPeeked || sink.isRefusal && error.code != .cancelled {
                let body = sink.body
                return .success(
                    Reply(
                        head: head, body: body, url: url, receivedBytes: Int64(body.count)))
            }
            if sink.overflowed {
                return .failure(
                    RegistryError(
                        .tooLarge, "the body is longer than announced or allowed", url: url.redacted,
                        status: sink.head?.status))
            }
            return .failure(RegistryError(error))
        }
    }

    /// Where a redirect leads; `nil` for any other response. Only reading is redirected: a body would be sent twice.
    private func redirect(_ reply: Reply, of exchange: Exchange, from url: HTTPURL) throws(RegistryError) -> HTTPURL? {
        guard [301, 302, 303, 307, 308].contains(reply.status), exchange.method == .get || exchange.method == .head,
            let location = reply.head.headers["Location"]
        else { return nil }
        let next = try resolve(location, against: url)
        if let reason = TargetPolicy.refusal(of: next, from: exchange.url) {
            throw .violation(
                "refused a redirect to \(next.scheme)://\(next.authority): \(reason)", url, status: reply.status)
        }
        if url.scheme == "https", next.scheme != "https" {
            throw .violation(
                "refused a redirect from HTTPS to plain HTTP at \(next.authority)", url, status: reply.status)
        }
        return next
    }

    /// Resolves a `Location` or `Link` value against the URL that answered.
    func resolve(_ location: String, against url: HTTPURL) throws(RegistryError) -> HTTPURL {
        do {
            return try url.resolving(location)
        } catch {
            throw .violation("the registry's answer leads to something that is not a URL", url)
        }
    }

    /// How a connection is secured. What is configured for the registry counts for its own host; another host gets the
    /// same authorities, but neither the client's certificate nor leave to be unverified.
    private func tls(for url: HTTPURL) throws(RegistryError) -> TLSConfiguration {
        guard url.scheme == "https" else { return TLSConfiguration() }
        if url.host == endpoint.url.host, endpoint.tls != TLSConfiguration() { return endpoint.tls }
        let found = try certificates.configuration(for: url)
        if found != TLSConfiguration() { return found }
        return TLSConfiguration(caFile: endpoint.tls.caFile)
    }
}
