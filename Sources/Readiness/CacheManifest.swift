public import OCI

/// A site's statement of what it verified in its regional registry.
///
/// One object per site, replaced whole by the site's agent. It proves nothing by itself: `compare` decides.
public struct CacheManifest: Hashable, Sendable {
    /// How an agent looked at what its registry holds.
    public enum Depth: String, Sendable, Codable {
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
        /// What was not found, or was found damaged, in the closure's order.
        public let missing: [ClosureEntry]
        /// When the entry that was looked at longest ago was looked at.
        public let verifiedAt: Timestamp
        /// How the agent looked; of several ways, the shallowest.
        public let depth: Depth

        /// - Parameters:
        ///   - list: the list that was verified against
        ///   - missing: the entries of its closure that were not found
        ///   - verifiedAt: when the entry that was looked at longest ago was looked at
        ///   - depth: how the agent looked
        public init(of list: ImageList, missing: some Sequence<ClosureEntry>, verifiedAt: Timestamp, depth: Depth) {
            let absent = Set(missing.map(\.identity))
            let found =
                absent.isEmpty ? list.closure : Closure(list.closure.entries.filter { !absent.contains($0.identity) })
            self.list = list.name
            generation = list.generation
            root = found.root
            entries = found.entries.count
            bytes = found.uniqueBytes
            self.missing = list.closure.entries.filter { absent.contains($0.identity) }
            self.verifiedAt = verifiedAt
            self.depth = depth
        }

        /// The sum of the distinct missing digests' sizes in bytes.
        public var missingBytes: Int64 { Closure(missing).uniqueBytes }
    }

    /// The environment that the site belongs to.
    public let environment: EnvironmentName
    /// The site.
    public let site: SiteName
    /// One more than in the site's manifest before.
    public let sequence: Int64
    /// When the agent wrote it.
    public let issuedAt: Timestamp
    /// When it stops to be proof.
    public let expiresAt: Timestamp
    /// The version of the agent that wrote it.
    public let agentVersion: String
    /// What the site verified, sorted by list and generation: staged and promoted generations alike.
    public let holdings: [Holding]

    /// - Parameters:
    ///   - environment: the environment that the site belongs to
    ///   - site: the site
    ///   - sequence: one more than in the site's manifest before
    ///   - issuedAt: when it is written
    ///   - expiresAt: when it stops to be proof
    ///   - agentVersion: the version of the agent that writes it
    ///   - holdings: what the site verified, in any order
    /// - Throws: `ReadinessError.invalidManifest` for times out of order, a negative sequence, or two holdings of one
    ///   generation.
    public init(
        environment: EnvironmentName, site: SiteName, sequence: Int64, issuedAt: Timestamp, expiresAt: Timestamp,
        agentVersion: String, holdings: [Holding]
    ) throws(ReadinessError) {
        func refuse(_ message: String) -> ReadinessError { ReadinessError(.invalidManifest, message) }
        guard sequence >= 0 else { throw refuse("its sequence number is \(sequence)") }
        guard issuedAt < expiresAt else {
            throw refuse("it expires at \(expiresAt), before it was issued at \(issuedAt)")
        }
        if let early = holdings.first(where: { $0.verifiedAt > issuedAt }) {
            throw refuse(
                "'\(early.list)' was verified at \(early.verifiedAt), after the manifest was issued at \(issuedAt)")
        }
        if let generation = repeated(holdings.map { [$0.list.text, $0.generation.description] }) {
            throw refuse("it has '\(generation[0])' of generation \(generation[1]) twice")
        }
        self.environment = environment
        self.site = site
        self.sequence = sequence
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
        self.agentVersion = agentVersion
        self.holdings = holdings.sorted { ($0.list, $0.generation) < ($1.list, $1.generation) }
    }
}

extension CacheManifest {
    /// The manifest as the object that the central store holds: indented JSON with sorted keys.
    ///
    /// - Throws: `ReadinessError.invalidManifest` where it cannot be written as JSON.
    public func documentBytes() throws(ReadinessError) -> [UInt8] {
        try Document.encode(Fields(self), .invalidManifest)
    }

