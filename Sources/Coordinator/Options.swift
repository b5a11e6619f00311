import ArgumentParser
import ConfigurationFiles
import Console
import FoundationEssentials
import Glibc
import OCI
import ObjectStore
import Readiness
import Trust

/// Where the fleet file is.
struct FleetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The fleet file; otherwise \(FleetFile.variable) names it, or it is ./\(FleetFile.defaultPath).",
            valueName: "file"))
    var fleet: String?

    @Option(
        help: ArgumentHelp(
            "The key that signs what is recorded of this command; otherwise \(Self.keyVariable) may name it.",
            valueName: "file"))
    var signingKey: String?

    @OptionGroup var store: StoreOptions

    /// The variable that names the signing key where no option does.
    static let keyVariable = "ROLLCALL_SIGNING_KEY"

    /// The fleet alone.
    func read() throws -> Fleet {
        try FleetFile.read(option: fleet, environment: ProcessInfo.processInfo.environment)
    }

    /// The fleet, its store, and who uses it.
    func open() throws -> (fleet: Fleet, central: CentralStore, actor: Actor) {
        let fleet = try read()
        let key = try key
        return (
            fleet,
            CentralStore(
                try fleet.objectStore.openKeeping(access), signingKey: key, clock: { .current },
                keeping: fleet.objectStore.sightings(access)),
            Actor(key: key?.publicKey)
        )
    }

    /// The fleet for a process that outlives changes of its file.
    func watch() throws -> LiveFleet {
        LiveFleet(
            path: FleetFile.path(option: fleet, environment: ProcessInfo.processInfo.environment), access: access,
            signingKey: try key)
    }

    /// The key that signs what is recorded; `nil` where none is named.
    var key: PrivateKey? {
        get throws(TrustError) {
            let variable = ProcessInfo.processInfo.environment[Self.keyVariable].flatMap { $0.isEmpty ? nil : $0 }
            guard let path = signingKey ?? variable else { return nil }
            return try PrivateKey(path: path)
        }
    }

    /// What the object store is opened with.
    var access: ObjectStoreAccess {
        ObjectStoreAccess(environment: ProcessInfo.processInfo.environment, singleWriter: store.singleWriter)
    }
}

extension ObjectStoreLocation {
    /// The variable that names where objects of an S3 store are kept; `none` for nowhere.
    static let cacheVariable = "ROLLCALL_CACHE"

    /// The object store at this location. Of an S3 store, objects are kept here as they were last read, so that what has
    /// not changed is not fetched again; a directory needs no such thing.
    func openKeeping(_ access: ObjectStoreAccess) throws(ObjectStoreError) -> any ObjectStore {
        guard case .s3 = self else { return try open(access) }
        let root = Self.kept(access)
        var access = access
        access.notes = root.map { "\($0)/notes" }
        return CachedStore(try open(access), directory: root.map { "\($0)/store-\(shortName)" })
    }

    /// Where it is kept what was seen of an S3 store: beside the notes; `nil` for nowhere.
    func sightings(_ access: ObjectStoreAccess) -> String? {
        guard case .s3 = self else { return nil }
        return Self.kept(access).map { "\($0)/notes/seen-\(shortName).json" }
    }

    private var shortName: Substring { Digest(of: Array(description.utf8)).hex.prefix(16) }

    /// The directory for what is kept of S3 stores; `nil` for nowhere.
    static func kept(_ access: ObjectStoreAccess) -> String? {
        func value(_ name: String) -> String? { access.environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let named =
            value(cacheVariable)
            ?? value("XDG_CACHE_HOME").map { "\($0)/rollcall" } ?? value("HOME").map { "\($0)/.cache/rollcall" }
        return named.flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
}

/// Who uses the command.
struct Actor: Sendable {
    /// The process's user and host.
    let name = Product.processOwner
    /// The key that signs what is recorded, if any.
    let key: PublicKey?

    /// The user acts now.
    var act: Act { Act(by: name, at: .current, key: key) }
}

/// Which environment.
struct EnvironmentOptions: ParsableArguments {
    @Option(
        name: [.short, .long], help: "The environment, by its name in the fleet file.",
        transform: EnvironmentName.init(_:))
    var environment: EnvironmentName
}

/// How results are written.
struct OutputOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "table for people, json for programs.")
    var output = OutputForm.table

    @OptionGroup var colour: ColourOptions
}

extension OutputForm: ExpressibleByArgument {}

extension Timestamp {
    /// The system's time.
    static var current: Timestamp { Timestamp(seconds: Int64(time(nil))) }
}
