extension AgentFile {
    /// How often everything is verified where the file does not say, unless `validity` is too short for it.
    static let usualVerifyInterval = Duration.seconds(3600)

    enum Key: String, MappingKey {
        case site, environment, sources, registry, repositories, objectStore, state, signingKey, limits
        case timeZone, windows, interval, verifyInterval, audit, validity, authFile, hosts, http, log, shard

        var setting: Setting {
            switch self {
            case .site:
                Setting(
                    .text("a name"), .required, example: "lab-1",
                    "The site that this agent serves, as the fleet file names it.")
            case .environment:
                Setting(
                    .text("a name"), .required, example: "lab",
                    "The environment that the site belongs to, as the fleet file names it.")
            case .sources:
                Setting(
                    .list(of: .section(SourceKey.self)), .required,
                    """
                    The registries to fetch from: the central one, mirrors, or registries of sibling sites; at least one \
                    ([several sources](operations.md#several-sources)).
                    """)
            case .registry:
                Setting(
                    .section(RegistrySettings.Key.self), .required,
                    """
                    The site's regional registry, which what is fetched is pushed to: one that runs there, or one of the \
                    agent's own.
                    """)
            case .repositories:
                Setting(
                    .pairs(by: "a prefix in the lists", of: .text("the prefix in its place")),
                    .otherwise("each keeps its name"),
                    example: "{platform: mirror/platform, thirdparty/vendor: vendor}",
                    """
                    Where a source's repositories live in the regional registry. Prefixes are whole components of the \
                    name, and the longest one that fits wins; `''` stands for every repository.
                    """)
            case .objectStore:
                Setting(
                    .section(Value.ObjectStoreKey.self), .required,
                    "The central object store, as the fleet file names it.")
            case .state:
                Setting(
                    .path, .required, example: "/var/lib/rollcall",
                    """
                    A directory of the agent's own; one agent at a time uses it. What is on its way lies there, and what \
                    the agent has to remember ([more](operations.md#the-state-directory-and-resuming)).
                    """)
            case .signingKey:
                Setting(
                    .path, .otherwise("cache manifests are not signed"), example: "/etc/rollcall/site.key",
                    """
                    The private key that signs what the site says of itself: made by `rollcall-agent keygen --output \
                    FILE`, which prints the public half for the fleet file. A file that its owner alone may read (mode \
                    0600). Cache manifests that are not signed block every gate that does not say that it accepts that \
                    ([keys](trust.md#keys)).
                    """)
            case .limits:
                Setting(
                    .section(Limits.Key.self), .standards,
                    """
                    The bounds of what the agent takes of its machine and of the registries ([limits on the \
                    link](operations.md#limits-on-the-link)).
                    """)
            case .timeZone:
                Setting(
                    .text("`UTC` or a name of the IANA database"), .standard("UTC"), example: "Europe/Zurich",
                    "The site's time zone. Windows and quotas go by its clock.")
            case .windows:
                Setting(
                    .list(of: .section(WindowKey.self)), .otherwise("at any time"),
                    """
                    When the agent may fetch from sources; uploads that are under way, looks at the regional registry, \
                    and reports to the object store go on at any time. At a window's end no further byte is taken; the \
                    next window goes on from there. `run` waits for it, and `sync` ends with exit code 1 and says until \
                    when transfers are paused.
                    """)
            case .interval:
                Setting(
                    .duration(.seconds(1)...(.seconds(86_400))), .standard("60s"),
                    """
                    How often `run` reads what is staged and promoted; each wait varies at random around this.
                    """)
            case .verifyInterval:
                Setting(
                    .duration(.seconds(1)...Setting.longest),
                    .otherwise("\(usualVerifyInterval.written), or half of `validity` where that is less"),
                    example: "1h",
                    """
                    How often `run` asks the regional registry to show everything, although no list has changed: the last \
                    byte of each blob, and each manifest. What is lost is noticed, reported and brought again within this \
                    time. Must be below `validity`.
                    """)
            case .audit:
                Setting(
                    .section(Audit.Key.self), .standards,
                    """
                    How `run` reads content back from the regional registry and hashes it, beside the passes: what is \
                    stored wrongly shows only so. What is found damaged is reported as missing, and brought again. \
                    `verify --content` reads all of it at once ([more](operations.md#damaged-content)).
                    """)
            case .validity:
                Setting(
                    .duration(.seconds(60)...Setting.longest), .standard("24h"),
                    """
                    How long what the agent proves holds. A site that falls silent turns stale, and blocks the gate, \
                    after this time.
                    """)
            case .authFile:
                Setting(
                    .path, .otherwise("the usual places"), example: "/etc/rollcall/auth.json",
                    """
                    The credentials file, in the format of containers-auth.json(5) and of the Docker client. It is then \
                    the only one ([the usual places](operations.md#credentials)).
                    """)
            case .hosts:
                Setting(
                    .pairs(by: "HOST or HOST:PORT", of: .section(Host.Key.self)), .otherwise("none"),

                    """
                    Settings for single hosts, of registries or of the object store: `HOST` for its scheme's usual port, \
                    or `HOST:PORT`. Where it says nothing about a host's certificates, `certs.d` does \
                    ([TLS](operations.md#tls)).
                    """)
            case .http:
                Setting(
                    .section(StatusServer.Key.self), .otherwise("nowhere"),
                    """
                    Where `run` tells over HTTP how it is: `/healthz`, `/readyz`, `/status` and `/metrics` \
                    ([metrics.md](metrics.md)). Nothing that is told there is secret, and nothing can be changed.
                    """)
            case .log:
                Setting(
                    .section(Log.Key.self), .standards,
                    "What `run` logs to standard error ([more](operations.md#logs-and-progress)).")
            case .shard:
                Setting(
                    .section(ShardSettings.Key.self), .otherwise("one agent serves the site"),
                    """
                    Which of several agents of the site this is, where one is not fast enough: each brings the blobs \
                    whose digests are its own, into the same regional registry, and the gate opens when all of them \
                    proved everything. All need the same `of`, and a state directory each \
                    ([more](operations.md#several-agents-at-one-site)).
                    """)
            }
        }
    }

    enum SourceKey: String, MappingKey {
        case url, priority, weight, repositories

        var setting: Setting {
            switch self {
            case .url:
                Setting(
                    .text("`https://HOST[:PORT]`"), .required, example: "https://registry.central.example",
                    "The registry. Plain HTTP is spoken only where the URL says `http://`.")
            case .priority:
                Setting(
                    .integer(1...1000),
                    .otherwise("the place in this list, 1 for the first, so that a plain list is one of preferences"),
                    example: "1",
                    """
                    Sources of a lower number are asked first; of a higher one only while none of those can be used.
                    """)
            case .weight:
                Setting(
                    .integer(1...1000), .standard("1"), "The share of the requests among sources of the same priority.")
            case .repositories:
                Setting(
                    .pairs(by: "a prefix in the lists", of: .text("the prefix in its place")), .otherwise("their own"),
                    example: "{platform: release/platform}",
                    "Which name the lists' repositories have at this source, as the file's own `repositories` says it.")
            }
        }
    }
}

extension Setting {
    /// The longest time that a key may say: 366 days.
    static let longest = Duration.seconds(366 * 86_400)
}
