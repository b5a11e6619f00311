public import HTTP
public import OCI
public import ObjectStore
public import Readiness
public import Transfer

/// The agent's file: which site it serves, from where to where, and within which limits.
public struct AgentFile: Hashable, Sendable {
    /// A registry to fetch from.
    public struct Source: Hashable, Sendable {
        /// The registry's URL.
        public let url: HTTPURL
        /// Sources of a lower number are asked first.
        public let priority: Int
        /// Its share of the requests among sources of its priority.
        public let weight: Int
        /// Which name a repository of the lists has there.
        public let repositories: RepositoryMapping
    }

    /// The bounds of what the agent takes of its machine and of the registries.
    public struct Limits: Hashable, Sendable {
        /// Large blobs on their way at once.
        public let blobs: Int
        /// Connections for content to one source at once; small requests beside them are bounded likewise.
        public let connections: Int
        /// Connections for content to all sources together at once.
        public let siteConnections: Int
        /// Bytes of blobs that are kept on disk on their way.
        public let spool: Int64
        /// Bytes of blobs that are kept in memory on their way.
        public let memory: Int64
        /// Bytes a second from all sources together; `nil` for any.
        public let rate: Int64?
        /// Bytes from all sources together in one day of the site's calendar; `nil` for any.
        public let quotaPerDay: Int64?
        /// Bytes from all sources together in one month of the site's calendar; `nil` for any.
        public let quotaPerMonth: Int64?
    }

    /// How content is read back from the regional registry.
    public struct Audit: Hashable, Sendable {
        /// The time within which all content is read back and hashed; `nil` reads none.
        public var period: Duration?
        /// Bytes a second; `nil` for any.
        public var rate: Int64?
        /// Bytes in one day of the site's calendar; `nil` for any.
        public var quotaPerDay: Int64?

        /// - Parameters:
        ///   - period: the time within which all content is read back and hashed; `nil` reads none
        ///   - rate: bytes a second; `nil` for any
        ///   - quotaPerDay: bytes in one day of the site's calendar; `nil` for any
        public init(period: Duration?, rate: Int64?, quotaPerDay: Int64?) {
            self.period = period
            self.rate = rate
            self.quotaPerDay = quotaPerDay
        }
    }

    /// How one host is spoken to.
    public struct Host: Hashable, Sendable {
        /// Whom to trust, and what to prove who we are with.
        public var tls: TLSConfiguration
        /// The proxy's URL; `nil` takes the process environment's, `""` uses none.
        public var proxy: String?
        /// Connections for content to it at once; `nil` for what the limits say.
        public var connections: Int?
    }

    /// The site that the agent serves.
    public let site: SiteName
    /// The environment that the site belongs to.
    public let environment: EnvironmentName
    /// The registries to fetch from; at least one.
    public let sources: [Source]
    /// The site's regional registry.
    public let registry: RegistrySettings
    /// Which name a source's repository has in the regional registry.
    public let repositories: RepositoryMapping
    /// Where the central object store is.
    public let objectStore: ObjectStoreLocation
    /// The directory that the agent keeps its state in.
    public let state: String
    /// The bounds of what the agent takes.
    public let limits: Limits
    /// When the agent may fetch, in the site's time zone.
    public let windows: TransferWindows
    /// How often the environment's record is read; each wait varies at random around it.
    public let interval: Duration
    /// How often everything is verified in the registry although no list has changed; below `validity`.
    public let verifyInterval: Duration
    /// How content is read back from the regional registry.
    public let audit: Audit
    /// How long a cache manifest holds.
    public let validity: Duration
    /// The file of the key that signs the site's cache manifests; `nil` leaves them unsigned.
    public let signingKey: String?
    /// A credentials file (containers-auth.json); `nil` looks in the usual places.
    public let authFile: String?
    /// Settings by host, `host` for its scheme's usual port or `host:port`, in lower case.
    public let hosts: [String: Host]
    /// Where the agent tells over HTTP how it is; `nil` where it does not.
    public let http: StatusServer?
    /// What the agent logs, and how.
    public var log: Log
    /// Which of several agents of the site it is; `nil` where it is the only one.
    public let shard: ShardSettings?

