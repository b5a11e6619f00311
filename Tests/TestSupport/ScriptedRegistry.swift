import OCI

/// A small, correct registry (distribution-spec v1.1.1) in memory, whose every answer a test can change.
///
/// Correct by default; `behaviour` turns on what known registries do otherwise, and `intercept` changes single answers.
/// Uploads are held in memory, 64 MiB at most each; generated blobs are served without being held.
public final class ScriptedRegistry: Sendable {
    /// The server, with its record of requests.
    public let server: ScriptedServer
    /// Where blobs are redirected to with `Behaviour.redirectsBlobs`: another origin, as object stores are.
    public let storage: ScriptedServer

    /// What a registry holds for a digest.
    public enum Content: Sendable {
        /// Bytes in memory.
        case bytes([UInt8])
        /// Bytes that follow from a seed.
        case generated(GeneratedBytes)

        /// The length in bytes.
        public var count: Int64 {
            switch self {
            case .bytes(let bytes): Int64(bytes.count)
            case .generated(let content): content.count
            }
        }

        /// All bytes.
        public var all: [UInt8] {
            switch self {
            case .bytes(let bytes): bytes
            case .generated(let content): content.all
            }
        }

        func body(_ range: Range<Int64>) -> ScriptedServer.Body {
            switch self {
            case .bytes(let bytes): .bytes(Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
            case .generated(let content): .generated(content, range)
            }
        }
    }

    /// How requests are authorized.
    public enum Authorization: Sendable {
        /// Not at all.
        case anonymous
        /// A user's name and password.
        case basic(user: String, password: String)
        /// A bearer token from `/token` on the same server, for a user's name and password.
        case bearer(user: String, password: String)
    }

    /// What `Range` says in answers to uploads.
    public enum UploadRange: Sendable {
        /// `0-N`, N the last byte's offset; `0-0` for none, as distribution and zot have it.
        case exact
        /// `bytes=0-N`, N the byte count: one too high (Quay, endpoints/v2/blob.py).
        case quay
        /// The first chunk's range for ever (Amazon ECR, aws/containers-roadmap 2831).
        case firstChunk
        /// Nothing.
        case missing
    }

    /// What a mount is answered with.
    public enum Mounting: Sendable {
        /// 201 where the blob is there, else 202 with a session.
        case allowed
        /// 202 with a session, always.
        case session
        /// 401, as Harbor answers for an unknown project (goharbor/harbor 17097).
        case unauthorized
    }

    /// Where this registry leaves the specification.
    public struct Behaviour: Sendable {
        /// How requests are authorized.
        public var authorization = Authorization.anonymous
        /// Whether `Range` on blobs is honoured with 206; otherwise 200 and the whole blob.
        public var honoursRange = true
        /// Whether blobs are redirected (307) to another origin with an expiring, signed query.
        public var redirectsBlobs = false
        /// What `Range` says in answers to uploads.
        public var uploadRange = UploadRange.exact
        /// The status of an accepted PATCH: 202; 201 at Amazon ECR; 204 at some.
        public var patchStatus = 202
        /// Whether `Location` is relative, as at GHCR.
        public var relativeLocations = false
        /// Whether a PATCH at the wrong offset ends the session: distribution 2.8 does so, 3.x answers 416.
        public var endsSessionOnWrongOffset = false
        /// Whether GET on a session tells its offset; otherwise 404.
        public var reportsUploadStatus = true
        /// The least chunk in bytes, told in `OCI-Chunk-Min-Length`; `nil` tells none.
        public var chunkMinimum: Int?
        /// What a mount is answered with.
        public var mounting = Mounting.allowed
        /// Whether HEAD and GET of content say `Docker-Content-Digest`.
        public var sendsContentDigest = true
        /// Whether a manifest may reference what the repository does not hold.
        public var acceptsDanglingManifests = false
        /// Whether the referrers endpoint exists.
        public var hasReferrers = true
        /// The most tags on one page.
        public var tagPage = 100

        /// The specification's.
        public init() {}
    }

    struct Repository: Sendable {
        var blobs: Set<Digest> = []
        var manifests: [Digest: (type: String, bytes: [UInt8])] = [:]
        var tags: [String: Digest] = [:]
    }

    struct Upload: Sendable {
        let repository: String
        var bytes: [UInt8] = []
        var firstChunk: Int?
        /// Counts answers, so that each `Location` differs and only the latest is right.
        var turn = 0
    }

