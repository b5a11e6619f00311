public import OCI

/// A site's statement of what it verified in its regional registry.
///
/// One object per site, replaced whole by the site's agent, and signed with its key. It proves nothing by itself: `compare`
/// decides.
public struct CacheManifest: Hashable, Sendable {
    /// The largest stored cache manifest that is read, in bytes: 16 MiB.
    public static let maximumSize = 16 << 20

    /// How an agent looked at what its registry holds.
    public enum Depth: String, CaseIterable, Sendable, Codable {
        /// It asked the registry whether each entry exists, with its size.
        case presence
        /// It read each entry back and hashed it.
        case content
    }

    /// What the site verified for one generation of one list.
    public struct Holding: Hashable, Sendable {
        /// The list's name.
        public let list: ListName
        /// The list's generation.
        public let generation: Digest
        /// The closure root of the entries that were found; equal to the list's exactly when nothing is missing.
        public let root: Digest
        /// How many entries were found.
        public let entries: Int
        /// The sum of the distinct found digests' sizes in bytes.
        public let bytes: Int64
        /// What was not found, or was found damaged: the first entries in the closure's order, `maximumNamed` at most.
        public let missing: [ClosureEntry]
        /// How many entries were not found.
        public let missingEntries: Int
        /// The sum of the distinct missing digests' sizes in bytes.
        public let missingBytes: Int64
        /// When the entry that was looked at longest ago was looked at.
        public let verifiedAt: Timestamp
        /// How the agent looked; of several ways, the shallowest.
        public let depth: Depth
        /// When the entry whose content was read back and hashed longest ago was; `nil` while the content of some entry
        /// never was.
        public let contentVerifiedAt: Timestamp?

        /// The most missing entries that a manifest names for one list: 100. More are the difference between the list's
        /// entries and the inventory of `root`.
        public static let maximumNamed = 100

        /// - Parameters:
        ///   - list: the list that was verified against
        ///   - missing: the entries of its closure that were not found
        ///   - verifiedAt: when the entry that was looked at longest ago was looked at
        ///   - depth: how the agent looked
        ///   - contentVerifiedAt: when the entry whose content was read longest ago was read
        public init(
            of list: ImageList, missing: some Sequence<ClosureEntry>, verifiedAt: Timestamp, depth: Depth,
            contentVerifiedAt: Timestamp? = nil
        ) {
            let absent = Set(missing.map(\.identity))
            let found =
                absent.isEmpty ? list.closure : Closure(list.closure.entries.filter { !absent.contains($0.identity) })
            let lost = absent.isEmpty ? [] : list.closure.entries.filter { absent.contains($0.identity) }
            self.list = list.name
            generation = list.generation
            root = found.root
            entries = found.entries.count
            bytes = found.uniqueBytes
            self.missing = Array(lost.prefix(Self.maximumNamed))
            missingEntries = lost.count
            missingBytes = lost.isEmpty ? 0 : Closure(lost).uniqueBytes
            self.verifiedAt = verifiedAt
            self.depth = depth
            self.contentVerifiedAt = contentVerifiedAt
        }

        /// What has to be published beside the manifest, so that all that is missing can be named: the lines of what was
        /// found. `nil` where the manifest names everything.
        ///
        /// - Parameters:
        ///   - list: the list that was verified against
        ///   - missing: the entries of its closure that were not found
        public static func inventory(of list: ImageList, missing: some Sequence<ClosureEntry>) -> ClosureLines? {
            let absent = Set(missing.map(\.identity))
            guard absent.count > maximumNamed else { return nil }
            let found = list.closure.entries.filter { !absent.contains($0.identity) }
            guard list.closure.entries.count - found.count > maximumNamed else { return nil }
            return ClosureLines(Closure(found))
        }
    }

    /// How far the agent is in bringing what is missing.
    public struct Progress: Hashable, Sendable, Codable {
        /// Bytes that are here of those to bring.
        public let bytesDone: Int64
        /// Bytes to bring, each digest once.
        public let bytesTotal: Int64
        /// Bytes a second over the last seconds; `nil` where nothing is known.
        public let bytesPerSecond: Int64?
        /// When everything will be here if it goes on like this; `nil` where nothing is known.
        public let estimatedReadyAt: Timestamp?
        /// Until when nothing is transferred, as the site's windows and quotas have it; `nil` while transfers may run.
        public let pausedUntil: Timestamp?
        /// The registries that the bytes came from, those of most bytes first; at most `maximumSources`. `nil` where the
        /// agent does not say: one of before there was this key, or one that has brought nothing yet.
        public let sources: [Source]?

        /// The most sources that are named: 16.
        public static let maximumSources = 16

        /// A registry that bytes came from.
        public struct Source: Hashable, Sendable, Codable {
            /// The longest name, in bytes of UTF-8.
            public static let maximumNameLength = 300

            /// What the agent calls it: its host, with its port where that is not the usual one.
            public let name: String
            /// Bytes that it sent since the transfers began, those of failed attempts included.
            public let bytes: Int64
            /// Bytes a second over the last seconds; `nil` where nothing is known.
            public let bytesPerSecond: Int64?

            /// - Parameters:
            ///   - name: what the agent calls it
            ///   - bytes: bytes that it sent since the transfers began
            ///   - bytesPerSecond: bytes a second over the last seconds
            public init(name: String, bytes: Int64, bytesPerSecond: Int64? = nil) {
                self.name = name
                self.bytes = bytes
                self.bytesPerSecond = bytesPerSecond
            }

