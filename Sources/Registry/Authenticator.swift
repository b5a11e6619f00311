import HTTP
import OCI

/// Obtains what a registry wants to see in `Authorization`, for one registry and all of its repositories.
///
/// The registry is asked once how it authorises (`GET /v2/`), so that every request, and above all every body, is
/// authorised before it is sent: a refusal in mid-body leaves some servers and clients waiting for each other.
actor Authenticator {
    private let transport: Transport
    private let credentials: CredentialStore?
    private var scheme: AuthenticationScheme?
    private var learning: Task<Result<AuthenticationScheme, RegistryError>, Never>?
    private var tokens: [Token] = []
    private var fetches: [Set<TokenScope>: Task<Result<Token, RegistryError>, Never>] = [:]
    /// What the registry demanded for what we asked: some want more than the specification says.
    private var demanded: [Set<TokenScope>: [TokenScope]] = [:]
    /// The most tokens, and demands, that are kept.
    private static let kept = 512

    init(transport: Transport, credentials: CredentialStore?) {
        self.transport = transport
        self.credentials = credentials
    }

    private var endpoint: RegistryEndpoint { transport.endpoint }

    /// The header's value for some scopes of one repository, its own scope first; `nil` where none is wanted or to be
    /// had.
    func authorization(for scopes: [TokenScope]) async throws(RegistryError) -> Secret? {
        switch try await learnScheme() {
        case .open: nil
        case .basic: try await credential(for: scopes)?.basicAuthorization
        case .bearer: try await token(for: demanded[Set(scopes)] ?? scopes)
        }
    }

    /// The header's value after a 401, once; `nil` where there is nothing new to try.
    ///
    /// - Parameters:
    ///   - head: the refusal
    ///   - url: the registry's URL that answered
    ///   - scopes: what was asked for
    ///   - rejected: the value that was refused
    ///   - isFirst: whether it is the request's first: what helpers answer is asked for anew then, and once is enough
    func renew(
        after head: HTTPResponseHead, at url: HTTPURL, scopes: [TokenScope], rejected: Secret?, isFirst: Bool
    ) async throws(RegistryError) -> Secret? {
        let challenges = Challenge.parse(head.headers.all("WWW-Authenticate"))
        guard let chosen = try AuthenticationScheme.choose(challenges, at: url, registry: endpoint.url) else {
            return nil
        }
        scheme = chosen
        if isFirst { await credentials?.forget() }
        guard case .bearer = chosen else {
            let fresh = try await credential(for: scopes)?.basicAuthorization
            return fresh == rejected ? nil : fresh
        }
        tokens.removeAll { $0.secret == rejected }
        // What is demanded now comes first: some token servers read one scope only (go-containerregistry, transport).
        let news = challenges.first { $0.scheme == "bearer" }?.parameters["scope"].map(TokenScope.parse) ?? []
        let wanted = news + scopes.filter { scope in !news.contains { $0.covers(scope) } }
        if Set(wanted) != Set(scopes) {
            if demanded.count >= Self.kept { demanded = [:] }
            demanded[Set(scopes)] = wanted
        }
        return try await token(for: wanted)
    }

    /// Why a registry's 401 stands, for the message.
    func explanation(for scopes: [TokenScope]) async -> String {
        guard let credentials else { return "no credentials were given for \(endpoint.name)" }
        if let credential = try? await credential(for: scopes) {
            return "the credentials from \(credential.origin) were refused for"
                + " \(scopes.map(\.description).joined(separator: " ")): log in again, or ask for access"
        }
        return "there are no credentials for \(endpoint.name) in \(credentials.searched): log in to the registry"
    }

    private func learnScheme() async throws(RegistryError) -> AuthenticationScheme {
        if let scheme { return scheme }
        let task =
            learning
            ?? Task {
                defer { learning = nil }
                do throws(RegistryError) {
                    let learned = try await Self.ping(transport)
                    // A 401 answered in the meantime knows better.
                    if scheme == nil { scheme = learned }
                    return .success(scheme ?? learned)
                } catch {
                    return .failure(error)
                }
            }
        learning = task
        return try await value(of: task)
    }

    /// The result of work that several may wait for: who is cancelled leaves, the work goes on for the others.
    private func value<Value: Sendable>(of task: Task<Result<Value, RegistryError>, Never>) async throws(RegistryError)
        -> Value
    {
        let (results, continuation) = AsyncStream<Result<Value, RegistryError>>.makeStream()
        Task {
            continuation.yield(await task.value)
            continuation.finish()
        }
        for await result in results { return try result.get() }
        throw .cancelled(endpoint.url)
    }

    /// Anything but a challenge means that nothing is demanded here: the request itself will tell.
    private static func ping(_ transport: Transport) async throws(RegistryError) -> AuthenticationScheme {
        let url = transport.endpoint.api("")
        let reply = try await transport.send(Exchange(.get, url, accepts: [200, 401]))
        if reply.status >= 500 || reply.status == 429 {
            throw RegistryError(reply.head, body: reply.body, url: reply.url, unixTime: transport.timing.unixTime())
        }
        guard reply.status == 401, reply.url.isSameOrigin(as: url) else { return .open }
        let challenges = Challenge.parse(reply.head.headers.all("WWW-Authenticate"))
        return try AuthenticationScheme.choose(challenges, at: reply.url, registry: transport.endpoint.url) ?? .open
    }

    private func credential(for scopes: [TokenScope]) async throws(RegistryError) -> Credential? {
        try await credentials?.credential(for: endpoint, repository: scopes.first?.repository)
    }

    private func token(for wanted: [TokenScope]) async throws(RegistryError) -> Secret {
        let now = transport.timing.now()
        if let token = tokens.last(where: { $0.renewal > now && $0.covers(wanted) }) { return token.secret }
        let key = Set(wanted)
        let task =
            fetches[key]
            ?? Task {
                defer { fetches[key] = nil }
                do throws(RegistryError) {
                    return .success(try await fetch(wanted))
                } catch {
                    return .failure(error)
                }
            }
        fetches[key] = task
        return try await value(of: task).secret
    }

    private func fetch(_ wanted: [TokenScope]) async throws(RegistryError) -> Token {
        guard case .bearer(let realm, let service) = scheme else {
            throw .violation("the registry changed its mind about authentication: try again", endpoint.url)
        }
        let credential = try await credential(for: wanted)
        let now = transport.timing.now()
        let request = TokenRequest(realm: realm, service: service, scopes: wanted)
        let reply = try await send(request, credential)
        guard reply.status == 200 else { throw refusal(reply, credential: credential, wanted: wanted) }
        guard let token = Token(reply: reply.body, scopes: wanted, requested: now) else {
            throw .violation("the token server's answer holds no token", reply.url, status: reply.status)
        }
        tokens.removeAll { $0.renewal <= now || Set($0.scopes) == Set(wanted) }
        if tokens.count >= Self.kept { tokens.removeFirst() }
        tokens.append(token)
        return token
    }

    /// Tokens are asked for with GET; for an identity token with OAuth2's POST, and where the server does not know that,
    /// with GET after all: 404 (oauth.md) and 405, and 401 at Artifactory (containerd, remotes/docker/auth).
    private func send(_ request: TokenRequest, _ credential: Credential?) async throws(RegistryError) -> Reply {
        if let credential, credential.kind == .identityToken {
            let reply = try await transport.send(request.post(refreshToken: credential.secret))
            guard [401, 404, 405].contains(reply.status) else { return reply }
            let second = try await transport.send(request.get(credential))
            return second.status == 200 ? second : reply
        }
        return try await transport.send(request.get(credential))
    }

    private func refusal(_ reply: Reply, credential: Credential?, wanted: [TokenScope]) -> RegistryError {
        let error = RegistryError(
            reply.head, body: reply.body, url: reply.url, unixTime: transport.timing.unixTime())
        guard error.code == .unauthorized || error.code == .denied else { return error }
        let reason =
            credential.map { "the token server refused the credentials from \($0.origin): log in again" }
            ?? credentials.map {
                "the token server wants credentials, and there are none for \(endpoint.name) in \($0.searched)"
            }
            ?? "the token server wants credentials, and none were given"
        var explained = RegistryError(
            error.code, "HTTP \(reply.status): \(reason)", url: error.url, status: reply.status)
        explained.details = error.details
        return explained
    }
}

