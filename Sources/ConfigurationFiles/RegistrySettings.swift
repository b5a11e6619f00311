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

        var setting: Setting {
            switch self {
            case .url:
                Setting(
                    .text("`https://HOST[:PORT]`"), .requiredUnless("embedded"),
                    example: "https://registry.lab-1.example",
                    """
                    The registry, with the host and port that the fleet file has: otherwise the site blocks \
                    (`other-registry`). Plain HTTP is spoken only where the URL says `http://`.
                    """)
            case .embedded:
                Setting(
                    .section(EmbeddedKey.self), .requiredUnless("url"),
                    """
                    A registry of the agent's own, for a site that has none: cluster nodes pull from the agent \
                    ([more](embedded-registry.md#as-a-sites-registry)).
                    """)
            }
        }
    }

    enum EmbeddedKey: String, MappingKey {
        case layout, listen, tls, users, anonymousPull, writers, anonymousPush, allowDelete

        var setting: Setting {
            switch self {
            case .layout:
                Setting(
                    .path, .required, example: "/var/lib/rollcall/registry",
                    """
                    The directory of the registry's content, on a file system with hard links. Made where only its \
                    parent exists. What is on its way is kept there too, and not in the state directory.
                    """)
            case .listen:
                Setting(
                    .text("`HOST:PORT`"), .required, example: "0.0.0.0:5000",
                    "Where `run` serves it. `sync` and `verify` serve nothing.")
            case .tls:
                Setting(
                    .section(IdentityKey.self), .otherwise("plain HTTP"),
                    "The server's certificate chain and its key; read again when they change.")
            case .users:
                Setting(
                    .path, .otherwise("anyone may pull"), example: "/etc/rollcall/users",
                    "Users and their passwords, as `htpasswd -B` writes them; read again when the file changes.")
            case .anonymousPull:
                Setting(.bool, .standard("false"), "Whether anyone may pull although there are users.")
            case .writers:
                Setting(
                    .list(of: .text("a user of `users`")),
                    .otherwise("none, so that the agent alone brings content"), example: "[ci]",
                    "The users who may push.")
            case .anonymousPush:
                Setting(
                    .bool, .standard("false"), "Whether anyone may push who can connect; not beside `writers`.")
            case .allowDelete:
                Setting(.bool, .standard("false"), "Whether those who may push may delete.")
            }
        }
    }

    enum IdentityKey: String, MappingKey {
        case certificate, key

        var setting: Setting {
            switch self {
            case .certificate:
                Setting(
                    .path, .required, example: "/etc/rollcall/server.crt",
                    "A PEM file of the certificate and of those that lead to its authority.")
            case .key: Setting(.path, .required, example: "/etc/rollcall/server.key", "A PEM file of the private key.")
            }
        }
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
        let anonymousPush = try keys.value(.anonymousPush).bool()
        if users == nil, let value = keys[.writers] {
            throw value.error(.missingKey, "'writers' names users, and there is no 'users': name their file")
        }
        guard writers.isEmpty || !anonymousPush else {
            throw keys.error(at: .anonymousPush, "with 'anonymousPush', 'writers' says nothing: leave one of them out")
        }
        return Embedded(
            layout: try keys.value(.layout).path(),
            listen: try keys.value(.listen).listenAddress(example: "0.0.0.0:5000"), tls: try keys[.tls]?.identity(),
            users: users, anonymousPull: try keys.value(.anonymousPull).bool(), writers: writers,
            anonymousPush: anonymousPush, allowDelete: try keys.value(.allowDelete).bool())
    }
}