            fileprivate var isPossible: Bool {
                (1...Self.maximumNameLength).contains(name.utf8.count) && bytes >= 0 && (bytesPerSecond ?? 0) >= 0
            }
        }

        /// - Parameters:
        ///   - bytesDone: bytes that are here of those to bring
        ///   - bytesTotal: bytes to bring
        ///   - bytesPerSecond: bytes a second over the last seconds
        ///   - estimatedReadyAt: when everything will be here if it goes on like this
        ///   - pausedUntil: until when nothing is transferred
        ///   - sources: the registries that the bytes came from; those of most bytes are kept
        public init(
            bytesDone: Int64, bytesTotal: Int64, bytesPerSecond: Int64? = nil, estimatedReadyAt: Timestamp? = nil,
            pausedUntil: Timestamp? = nil, sources: [Source]? = nil
        ) {
            self.bytesDone = bytesDone
            self.bytesTotal = bytesTotal
            self.bytesPerSecond = bytesPerSecond
            self.estimatedReadyAt = estimatedReadyAt
            self.pausedUntil = pausedUntil
            self.sources = sources.map { sources in
                Array(sources.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }.prefix(Self.maximumSources))
            }
        }
    }

    /// The environment that the site belongs to.
    public let environment: EnvironmentName
    /// The site.
    public let site: SiteName
    /// Greater than in every manifest of the site before.
    public let sequence: Int64
    /// When the agent wrote it.
    public let issuedAt: Timestamp
    /// When it stops to be proof.
    public let expiresAt: Timestamp
    /// The version of the agent that wrote it.
    public let agentVersion: String
    /// What the site verified, sorted by list and generation: staged and promoted generations alike.
    public let holdings: [Holding]
    /// How far a transfer is that is under way; `nil` where none is.
    public let progress: Progress?
    /// The furthest end of the audit chain that the site has seen: with its signature, a witness that the chain was that
    /// long. `nil` where it has seen none.
    public let auditHead: AuditHead?
    /// Which of the site's agents says it, where several serve it; `nil` where one does. Each of them looks at everything,
    /// brings the blobs that are its own, and reads their content back: `contentVerifiedAt` is about those.
    public let shard: Shard?
    /// Which registry it speaks of; `nil` where the agent is of before there was this key.
    public let registry: Registry?

    /// - Parameters:
    ///   - environment: the environment that the site belongs to
    ///   - site: the site
    ///   - sequence: greater than in every manifest of the site before
    ///   - issuedAt: when it is written
    ///   - expiresAt: when it stops to be proof
    ///   - agentVersion: the version of the agent that writes it
    ///   - holdings: what the site verified, in any order
    ///   - progress: how far a transfer is that is under way
    ///   - auditHead: the furthest end of the audit chain that the site has seen
    ///   - shard: which of the site's agents says it, where several serve it
    ///   - registry: which registry it speaks of
    /// - Throws: `ReadinessError.invalidManifest` for times out of order, a negative sequence, or two holdings of one
    ///   generation.
    public init(
        environment: EnvironmentName, site: SiteName, sequence: Int64, issuedAt: Timestamp, expiresAt: Timestamp,
        agentVersion: String, holdings: [Holding], progress: Progress? = nil, auditHead: AuditHead? = nil,
        shard: Shard? = nil,
        registry: Registry? = nil
    ) throws(ReadinessError) {
        func refuse(_ message: String) -> ReadinessError { ReadinessError(.invalidManifest, message) }
        guard sequence >= 0 else { throw refuse("its sequence number is \(sequence)") }
        guard issuedAt < expiresAt else {
            throw refuse("it expires at \(expiresAt), before it was issued at \(issuedAt)")
        }
        if let early = holdings.first(where: { max($0.verifiedAt, $0.contentVerifiedAt ?? $0.verifiedAt) > issuedAt }) {
            throw refuse(
                "'\(early.list)' was verified at \(early.verifiedAt), after the manifest was issued at \(issuedAt)")
        }
        if let generation = repeated(holdings.map { [$0.list.text, $0.generation.description] }) {
            throw refuse("it has '\(generation[0])' of generation \(generation[1]) twice")
        }
        if let progress {
            let impossible =
                !(0...Descriptor.maximumSize).contains(progress.bytesTotal)
                || !(0...progress.bytesTotal).contains(progress.bytesDone)
                || !(0...Descriptor.maximumSize).contains(progress.bytesPerSecond ?? 0)
                || (progress.sources?.count ?? 0) > Progress.maximumSources
                || progress.sources?.allSatisfy(\.isPossible) == false
            if impossible { throw refuse("its figures of progress contradict each other or are impossible") }
        }
        if let url = registry?.url, url.utf8.count > Registry.maximumLength {
            throw refuse("the URL of its registry has more than \(Registry.maximumLength) bytes")
        }
        self.environment = environment
        self.site = site
        self.sequence = sequence
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
        self.agentVersion = agentVersion
        self.holdings = holdings.sorted { ($0.list, $0.generation) < ($1.list, $1.generation) }
        self.progress = progress
        self.auditHead = auditHead
        self.shard = shard
        self.registry = registry
    }
}
