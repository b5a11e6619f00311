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
        public var blobs = 4
        /// Connections for content to one source at once; small requests beside them are bounded likewise.
        public var connections = 64
        /// Bytes of blobs that are kept on disk on their way.
        public var spool: Int64 = 64 << 30
        /// Bytes of blobs that are kept in memory on their way.
        public var memory: Int64 = 16 << 20
        /// Bytes a second from all sources together; `nil` for any.
        public var rate: Int64?
        /// Bytes from all sources together in one day of the site's calendar; `nil` for any.
        public var quotaPerDay: Int64?
        /// Bytes from all sources together in one month of the site's calendar; `nil` for any.
        public var quotaPerMonth: Int64?

        /// The defaults.
        public init() {}
    }

    /// How content is read back from the regional registry.
    public struct Audit: Hashable, Sendable {
        /// The time within which all content is read back and hashed; `nil` reads none.
        public var period: Duration? = .seconds(30 * 86_400)
        /// Bytes a second; `nil` for any.
        public var rate: Int64? = 16 << 20
        /// Bytes in one day of the site's calendar; `nil` for any.
        public var quotaPerDay: Int64?

        /// The defaults.
        public init() {}
    }

    /// How one host is spoken to.
    public struct Host: Hashable, Sendable {
        /// Whom to trust, and what to prove who we are with.
        public var tls: TLSConfiguration
        /// The proxy's URL; `nil` takes the process environment's, `""` uses none.
        public var proxy: String?
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

    enum Key: String, MappingKey {
        case site, environment, sources, registry, repositories, objectStore, state, limits, timeZone, windows
        case interval, verifyInterval, audit, validity, signingKey, authFile, hosts, http
        case log, shard
    }

    enum SourceKey: String, MappingKey {
        case url, priority, weight, repositories
    }

    enum WindowKey: String, MappingKey {
        case days, from, to
    }

    private init(_ document: Document) throws(ConfigurationError) {
        let file = try document.root.mapping(Key.self, title: Self.title)
        site = try file.required(.site).parsed(SiteName.init(_:))
        environment = try file.required(.environment).parsed(EnvironmentName.init(_:))
        let list = try file.required(.sources)
        var sources: [Source] = []
        for value in try list.list() {
            let source = try value.mapping(SourceKey.self, title: "source")
            sources.append(
                Source(
                    url: try source.required(.url).registryURL().url,
                    // In the order of the list where nothing else is said.
                    priority: try source[.priority]?.integer(in: 1...1000) ?? sources.count + 1,
                    weight: try source[.weight]?.integer(in: 1...1000) ?? 1,
                    repositories: try source[.repositories]?.repositoryMapping() ?? RepositoryMapping()))
        }
        guard !sources.isEmpty else {
            throw list.error(.invalidValue, "'sources' is empty: name at least one registry")
        }
        self.sources = sources
        registry = try RegistrySettings(file.required(.registry))
        repositories = try file[.repositories]?.repositoryMapping() ?? RepositoryMapping()
        objectStore = try file.required(.objectStore).objectStoreLocation()
        state = try file.required(.state).path()
        limits = try file[.limits].map { value throws(ConfigurationError) in try Limits(value) } ?? Limits()
        windows = TransferWindows(
            timeZone: try file[.timeZone]?.timeZone() ?? .utc, windows: try file[.windows]?.windows() ?? [])
        interval = try file[.interval]?.duration(in: .seconds(1)...(.seconds(86_400))) ?? .seconds(60)
        audit = try file[.audit].map { value throws(ConfigurationError) in try Audit(value) } ?? Audit()
        let longest = Duration.seconds(366 * 86_400)
        validity = try file[.validity]?.duration(in: .seconds(60)...longest) ?? .seconds(86_400)
        verifyInterval =
            try file[.verifyInterval]?.duration(in: .seconds(1)...longest) ?? min(.seconds(3600), validity / 2)
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
        log = try file[.log].map { value throws(ConfigurationError) in try Log(value) } ?? Log()
        shard = try file[.shard].map { value throws(ConfigurationError) in try ShardSettings(value) }
    }
}

extension AgentFile.Limits {
    enum Key: String, MappingKey {
        case blobs, connections, spool, memory, rate, quotaPerDay, quotaPerMonth
    }

    /// A quota of at least 1 MiB: the last 16 KiB of one cannot be used.
    private static let quotas: ClosedRange<Int64> = (1 << 20)...(1 << 60)