    /// Reads a stored cache manifest.
    ///
    /// - Parameters:
    ///   - bytes: the object
    ///   - origin: the object's key, for messages
    /// - Throws: `ReadinessError.invalidManifest`, or `.unknownSchema` for a newer version.
    public init(parsing bytes: [UInt8], in origin: String? = nil) throws(ReadinessError) {
        let fields = try Document.decode(Fields.self, from: bytes, .invalidManifest, in: origin)
        do {
            self = try CacheManifest(
                environment: fields.environment, site: fields.site, sequence: fields.sequence,
                issuedAt: fields.issuedAt,
                expiresAt: fields.expiresAt, agentVersion: fields.agentVersion, holdings: fields.lists)
        } catch {
            throw ReadinessError(error.code, error.message, in: origin)
        }
    }

    private struct Fields: Codable {
        let schema: String
        let environment: EnvironmentName
        let site: SiteName
        let sequence: Int64
        let issuedAt: Timestamp
        let expiresAt: Timestamp
        let agentVersion: String
        let lists: [Holding]

        init(_ manifest: CacheManifest) {
            schema = Schema.cacheManifest.id
            environment = manifest.environment
            site = manifest.site
            sequence = manifest.sequence
            issuedAt = manifest.issuedAt
            expiresAt = manifest.expiresAt
            agentVersion = manifest.agentVersion
            lists = manifest.holdings
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            schema = try container.decode(String.self, forKey: .schema)
            try Schema.cacheManifest.require(schema)
            environment = try container.decode(EnvironmentName.self, forKey: .environment)
            site = try container.decode(SiteName.self, forKey: .site)
            sequence = try container.decode(Int64.self, forKey: .sequence)
            issuedAt = try container.decode(Timestamp.self, forKey: .issuedAt)
            expiresAt = try container.decode(Timestamp.self, forKey: .expiresAt)
            agentVersion = try container.decode(String.self, forKey: .agentVersion)
            lists = try container.decode([Holding].self, forKey: .lists)
        }
    }
}

extension CacheManifest.Holding: Codable {
    private enum CodingKeys: String, CodingKey {
        case list = "name"
        case generation
        case root = "verifiedRoot"
        case entries, bytes, missing, verifiedAt, depth
    }
    private enum DerivedKeys: CodingKey { case missingEntries, missingBytes }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        list = try container.decode(ListName.self, forKey: .list)
        generation = try container.decode(Digest.self, forKey: .generation)
        root = try container.decode(Digest.self, forKey: .root)
        entries = try container.decode(Int.self, forKey: .entries)
        bytes = try container.decode(Int64.self, forKey: .bytes)
        missing = try container.decode([ClosureEntry].self, forKey: .missing)
        verifiedAt = try container.decode(Timestamp.self, forKey: .verifiedAt)
        depth = try container.decode(CacheManifest.Depth.self, forKey: .depth)
        // Sizes are summed up for the tables: what cannot be one must not overflow the sum.
        guard missing.count <= ImageList.maximumEntries,
            missing.allSatisfy({ (0...Descriptor.maximumSize).contains($0.size) })
        else {
            throw ReadinessError(
                .invalidManifest, "the missing entries of '\(list)' are too many or have impossible sizes")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(list, forKey: .list)
        try container.encode(generation, forKey: .generation)
        try container.encode(root, forKey: .root)
        try container.encode(entries, forKey: .entries)
        try container.encode(bytes, forKey: .bytes)
        try container.encode(missing, forKey: .missing)
        try container.encode(verifiedAt, forKey: .verifiedAt)
        try container.encode(depth, forKey: .depth)
        // For people and their tools; readers compute them.
        var derived = encoder.container(keyedBy: DerivedKeys.self)
        try derived.encode(missing.count, forKey: .missingEntries)
        try derived.encode(missingBytes, forKey: .missingBytes)
    }
}
