import HTTP
public import Readiness
import ObjectStore
import Trust

/// The fleet file: the central object store, and the environments in ladder order with their sites.
public enum FleetFile {
    /// The variable that names the file where no option does.
    public static let variable = "ROLLCALL_FLEET"
    /// The file that is read where neither an option nor the variable names one.
    public static let defaultPath = "fleet.yaml"

    /// Reads the fleet file from where the user says that it is: the option, else `ROLLCALL_FLEET`, else `fleet.yaml`
    /// in the working directory.
    ///
    /// - Parameters:
    ///   - option: the value of `--fleet`, if it was given
    ///   - environment: the process environment
    public static func read(
        option: String?, environment: [String: String]
    ) throws(ConfigurationError) -> Fleet {
        try read(path(option: option, environment: environment))
    }

    /// Where the fleet file is, as `read(option:environment:)` finds it.
    public static func path(option: String?, environment: [String: String]) -> String {
        // An empty variable is how shells unset one for a single command.
        option ?? environment[variable].flatMap { $0.isEmpty ? nil : $0 } ?? defaultPath
    }

    /// Reads a fleet file of at most 1 MiB.
    public static func read(_ path: String) throws(ConfigurationError) -> Fleet {
        do {
            return try fleet(Document(path: path, title: title, limit: Document.settingsLimit))
        } catch  where error.code == .unreadable && path == defaultPath {
            throw ConfigurationError(
                .unreadable, "\(error.message): name the file with --fleet or \(Self.variable)", in: error.file)
        }
    }

    /// Reads a fleet file's text.
    ///
    /// - Parameters:
    ///   - text: the content
    ///   - path: the name by which messages call it
    static func parse(_ text: String, path: String) throws(ConfigurationError) -> Fleet {
        try fleet(Document(text: text, path: path, title: title))
    }

    private static let title = "the fleet file"

    private static func fleet(_ document: Document) throws(ConfigurationError) -> Fleet {
        let file = try document.root.mapping(Key.self, title: title)
        let location = try file.value(.objectStore).objectStoreLocation()
        let list = try file.value(.environments)
        var environments: [Fleet.Environment] = []
        for value in try list.list() { environments.append(try environment(value)) }
        var approvers: [Fleet.Approver] = []
        for value in try file[.approvers]?.list() ?? [] {
            let keys = try value.mapping(ApproverKey.self, title: "approver")
            let name = try keys.value(.name).parsed(ApproverName.init(_:))
            if keys[.publicKeys] == nil { _ = try keys.value(.publicKey) }
            approvers.append(
                Fleet.Approver(
                    name: name, keys: try value.publicKeys(one: keys[.publicKey], several: keys[.publicKeys])))
        }
        var coordinators: [Fleet.Coordinator] = []
        for value in try file[.coordinators]?.list() ?? [] {
            let keys = try value.mapping(CoordinatorKey.self, title: "coordinator")
            let name = try keys.value(.name).parsed(CoordinatorName.init(_:))
            if keys[.publicKeys] == nil { _ = try keys.value(.publicKey) }
            coordinators.append(
                Fleet.Coordinator(
                    name: name, keys: try value.publicKeys(one: keys[.publicKey], several: keys[.publicKeys])))
        }
        do {
            return try Fleet(
                objectStore: location, environments: environments, approvers: approvers, coordinators: coordinators)
        } catch {
            throw list.error(.invalidValue, error.message)
        }
    }

    private static func environment(_ value: Value) throws(ConfigurationError) -> Fleet.Environment {
        let keys = try value.mapping(EnvironmentKey.self, title: "environment")
        let name = try keys.value(.name).parsed(EnvironmentName.init(_:))
        let list = try keys.value(.sites)
        var sites: [Fleet.Site] = []
        for value in try list.list() {
            let site = try value.mapping(SiteKey.self, title: "site")
            sites.append(
                Fleet.Site(
                    name: try site.value(.name).parsed(SiteName.init(_:)),
                    registry: try site.value(.registry).registryURL().text,
                    keys: try value.publicKeys(one: site[.publicKey], several: site[.publicKeys])))
        }
        let unsigned: UnsignedManifests = try keys.value(.unsignedManifests).choice()
        let rollbackDepth = try keys.value(.rollbackDepth).integer()
        let freshness = try keys.value(.freshness).duration()
        let contentWithin = try contentWithin(keys)
        do {
            return try Fleet.Environment(
                name: name, sites: sites, freshness: freshness, acceptsUnsigned: unsigned == .accept,
                rollbackDepth: rollbackDepth, contentWithin: contentWithin)
        } catch {
            throw list.error(.invalidValue, error.message)
        }
    }

    /// How deep the proof must be: `depth: content`, with `contentWithin` or its standard.
    private static func contentWithin(_ keys: Mapping<EnvironmentKey>) throws(ConfigurationError) -> Duration? {
        let depth: CacheManifest.Depth = try keys.value(.depth).choice()
        let within = try keys.value(.contentWithin).duration()
        guard depth == .presence else { return within }
        guard keys[.contentWithin] == nil else {
            throw keys.error(
                at: .contentWithin,
                "'contentWithin' is for 'depth: content': write that too, or leave 'contentWithin' out")
        }
        return nil
    }
}

extension Value {
    /// `publicKey: KEY`, or `publicKeys:` with several, each a `KEY` or `{key: KEY, notAfter: TIME}`.
    func publicKeys(one: Value?, several: Value?) throws(ConfigurationError) -> [Fleet.Key] {
        guard let several else { return try one.map { one throws(ConfigurationError) in [try one.publicKey()] } ?? [] }
        guard one == nil else {
            throw several.error(.invalidValue, "'publicKey' and 'publicKeys' are both there: write one of them")
        }
        var keys: [Fleet.Key] = []
        for value in try several.list() {
            let key = try value.publicKey()
            guard !keys.contains(where: { $0.publicKey == key.publicKey }) else {
                throw value.error(.invalidValue, "the key \(key.publicKey) is listed twice")
            }
            keys.append(key)
        }
        guard (1...Fleet.Key.maximumCount).contains(keys.count) else {
            throw several.error(
                .invalidValue, "'publicKeys' has \(keys.count) keys: write 1 to \(Fleet.Key.maximumCount)")
        }
        return keys
    }

    private func publicKey() throws(ConfigurationError) -> Fleet.Key {
        guard isMapping else { return Fleet.Key(try parsed(PublicKey.init(_:))) }
        let keys = try mapping(FleetFile.PublicKeyKey.self, title: "public key")
        return Fleet.Key(
            try keys.value(.key).parsed(PublicKey.init(_:)),
            notAfter: try keys[.notAfter]?.parsed(Timestamp.init(_:)))
    }
}