    struct State: Sendable {
        var behaviour = Behaviour()
        var contents: [Digest: Content] = [:]
        var repositories: [String: Repository] = [:]
        var uploads: [String: Upload] = [:]
        var nextUpload = 0
        var nextToken = 0
        var tokens: Set<String> = []
        var nextSignature = 0
        var signatures: Set<String> = []
        var interceptors: [Interceptor] = []
    }

    struct Interceptor: Sendable {
        let matches: @Sendable (ScriptedServer.Request) -> Bool
        let answer:
            @Sendable (ScriptedServer.Exchange, () throws -> ScriptedServer.Response) throws ->
                ScriptedServer.Response
        var left: Int
    }

    let state = Monitor(State())

    /// Starts the registry, empty.
    ///
    /// - Parameter isDown: whether nobody listens for it: then connections are refused until it is stopped
    public init(isDown: Bool = false) throws {
        server = try ScriptedServer(isDown: isDown) { _ in ScriptedServer.Response(503) }
        storage = try ScriptedServer { _ in ScriptedServer.Response(503) }
        // Weakly: the server outlives its stop in handlers that still run.
        server.handle { [weak self] exchange in try self?.answer(exchange) ?? ScriptedServer.Response(503) }
        storage.handle { [weak self] exchange in self?.answerFromStorage(exchange) ?? ScriptedServer.Response(503) }
    }

    /// `http://127.0.0.1:PORT`.
    public var origin: String { server.origin }
    /// `127.0.0.1:PORT`.
    public var authority: String { server.authority }
    /// The record of requests to the registry, without those to its storage.
    public var requests: [ScriptedServer.Request] { server.requests }

    /// Where the registry leaves the specification; may change at any time.
    public var behaviour: Behaviour {
        get { state.read { $0.behaviour } }
        set { state.update { $0.behaviour = newValue } }
    }

    /// Changes the answers to some requests.
    ///
    /// - Parameters:
    ///   - times: how many of them; all unless said
    ///   - matches: which
    ///   - answer: returns the answer; its second argument lets the registry act and gives its true answer
    public func intercept(
        times: Int = .max, where matches: @escaping @Sendable (ScriptedServer.Request) -> Bool,
        _ answer:
            @escaping @Sendable (ScriptedServer.Exchange, () throws -> ScriptedServer.Response) throws ->
            ScriptedServer.Response
    ) {
        state.update { $0.interceptors.append(Interceptor(matches: matches, answer: answer, left: times)) }
    }

    /// Answers some requests otherwise and without acting on them: 429 storms, 503, faults.
    ///
    /// - Parameters:
    ///   - response: the answer
    ///   - times: how many of them; all unless said
    ///   - matches: which
    public func answer(
        _ response: ScriptedServer.Response, times: Int = .max,
        where matches: @escaping @Sendable (ScriptedServer.Request) -> Bool
    ) {
        intercept(times: times, where: matches) { _, _ in response }
    }

    /// Makes the registry forget every upload session.
    public func forgetUploads() { state.update { $0.uploads = [:] } }

    /// The open upload sessions.
    public var uploadCount: Int { state.read { $0.uploads.count } }

    /// Makes every token given out so far worthless.
    public func expireTokens() { state.update { $0.tokens = [] } }

    /// Makes every redirect given out so far worthless (403 from the storage).
    public func expireRedirects() { state.update { $0.signatures = [] } }

    /// Ends both servers.
    public func stop() async {
        await server.stop()
        await storage.stop()
    }

    private func answer(_ exchange: ScriptedServer.Exchange) throws -> ScriptedServer.Response {
        let interceptor = state.update { state -> Interceptor? in
            guard
                let index = state.interceptors.firstIndex(where: { $0.left > 0 && $0.matches(exchange.request) })
            else { return nil }
            state.interceptors[index].left -= 1
            return state.interceptors[index]
        }
        if let interceptor { return try interceptor.answer(exchange) { try self.route(exchange) } }
        return try route(exchange)
    }
}

/// Runs a scripted registry for as long as `body` runs.
///
/// - Parameters:
///   - behaviour: where it leaves the specification
///   - isDown: whether nobody listens for it: then connections are refused
///   - body: the test
public func withScriptedRegistry<Result>(
    _ behaviour: ScriptedRegistry.Behaviour = .init(), isDown: Bool = false,
    _ body: (ScriptedRegistry) async throws -> Result
) async throws -> Result {
    let registry = try ScriptedRegistry(isDown: isDown)
    registry.behaviour = behaviour
    do {
        let result = try await body(registry)
        await registry.stop()
        return result
    } catch {
        await registry.stop()
        throw error
    }
}
