public import HTTP

/// The site's regional registry, as an agent's file names it.
public enum RegistrySettings: Hashable, Sendable {
    /// A registry over the network.
    case url(HTTPURL)
    /// A registry of the agent's own, which it serves itself.
    case embedded(Embedded)

    /// What tells it from others: its URL, or its directory.
    public var name: String {
        switch self {
        case .url(let url): url.redacted
        case .embedded(let settings): settings.layout
        }
    }

    /// A registry in a directory.
    public struct Embedded: Hashable, Sendable {
        /// The directory.
        public let layout: String
        /// Where it listens.
        public let listen: ListenAddress
        /// The files of the server's certificate chain and key; `nil` for plain HTTP.
        public let tls: Identity?
        /// The file of the users; `nil` where nobody is asked who they are.
        public let users: String?
        /// Whether anyone may pull although there are users.
        public let anonymousPull: Bool
        /// The users who may push.
        public let writers: [String]
        /// Whether anyone may push who can connect.
        public let anonymousPush: Bool
        /// Whether those who may push may delete.
        public let allowDelete: Bool
    }

    /// The files of a server's identity, in PEM.
    public struct Identity: Hashable, Sendable {
        /// The certificate and those that lead to its authority.
        public let certificate: String
        /// The private key.
        public let key: String
    }
}

extension RegistrySettings {
    enum Key: String, MappingKey {
        case url, embedded
    }

    enum EmbeddedKey: String, MappingKey {
        case layout, listen, tls, users, anonymousPull, writers, anonymousPush, allowDelete
    }

    enum IdentityKey: String, MappingKey {
        case certificate, key
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'registry'")
        switch (keys[.url], keys[.embedded]) {
        case (let url?, nil): self = .url(try url.registryURL().url)
        case (nil, let embedded?): self = .embedded(try Self.embedded(embedded))
        case (nil, nil):
            throw value.error(.missingKey, "'registry' has neither 'url' nor 'embedded': write one of them")
        case (.some, .some):
            throw value.error(.invalidValue, "'registry' has both 'url' and 'embedded': a site has one registry")
        }
    }

    private static func embedded(_ value: Value) throws(ConfigurationError) -> Embedded {
        let keys = try value.mapping(EmbeddedKey.self, title: "'embedded'")
        let users = try keys[.users]?.path()
        var writers: [String] = []
        for writer in try keys[.writers]?.list() ?? [] { writers.append(try writer.string()) }
        let anonymousPush = try keys[.anonymousPush]?.bool() ?? false
        if users == nil, let value = keys[.writers] {
            throw value.error(.missingKey, "'writers' names users, and there is no 'users': name their file")
        }
        guard writers.isEmpty || !anonymousPush else {
            throw keys.error(at: .anonymousPush, "with 'anonymousPush', 'writers' says nothing: leave one of them out")
        }
        return Embedded(
            layout: try keys.required(.layout).path(),
            listen: try keys.required(.listen).listenAddress(example: "0.0.0.0:5000"), tls: try keys[.tls]?.identity(),
            users: users, anonymousPull: try keys[.anonymousPull]?.bool() ?? false, writers: writers,
            anonymousPush: anonymousPush, allowDelete: try keys[.allowDelete]?.bool() ?? false)
    }
}
