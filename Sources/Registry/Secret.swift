import FoundationEssentials

/// Text that must not be shown: a password or a token. Printing, interpolating or dumping it shows `‹secret›`.
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The text itself, for the wire only.
    let text: String

    /// - Parameter text: what must not be shown
    public init(_ text: String) { self.text = text }

    /// `‹secret›`.
    public var description: String { "‹secret›" }
    /// `‹secret›`.
    public var debugDescription: String { description }
    /// Nothing to reflect.
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// What a registry or its token server is shown to let us in.
public struct Credential: Hashable, Sendable {
    /// What the secret is.
    public enum Kind: Hashable, Sendable {
        /// The password, or access token, of a user name: HTTP Basic.
        case password
        /// An OAuth2 refresh token (`identitytoken`): exchanged at the token server for access tokens.
        case identityToken
    }

    /// What the secret is.
    public let kind: Kind
    /// The user's name.
    public let username: String
    /// The password or token.
    public let secret: Secret
    /// Where it was found, for messages: a file's path, or a helper's name and the file that names it.
    public let origin: String

    /// - Parameters:
    ///   - kind: what the secret is
    ///   - username: the user's name
    ///   - secret: the password or token
    ///   - origin: where it was found
    public init(kind: Kind = .password, username: String, secret: Secret, origin: String) {
        self.kind = kind
        self.username = username
        self.secret = secret
        self.origin = origin
    }

    /// The value of an `Authorization` header.
    var basicAuthorization: Secret {
        Secret("Basic " + Data("\(username):\(secret.text)".utf8).base64EncodedString())
    }
}