/// A question to a token server.
struct TokenRequest: Sendable {
    let realm: HTTPURL
    let service: String?
    /// Newly demanded first.
    let scopes: [TokenScope]

    private static let clientID = "rollcall"
    /// A token is small: a server that takes longer hangs.
    private static let timeouts = Timeouts(connect: 20, stall: 30, total: 60)

    /// `GET REALM?service=…&scope=…&scope=…`, with Basic where there is a password (token.md).
    func get(_ credential: Credential?) -> Exchange {
        var items = ["client_id=\(Self.clientID)"]
        if let service { items.append("service=\(service.queryEncoded)") }
        items += scopes.map { "scope=\($0.description.queryEncoded)" }
        var exchange = Exchange(.get, realm.appendingQuery(items.joined(separator: "&")), accepts: [200])
        exchange.authorization = credential?.basicAuthorization
        exchange.timeouts = Self.timeouts
        exchange.bodyLimit = Token.maximumReply
        return exchange
    }

    /// `POST REALM` with `grant_type=refresh_token`, the scopes joined by blanks (oauth.md).
    func post(refreshToken: Secret) -> Exchange {
        var items = ["grant_type=refresh_token", "client_id=\(Self.clientID)"]
        items.append("service=\((service ?? "").queryEncoded)")
        items.append("scope=\(scopes.map(\.description).joined(separator: " ").queryEncoded)")
        items.append("refresh_token=\(refreshToken.text.queryEncoded)")
        var exchange = Exchange(
            .post, realm, headers: ["Content-Type": "application/x-www-form-urlencoded"], accepts: [200])
        exchange.body = .bytes(Array(items.joined(separator: "&").utf8))
        exchange.timeouts = Self.timeouts
        exchange.bodyLimit = Token.maximumReply
        return exchange
    }
}
