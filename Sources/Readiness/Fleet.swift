public import ObjectStore
public import Trust

/// The fleet file's content: where the central object store is, and the environments in ladder order with their sites.
public struct Fleet: Hashable, Sendable {
    /// One datacenter or region of an environment, with one regional registry and one agent.
    public struct Site: Hashable, Sendable {
        /// The site's name, unique within its environment.
        public let name: SiteName
        /// The URL of the site's regional registry, as the file has it.
        public let registry: String
        /// The keys that sign the site's cache manifests, those that are valid longest first; several while keys rotate.
        /// Without any, nothing that the site says can be checked.
        public let keys: [Key]

        /// - Parameters:
        ///   - name: the site's name
        ///   - registry: the URL of its regional registry
        ///   - keys: the keys that sign its cache manifests, in any order
        public init(name: SiteName, registry: String, keys: [Key] = []) {
            self.name = name
            self.registry = registry
            self.keys = keys.enumerated().sorted { left, right in
                let (leftEnd, rightEnd) = (left.element.lastSecond, right.element.lastSecond)
                return leftEnd == rightEnd ? left.offset < right.offset : leftEnd > rightEnd
            }.map(\.element)
        }
    }

    /// A public key, and how long it is valid.
    public struct Key: Hashable, Sendable {
        /// The most keys that one site or person may have: eight.
        public static let maximumCount = 8

        /// The key.
        public let publicKey: PublicKey
        /// The last moment, by the coordinator's clock, at which the key proves anything; `nil` for no end.
        public let notAfter: Timestamp?

        /// - Parameters:
        ///   - publicKey: the key
        ///   - notAfter: the last moment at which it proves anything
        public init(_ publicKey: PublicKey, notAfter: Timestamp? = nil) {
            self.publicKey = publicKey
            self.notAfter = notAfter
        }

        fileprivate var lastSecond: Int64 { notAfter?.seconds ?? .max }
    }

    /// A rung of the promotion ladder.
    public struct Environment: Hashable, Sendable {
        /// How old a site's verification may be when the file does not say: 24 hours.
        public static let defaultFreshness: Duration = .seconds(24 * 60 * 60)

        /// How many earlier promotions of a list sites keep when the file does not say: one.
        public static let defaultRollbackDepth = 1

        /// The environment's name, unique within the fleet.
        public let name: EnvironmentName
        /// The sites. An environment without sites is valid, and never ready.
        public let sites: [Site]
        /// How old a site's verification may be for the gate to open; whole seconds.
        public let freshness: Duration
        /// Whether the word of a site without a key is taken for true. Every answer that rests on it says so.
        public let acceptsUnsigned: Bool
        /// How many earlier promotions of each list the sites keep ready to return to.
        public let rollbackDepth: Int

        /// - Parameters:
        ///   - name: the environment's name
        ///   - sites: the sites, in the file's order
        ///   - freshness: how old a site's verification may be for the gate to open
        ///   - acceptsUnsigned: whether the word of a site without a key is taken for true
        ///   - rollbackDepth: how many earlier promotions of each list the sites keep, at most
        ///     `EnvironmentRecord.maximumHistory`
        /// - Throws: `ReadinessError.invalidFleet` for two sites of one name or a freshness below one second.
        public init(
            name: EnvironmentName, sites: [Site], freshness: Duration = defaultFreshness, acceptsUnsigned: Bool = false,
            rollbackDepth: Int = defaultRollbackDepth
        ) throws(ReadinessError) {
            if let name = repeated(sites.map(\.name)) {
                throw ReadinessError(.invalidFleet, "the site '\(name)' is named twice: site names are unique")
            }
            guard freshness >= .seconds(1) else {
                throw ReadinessError(
                    .invalidFleet, "the freshness of '\(name)' is below one second: nothing is ever fresh")
            }
            self.name = name
            self.sites = sites
            self.freshness = freshness
            self.acceptsUnsigned = acceptsUnsigned
            self.rollbackDepth = min(max(0, rollbackDepth), EnvironmentRecord.maximumHistory)
        }
    }

    /// Where the central object store is.
    public let objectStore: ObjectStoreLocation
    /// The environments, in ladder order: a list climbs from the first to the last.
    public let environments: [Environment]

    /// - Parameters:
    ///   - objectStore: where the central object store is
    ///   - environments: the environments, in ladder order
    /// - Throws: `ReadinessError.invalidFleet` for two environments of one name, or none at all.
    public init(objectStore: ObjectStoreLocation, environments: [Environment]) throws(ReadinessError) {
        guard !environments.isEmpty else {
            throw ReadinessError(.invalidFleet, "the fleet has no environments: name at least one, with its sites")
        }
        if let name = repeated(environments.map(\.name)) {
            throw ReadinessError(
                .invalidFleet, "the environment '\(name)' is named twice: environment names are unique")
        }
        self.objectStore = objectStore
        self.environments = environments
    }

    /// The environment of a name.
    ///
    /// - Throws: `ReadinessError.invalidFleet` naming the environments that there are.
    public func environment(_ name: EnvironmentName) throws(ReadinessError) -> Environment {
        guard let environment = environments.first(where: { $0.name == name }) else {
            throw ReadinessError(
                .invalidFleet,
                "the fleet has no environment '\(name)': it has \(environments.map(\.name.text).joined(separator: ", "))"
            )
        }
        return environment
    }

    /// The environment before another on the ladder; `nil` for the first and for one that the fleet does not have.
    public func predecessor(of name: EnvironmentName) -> Environment? {
        guard let index = environments.firstIndex(where: { $0.name == name }), index > 0 else { return nil }
        return environments[index - 1]
    }
}

/// The first value that occurs a second time.
func repeated<Value: Hashable>(_ values: some Sequence<Value>) -> Value? {
    var seen: Set<Value> = []
    return values.first { !seen.insert($0).inserted }
}
