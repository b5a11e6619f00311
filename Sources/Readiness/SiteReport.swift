public import OCI
public import Trust

/// What is known of a site: what the central object store holds at its place, and whose word it is.
public struct SiteReport: Hashable, Sendable {
    /// What an object at a site's place turned out to be.
    public enum Content: Hashable, Sendable {
        /// A cache manifest that one of the site's keys signed.
        case signed(CacheManifest, by: PublicKey)
        /// A cache manifest that nobody vouches for: it is not signed, or the site has no key to check its signature with.
        case unproved(CacheManifest)
        /// A signed document that no key of the site signed; the key IDs that it names. Its content was not looked at.
        case wronglySigned([String])
        /// A cache manifest of another site of the fleet, which that one's key signed.
        case misplaced(of: SiteName, in: EnvironmentName)
        /// Something that is no cache manifest this version can read; the reason in words.
        case unreadable(String)
    }

    /// What the object turned out to be.
    public let content: Content
    /// The SHA-256 of the object: the evidence that a decision names.
    public let digest: Digest

    /// - Parameters:
    ///   - content: what the object turned out to be
    ///   - digest: the SHA-256 of the object
    public init(_ content: Content, digest: Digest) {
        self.content = content
        self.digest = digest
    }

    /// Checks the signature of a site's object, and then reads it.
    ///
    /// - Parameters:
    ///   - object: the stored bytes
    ///   - keys: the site's keys; those that are valid longest first
    public init(reading object: [UInt8], keys: [PublicKey]) {
        self.init(reading: object, keys: keys, owners: [:])
    }

    /// The same, telling whose it is where it is another site's.
    init(reading object: [UInt8], keys: [PublicKey], owners: [String: Fleet.Environment.Owner]) {
        self.init(Self.content(of: object, keys: keys, owners: owners), digest: Digest(of: object))
    }

    /// What a cache manifest says, whoever vouches for it; `nil` where there is none to read.
    public var manifest: CacheManifest? {
        switch content {
        case .signed(let manifest, by: _), .unproved(let manifest): manifest
        case .wronglySigned, .misplaced, .unreadable: nil
        }
    }

    private static func content(
        of object: [UInt8], keys: [PublicKey], owners: [String: Fleet.Environment.Owner]
    ) -> Content {
        guard object.count <= CacheManifest.maximumSize else {
            return .unreadable("it has \(object.count) bytes, and at most \(CacheManifest.maximumSize) are read")
        }
        do throws(ReadinessError) {
            guard let envelope = try Schema.cacheManifest.envelope(object, .invalidManifest) else {
                return .unproved(try CacheManifest(parsing: object))
            }
            guard let signer = envelope.signer(among: keys) else {
                // Only those that it names: nobody makes a reader try every key of a large fleet.
                let named = envelope.signatures.compactMap { owners[$0.keyID] }
                if let owner = named.first(where: { envelope.signer(among: [$0.key]) != nil }),
                    let manifest = try? CacheManifest(parsing: envelope.payload), manifest.site == owner.site,
                    manifest.environment == owner.environment
                {
                    return .misplaced(of: manifest.site, in: manifest.environment)
                }
                guard keys.isEmpty else { return .wronglySigned(envelope.signatures.map(\.keyID)) }
                return .unproved(try CacheManifest(parsing: envelope.payload))
            }
            return .signed(try CacheManifest(parsing: envelope.payload), by: signer)
        } catch {
            return .unreadable(error.message)
        }
    }
}