    fileprivate init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'limits'")
        if let value = keys[.blobs] { blobs = try value.integer(in: 1...256) }
        if let value = keys[.connections] { connections = try value.integer(in: 1...256) }
        if let value = keys[.spool] { spool = try value.byteSize(in: (1 << 20)...(1 << 50)) }
        if let value = keys[.memory] { memory = try value.byteSize(in: (4 << 20)...(1 << 40)) }
        rate = try keys[.rate]?.unlessNone { value throws(ConfigurationError) in
            try value.byteRate(in: 8000...(1 << 40))
        }
        quotaPerDay = try keys[.quotaPerDay]?.unlessNone { value throws(ConfigurationError) in
            try value.byteSize(in: Self.quotas)
        }
        quotaPerMonth = try keys[.quotaPerMonth]?.unlessNone { value throws(ConfigurationError) in
            try value.byteSize(in: Self.quotas)
        }
    }
}

extension AgentFile.Audit {
    enum Key: String, MappingKey {
        case period, rate, quotaPerDay
    }

    fileprivate init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'audit'")
        if let value = keys[.period] {
            period = try value.unlessNone { value throws(ConfigurationError) in
                try value.duration(in: .seconds(60)...(.seconds(366 * 86_400)))
            }
        }
        if let value = keys[.rate] {
            rate = try value.unlessNone { value throws(ConfigurationError) in try value.byteRate(in: 8000...(1 << 40)) }
        }
        quotaPerDay = try keys[.quotaPerDay]?.unlessNone { value throws(ConfigurationError) in
            try value.byteSize(in: (1 << 20)...(1 << 60))
        }
    }
}

extension AgentFile.Host {
    enum Key: String, MappingKey {
        case ca, certificate, key, insecure, proxy
    }

    fileprivate init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: value.name)
        tls = TLSConfiguration(
            caFile: try keys[.ca]?.path(), certificateFile: try keys[.certificate]?.path(),
            keyFile: try keys[.key]?.path(), skipsVerification: try keys[.insecure]?.bool() ?? false)
        guard (tls.certificateFile == nil) == (tls.keyFile == nil) else {
            throw value.error(.missingKey, "\(value.name) has only one of 'certificate' and 'key': write both")
        }
        guard !tls.skipsVerification || tls.caFile == nil else {
            throw value.error(
                .invalidValue,
                "\(value.name) has both 'ca' and 'insecure': an authority is of no use where any"
                    + " certificate is trusted")
        }
        proxy = try keys[.proxy].map { proxy throws(ConfigurationError) in
            let text = try proxy.string()
            return text == "none" ? "" : try proxy.parsed(HTTPURL.init(_:)).redacted
        }
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

    fileprivate func timeZone() throws(ConfigurationError) -> SiteTimeZone {
        let text = try string()
        guard let zone = SiteTimeZone(text) else {
            throw error(
                .invalidValue,
                "\(name): '\(text.shown)' is not a time zone: write UTC or a name of the IANA database, such as Europe/Zurich"
            )
        }
        return zone
    }

    fileprivate func windows() throws(ConfigurationError) -> [TransferWindows.Window] {
        var windows: [TransferWindows.Window] = []
        for value in try list() {
            let window = try value.mapping(AgentFile.WindowKey.self, title: "window")
            let from = try window.required(.from).timeOfDay()
            let to = try window.required(.to).timeOfDay()
            guard from < 24 * 60 else { throw window.error(at: .from, "'from' must be before 24:00") }
            guard from != to else {
                throw window.error(
                    at: .to, "'to' is 'from': the window is either empty or a whole day: write 00:00 to 24:00 for that")
            }
            windows.append(.init(days: try window[.days]?.weekdays() ?? Set(Weekday.allCases), from: from, to: to))
        }
        guard !windows.isEmpty else {
            throw error(.invalidValue, "\(name) is empty: leave it out to transfer at any time")
        }
        return windows
    }

    private func weekdays() throws(ConfigurationError) -> Set<Weekday> {
        var days: Set<Weekday> = []
        for value in try list() {
            let text = try value.string()
            guard let day = Weekday(rawValue: text) else {
                let known = Weekday.allCases.map(\.rawValue).joined(separator: ", ")
                throw value.error(.invalidValue, "'\(text.shown)' is not a day of the week: write \(known)")
            }
            days.insert(day)
        }
        guard !days.isEmpty else {
            throw error(.invalidValue, "\(name) is empty: leave it out for every day")
        }
        return days
    }

    fileprivate func hosts() throws(ConfigurationError) -> [String: AgentFile.Host] {
        var hosts: [String: AgentFile.Host] = [:]
        for (key, value) in try pairs() {
            let text = try key.keyText()
            // The URL's parser is the one that decides whom a connection goes to.
            guard !text.contains("/"), !text.contains("@"), let url = try? HTTPURL("https://\(text)"), url.query == nil
            else {
                throw key.error(.invalidValue, "'\(text.shown)' is not a host: write HOST or HOST:PORT")
            }
            let name = text.hasSuffix(":443") ? "\(url.host):443" : url.authority
            guard hosts.updateValue(try AgentFile.Host(value), forKey: name) == nil else {
                throw key.error(.invalidValue, "the host '\(name)' is listed twice")
            }
        }
        return hosts
    }
}
