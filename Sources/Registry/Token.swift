import FoundationEssentials
import HTTP

/// An access token with its lifetime.
struct Token: Sendable {
    let secret: Secret
    /// What it was asked for; the server may have granted less, which only the registry's refusal shows.
    let scopes: [TokenScope]
    /// From when on a new one is fetched: before the registry's clock calls it expired in mid-upload.
    let renewal: ContinuousClock.Instant

    /// The largest reply of a token server that is read, in bytes.
    static let maximumReply = 64 << 10

    /// Reads a token server's reply (distribution, docs/content/spec/auth/token.md): `token` or `access_token`;
    /// `expires_in` is 60 s where it is missing or less, counted from the request, not from the server's clock.
    ///
    /// - Returns: `nil` where the reply holds no token
    init?(reply: [UInt8], scopes: [TokenScope], requested: ContinuousClock.Instant) {
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(reply)),
            let text = [document.token, document.access_token].compactMap({ $0 }).first(where: { !$0.isEmpty }),
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return nil }
        secret = Secret("Bearer \(text)")
        self.scopes = scopes
        let lifetime = min(max(document.expires_in?.seconds ?? 60, 60), 86_400)
        renewal = requested + .seconds(lifetime - min(max(lifetime / 5, 10), 60))
    }

    /// Whether it serves all of some scopes.
    func covers(_ wanted: [TokenScope]) -> Bool {
        wanted.allSatisfy { scope in scopes.contains { $0.covers(scope) } }
    }

    private struct Document: Decodable {
        let token: String?
        let access_token: String?  // swift-format-ignore: AlwaysUseLowerCamelCase
        let expires_in: Lifetime?  // swift-format-ignore: AlwaysUseLowerCamelCase
    }

    /// A number, whole or not, or one in quotes.
    private struct Lifetime: Decodable {
        let seconds: Int64

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            let text = (try? container.decode(String.self)).flatMap(Double.init)
            let number = text ?? (try? container.decode(Double.self)) ?? 0
            seconds = number.isFinite ? Int64(min(max(number, 0), 1e9)) : 0
        }
    }
}

/// How a registry wants requests to be authorised.
enum AuthenticationScheme: Hashable, Sendable {
    /// Not at all, as far as is known.
    case open
    /// HTTP Basic with user name and password.
    case basic
    /// Tokens of a token server.
    case bearer(realm: HTTPURL, service: String?)

    /// Chooses among a response's challenges: tokens before passwords.
    ///
    /// - Parameters:
    ///   - challenges: in the order of the response
    ///   - url: the URL that answered: realms may be relative
    ///   - registry: the registry's own URL
    /// - Throws: `RegistryError.protocolViolation` for a token server that credentials must not be sent to.
    static func choose(_ challenges: [Challenge], at url: HTTPURL, registry: HTTPURL) throws(RegistryError)
        -> AuthenticationScheme?
    {
        if let bearer = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
            guard let text = bearer.parameters["realm"], let realm = try? url.resolving(text) else {
                throw .violation("the registry names a token server (realm) that is not a URL", url)
            }
            if let reason = TargetPolicy.refusal(of: realm, from: registry) {
                throw .violation(
                    "refused the token server \(realm.redacted) that the registry names: \(reason)", url)
            }
            return .bearer(realm: realm, service: bearer.parameters["service"])
        }
        return challenges.contains { $0.scheme == "basic" } ? .basic : nil
    }

    /// Whether a refusal is of the token itself, expired or of another key, and not of what it allows (RFC 6750, section
    /// 3.1; distribution, registry/auth/token/accesscontroller.go).
    static func callsTokenInvalid(_ head: HTTPResponseHead) -> Bool {
        Challenge.parse(head.headers.all("WWW-Authenticate")).contains {
            $0.scheme == "bearer" && $0.parameters["error"] == "invalid_token"
        }
    }
}
