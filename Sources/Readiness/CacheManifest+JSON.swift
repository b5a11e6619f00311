import OCI
public import Trust

extension CacheManifest {
    /// The manifest as a document: indented JSON with sorted keys.
    ///
    /// - Throws: `ReadinessError.invalidManifest` where it cannot be written as JSON.
    public func documentBytes() throws(ReadinessError) -> [UInt8] {
        try Document.encode(Fields(self), .invalidManifest)
    }

    /// The manifest as the object that the central store holds: the document in an envelope that a key signed, or as it
    /// is.
    ///
    /// - Parameter key: the site's key; `nil` for a site that has none
    /// - Throws: `ReadinessError.invalidManifest` where it cannot be written or signed, or is too large.
    public func objectBytes(signedBy key: PrivateKey?) throws(ReadinessError) -> [UInt8] {
        let document = try documentBytes()
        let object = try key.map { key throws(ReadinessError) in try Schema.cacheManifest.sign(document, with: key) }
        guard (object ?? document).count <= Self.maximumSize else {
            throw ReadinessError(
                .invalidManifest, "it would have more than \(Self.maximumSize) bytes: stage fewer lists at once")
        }
        return object ?? document
    }

    /// Reads a cache manifest's document.
    ///
    /// - Parameters:
    ///   - bytes: the document
    ///   - origin: the object's key, for messages
    /// - Throws: `ReadinessError.invalidManifest`, or `.unknownSchema` for a newer version.
    public init(parsing bytes: [UInt8], in origin: String? = nil) throws(ReadinessError) {
        let fields = try Document.decode(Fields.self, from: bytes, .invalidManifest, in: origin)
        do {
            self = try CacheManifest(
                environment: fields.environment, site: fields.site, sequence: fields.sequence,
                issuedAt: fields.issuedAt,
                expiresAt: fields.expiresAt, agentVersion: fields.agentVersion, holdings: fields.lists,
                progress: fields.progress,
                auditHead: fields.auditHead.map { text throws(ReadinessError) in try AuditHead(text) },
                shard: fields.shard)
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
        let progress: Progress?
        let auditHead: String?
        let shard: Shard?

        init(_ manifest: CacheManifest) {
            schema = Schema.cacheManifest.id
            environment = manifest.environment
            site = manifest.site
            sequence = manifest.sequence
            issuedAt = manifest.issuedAt
            expiresAt = manifest.expiresAt
            agentVersion = manifest.agentVersion
            lists = manifest.holdings
            progress = manifest.progress
            auditHead = manifest.auditHead?.description
            shard = manifest.shard
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
            progress = try container.decodeIfPresent(Progress.self, forKey: .progress)
            auditHead = try container.decodeIfPresent(String.self, forKey: .auditHead)
            shard = try container.decodeIfPresent(Shard.self, forKey: .shard)
        }
    }
}

extension CacheManifest.Holding: Codable {
    private enum CodingKeys: String, CodingKey {
        case list = "name"
        case generation
        case root = "verifiedRoot"
        case entries, bytes, missing, missingEntries, missingBytes, verifiedAt, depth, contentVerifiedAt
    }

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
        missingEntries = try container.decode(Int.self, forKey: .missingEntries)
        missingBytes = try container.decode(Int64.self, forKey: .missingBytes)
        contentVerifiedAt = try container.decodeIfPresent(Timestamp.self, forKey: .contentVerifiedAt)
        guard missing.count == min(missingEntries, Self.maximumNamed), missingEntries <= ImageList.maximumEntries,
            (0...ImageList.maximumEntries).contains(entries), bytes >= 0, missingBytes >= 0
        else {
            throw ReadinessError(
                .invalidManifest, "the numbers of entries of '\(list)' contradict each other or are impossible")
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
        try container.encode(missingEntries, forKey: .missingEntries)
        try container.encode(missingBytes, forKey: .missingBytes)
        try container.encode(verifiedAt, forKey: .verifiedAt)
        try container.encode(depth, forKey: .depth)
        try container.encodeIfPresent(contentVerifiedAt, forKey: .contentVerifiedAt)
    }
}
