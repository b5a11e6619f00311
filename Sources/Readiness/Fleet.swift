import OCI
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

    /// A person who may give waivers.
    public struct Approver: Hashable, Sendable {
        /// The person's name, unique within the fleet.
        public let name: ApproverName
        /// The keys that sign the person's waivers; several while keys rotate.
        public let keys: [Key]

        /// - Parameters:
        ///   - name: the person's name
        ///   - keys: the keys that sign the person's waivers
        public init(name: ApproverName, keys: [Key]) {
            self.name = name
            self.keys = keys
        }
    }

    /// Who decides, and has a key to sign that with: a person, or a pipeline that runs `rollcall`.
    public struct Coordinator: Hashable, Sendable {
        /// The name, unique among the fleet's coordinators.
        public let name: CoordinatorName
        /// The keys that sign audit records; several while keys rotate.
        public let keys: [Key]

        /// - Parameters:
        ///   - name: the name
        ///   - keys: the keys that sign audit records
        public init(name: CoordinatorName, keys: [Key]) {
            self.name = name
            self.keys = keys
        }
    }

    /// A rung of the promotion ladder.
    public struct Environment: Hashable, Sendable {
        /// How old a site's verification may be when the file does not say: 24 hours.
        public static let defaultFreshness: Duration = .seconds(24 * 60 * 60)

        /// How old the reading back of content may be where a gate asks for it, when the file does not say: 30 days.
        public static let defaultContentWithin: Duration = .seconds(30 * 24 * 60 * 60)
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
        /// How long ago a site may have read back and hashed any of a list's content for the gate to open; `nil` where
        /// presence is enough. Whole seconds.
        public let contentWithin: Duration?
        /// How many earlier promotions of each list the sites keep ready to return to.
        public let rollbackDepth: Int
        /// Who may give waivers: the fleet's approvers.
        public internal(set) var approvers: [Approver] = []
        /// Whose keys sign what is decided: the fleet's coordinators.
        public internal(set) var coordinators: [Coordinator] = []
        /// The environment before it on the ladder, in which a list has to be promoted first; `nil` for the first.
        public internal(set) var predecessor: EnvironmentName?
        /// The keys of all sites of the fleet, by their IDs: to tell whose a document is that lies in another's place.
        var owners: [String: Owner] = [:]

        /// Whose a key is.
        struct Owner: Hashable, Sendable {
            let key: PublicKey
            let site: SiteName
            let environment: EnvironmentName
        }

        /// - Parameters:
        ///   - name: the environment's name
        ///   - sites: the sites, in the file's order
        ///   - freshness: how old a site's verification may be for the gate to open
        ///   - acceptsUnsigned: whether the word of a site without a key is taken for true
        ///   - rollbackDepth: how many earlier promotions of each list the sites keep, at most
        ///     `EnvironmentRecord.maximumHistory`
        ///   - contentWithin: how long ago a site may have read back any of a list's content; `nil` where presence is enough
        /// - Throws: `ReadinessError.invalidFleet` for two sites of one name, or a freshness of either below one second.
        public init(
            name: EnvironmentName, sites: [Site], freshness: Duration = defaultFreshness, acceptsUnsigned: Bool = false,
            rollbackDepth: Int = defaultRollbackDepth, contentWithin: Duration? = nil
        ) throws(ReadinessError) {
            if let name = repeated(sites.map(\.name)) {
                throw ReadinessError(.invalidFleet, "the site '\(name)' is named twice: site names are unique")
            }
            guard min(freshness, contentWithin ?? freshness) >= .seconds(1) else {
                throw ReadinessError(
                    .invalidFleet, "the freshness of '\(name)' is below one second: nothing is ever fresh")
            }
            self.name = name
            self.sites = sites
            self.freshness = freshness
            self.acceptsUnsigned = acceptsUnsigned
            self.contentWithin = contentWithin
            self.rollbackDepth = min(max(0, rollbackDepth), EnvironmentRecord.maximumHistory)
        }
    }

    /// Where the central object store is.
    public let objectStore: ObjectStoreLocation
    /// The environments, in ladder order: a list climbs from the first to the last.
    public let environments: [Environment]
    /// Who may give waivers.
    public let approvers: [Approver]
    /// Whose signatures of audit records are known; empty where nobody's are.
    public let coordinators: [Coordinator]

    /// - Parameters:
    ///   - objectStore: where the central object store is
    ///   - environments: the environments, in ladder order
    ///   - approvers: who may give waivers
    ///   - coordinators: whose signatures of audit records are known
    /// - Throws: `ReadinessError.invalidFleet` for two environments, approvers or coordinators of one name, one key of two of
    ///   approvers, coordinators and sites, or no environment at all.
    public init(
        objectStore: ObjectStoreLocation, environments: [Environment], approvers: [Approver] = [],
        coordinators: [Coordinator] = []
    ) throws(ReadinessError) {
        guard !environments.isEmpty else {
            throw ReadinessError(.invalidFleet, "the fleet has no environments: name at least one, with its sites")
        }
        if let name = repeated(environments.map(\.name)) {
            throw ReadinessError(
                .invalidFleet, "the environment '\(name)' is named twice: environment names are unique")
        }
        if let name = repeated(approvers.map(\.name)) {
            throw ReadinessError(.invalidFleet, "the approver '\(name)' is named twice: approver names are unique")
        }
        if let name = repeated(coordinators.map(\.name)) {
            throw ReadinessError(
                .invalidFleet, "the coordinator '\(name)' is named twice: coordinator names are unique")
        }
        // Whose word something is must be beyond doubt.
        let siteKeys = Set(environments.flatMap { $0.sites.flatMap { $0.keys.map(\.publicKey) } })
        let owners =
            approvers.map { ("an approver", Set($0.keys.map(\.publicKey))) }
            + coordinators.map { ("a coordinator", Set($0.keys.map(\.publicKey))) }
        var taken = siteKeys
        for (owner, keys) in owners {
            if let key = keys.first(where: taken.contains) {
                throw ReadinessError(
                    .invalidFleet,
                    "the key \(key) of \(owner) is another's or a site's too: make one for each")
            }
            taken.formUnion(keys)
        }
        self.objectStore = objectStore
        self.approvers = approvers
        self.coordinators = coordinators
        let siteOwners = Dictionary(
            environments.flatMap { environment in
                environment.sites.flatMap { site in
                    site.keys.map { key in
                        let owner = Environment.Owner(
                            key: key.publicKey, site: site.name, environment: environment.name)
                        return (key.publicKey.id.description, owner)
                    }
                }
            }, uniquingKeysWith: { first, _ in first })
        self.environments = environments.indices.map { index in
            var environment = environments[index]
            environment.approvers = approvers
            environment.predecessor = index > 0 ? environments[index - 1].name : nil
            environment.coordinators = coordinators
            environment.owners = siteOwners
            return environment
        }
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