    /// How a URL's host is spoken to; `nil` where the file says nothing about it.
    public func host(of url: HTTPURL) -> Host? {
        hosts[url.authority] ?? hosts["\(url.host):\(url.port)"]
    }

    /// Reads an agent's file of at most 1 MiB.
    ///
    /// - Throws: `ConfigurationError`
    public init(path: String) throws(ConfigurationError) {
        try self.init(Document(path: path, title: Self.title, limit: Document.settingsLimit))
    }

    /// Reads an agent's file's text.
    ///
    /// - Parameters:
    ///   - text: the content
    ///   - path: the name by which messages call it
    init(text: String, path: String) throws(ConfigurationError) {
        try self.init(Document(text: text, path: path, title: Self.title))
    }

    private static let title = "the agent's file"

    private init(_ document: Document) throws(ConfigurationError) {
        let file = try document.root.mapping(Key.self, title: Self.title)
        site = try file.value(.site).parsed(SiteName.init(_:))
        environment = try file.value(.environment).parsed(EnvironmentName.init(_:))
        sources = try Self.sources(file.value(.sources))
        registry = try RegistrySettings(file.value(.registry))
        repositories = try file[.repositories]?.repositoryMapping() ?? RepositoryMapping()
        objectStore = try file.value(.objectStore).objectStoreLocation()
        state = try file.value(.state).path()
        limits = try Limits(file.value(.limits))
        windows = TransferWindows(
            timeZone: try file.value(.timeZone).timeZone(), windows: try file[.windows]?.windows() ?? [])
        interval = try file.value(.interval).duration()
        audit = try Audit(file.value(.audit))
        validity = try file.value(.validity).duration()
        verifyInterval = try file[.verifyInterval]?.duration() ?? min(Self.usualVerifyInterval, validity / 2)
        guard verifyInterval < validity else {
            throw file.error(
                at: .verifyInterval,
                "'verifyInterval' (\(verifyInterval.written)) must be below 'validity' (\(validity.written)): the site"
                    + " would be stale before it is verified again")
        }
        signingKey = try file[.signingKey]?.path()
        authFile = try file[.authFile]?.path()
        hosts = try file[.hosts]?.hosts() ?? [:]
        http = try file[.http].map { value throws(ConfigurationError) in try StatusServer(value) }
        log = try Log(file.value(.log))
        shard = try file[.shard].map { value throws(ConfigurationError) in try ShardSettings(value) }
    }

    private static func sources(_ list: Value) throws(ConfigurationError) -> [Source] {
        var sources: [Source] = []
        for value in try list.list() {
            let source = try value.mapping(SourceKey.self, title: "source")
            sources.append(
                Source(
                    url: try source.value(.url).registryURL().url,
                    // In the order of the list where nothing else is said.
                    priority: try source[.priority]?.integer() ?? sources.count + 1,
                    weight: try source.value(.weight).integer(),
                    repositories: try source[.repositories]?.repositoryMapping() ?? RepositoryMapping()))
        }
        guard !sources.isEmpty else {
            throw list.error(.invalidValue, "'sources' is empty: name at least one registry")
        }
        return sources
    }
}

extension Value {
    fileprivate func repositoryMapping() throws(ConfigurationError) -> RepositoryMapping {
        var rules: [RepositoryMapping.Rule] = []
        for (key, value) in try pairs() {
            let source = try key.keyText()
            let destination = try value.stringOrEmpty()
            do {
                rules.append(try RepositoryMapping.Rule(source: source, destination: destination))
            } catch {
                throw key.error(.invalidValue, "\(name): \(error)")
            }
        }
        return RepositoryMapping(rules)
    }
}
