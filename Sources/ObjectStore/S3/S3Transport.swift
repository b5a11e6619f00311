import HTTP
import OCI

/// Sends signed requests to one bucket: credentials read again when they are refused, retries by policy, at most 32
/// requests at once. Knows nothing of what the objects are for.
struct S3Transport: Sendable {
    /// The most requests at once, and so the most connections.
    static let concurrentRequests = 32

    /// One request.
    struct Call: Sendable {
        let method: HTTPMethod
        /// The whole key in the bucket; `nil` for the bucket itself.
        let key: String?
        var query: [(name: String, value: String)] = []
        var headers: HTTPHeaders = [:]
        var body: [UInt8]?
        /// The most bytes of the answer's body.
        var limit = S3BodySink.errorLimit
        /// Whether it matters how often the request reaches the store.
        var isConditionalWrite = false
    }

    let bucket: S3Bucket
    private let http: HTTPClient
    private let gate = RequestGate(limit: concurrentRequests)
    private let credentials: S3CredentialSource
    private let tls: TLSConfiguration
    let access: ObjectStoreAccess

    init(_ location: S3Location, _ access: ObjectStoreAccess) throws(ObjectStoreError) {
        bucket = try S3Bucket(
            location, environmentRegion: S3CredentialSource.region(environment: access.environment))
        credentials = S3CredentialSource(path: location.credentialsFile, environment: access.environment)
        var tls = access.tls
        if let file = location.caFile { tls.caFile = file }
        self.tls = tls
        self.access = access
        var configuration = HTTPClient.Configuration()
        configuration.ledger = access.ledger
        http = HTTPClient(configuration: configuration)
    }

    /// Sends a request until it has an answer that sending it again would not change.
    ///
    /// - Parameters:
    ///   - call: the request
    ///   - isExpected: whether an answer is one to the question; any other is thrown
    /// - Throws: `ObjectStoreError`
    func send(
        _ call: Call, _ isExpected: @Sendable (S3Answer) -> Bool
    ) async throws(ObjectStoreError) -> S3Answer {
        var credentials = try self.credentials.credentials()
        var attempt = 1
        var waited = Duration.zero
        var reread = false
        var lostReply = false
        while true {
            let failure: RetryPolicy.Failure
            let error: ObjectStoreError
            switch try await attemptOnce(call, credentials) {
            case .success(var answer):
                answer.followsLostReply = lostReply
                if isExpected(answer) { return answer }
                let fault = answer.fault
                // Rotated while we held the old ones: read again, once.
                if [400, 401, 403].contains(answer.status), fault.concernsCredentials, !reread {
                    reread = true
                    let fresh = try self.credentials.credentials(rereading: true)
                    if fresh != credentials {
                        credentials = fresh
                        continue
                    }
                }
                let status = fault.refusesForNow ? 503 : answer.status
                failure = .status(
                    status,
                    retryAfter: HTTPResponseHead(status: status, headers: answer.headers)
                        .retryAfter(unixTime: access.timing.unixTime()))
                if answer.status >= 500, !fault.refusesForNow { lostReply = true }
                error = refusal(answer, of: call, credentials)
            case .failure(let httpError):
                failure = .transport(isTransient: httpError.isTransient)
                if ![.cannotResolve, .cannotConnect, .proxyFailed, .tlsFailed].contains(httpError.code) {
                    lostReply = true
                }
                error = self.failure(httpError, of: call)
            }
            let decision = access.retry.decide(
                attempt: attempt, failure: failure, waited: waited, chance: access.timing.chance())
            guard case .retry(let wait, _) = decision else { throw error }
            waited += wait
            attempt += 1
            do { try await access.timing.sleep(wait) } catch { throw cancelled(call) }
        }
    }

    private func attemptOnce(
        _ call: Call, _ credentials: S3Credentials
    ) async throws(ObjectStoreError) -> Result<S3Answer, HTTPError> {
        let sink = S3BodySink(limit: call.limit)
        let request = signed(call, credentials)
        let result: Result<HTTPResponse, HTTPError>
        do {
            result = try await gate.withTurn {
                do throws(HTTPError) {
                    return .success(try await http.send(request, into: sink))
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw cancelled(call)
        }
        guard sink.overflowed, let head = sink.head else {
            return result.map { S3Answer(status: $0.status, headers: $0.headers, body: sink.body) }
        }
        guard head.status != 200 else {
            throw ObjectStoreError(
                .tooLarge, "the answer has more than the \(call.limit) bytes that are read",
                at: bucket.place(of: call.key))
        }
        // The beginning of an error page is enough to explain it.
        return .success(S3Answer(status: head.status, headers: head.headers, body: sink.body))
    }

    /// The request with its signature. The payload's true hash is signed, so that no byte changes on the way.
    private func signed(_ call: Call, _ credentials: S3Credentials) -> HTTPRequest {
        let time = S3Time(unixTime: access.timing.unixTime())
        let query = S3Signer.canonicalQuery(call.query)
        let object = call.key.map { bucket.url(of: $0) } ?? bucket.url
        let url = object.with(path: object.path, query: query.isEmpty ? nil : query)
        var headers = call.headers
        headers["x-amz-date"] = time.text
        headers["x-amz-content-sha256"] = Digest(of: call.body ?? []).hex
        headers["x-amz-security-token"] = credentials.sessionToken
        var signed = headers
        signed["Host"] = url.authority
        headers["Authorization"] = S3Signer(region: bucket.region).authorization(
            call.method.rawValue, path: url.path, query: query, headers: signed,
            payloadHash: headers["x-amz-content-sha256"] ?? "", credentials: credentials, time: time)
        var request = HTTPRequest(call.method, url, headers: headers, body: call.body.map { .bytes($0) } ?? .none)
        request.tls = tls
        request.proxy = access.proxy
        request.timeouts = Timeouts(connect: 10, stall: 30)
        request.opensConnection = call.isConditionalWrite
        return request
    }
}
