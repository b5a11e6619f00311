import ConfigurationFiles
import GateServer
import Logging
import OCI
import ObjectStore
import Readiness
import ServiceLifecycle
import Serving
import Trust

/// The fleet as its file says now, for a process that outlives changes of the file.
///
/// A site that the file names since a minute ago must not be missing from an answer that is given now. So the file is
/// looked at for every decision, and read when it has changed; while it cannot be read, nothing is decided.
actor LiveFleet {
    private struct Reading {
        let identity: FileIdentity
        let fleet: Fleet
        let central: CentralStore
    }

    private let path: String
    private let access: ObjectStoreAccess
    private let signingKey: PrivateKey?
    /// Who decides: what the audit records name.
    nonisolated let actor: Actor
    private var reading: Reading?

    init(path: String, access: ObjectStoreAccess, signingKey: PrivateKey?) {
        self.path = path
        self.access = access
        self.signingKey = signingKey
        actor = Actor(key: signingKey?.publicKey)
    }

    /// - Throws: `ConfigurationError`, `ObjectStoreError`
    func current() throws -> (fleet: Fleet, central: CentralStore) {
        let identity = FileIdentity(of: path)
        if let reading, reading.identity == identity { return (reading.fleet, reading.central) }
        let fleet = try FleetFile.read(path)
        // What is known of the store's objects stays with the store.
        let central =
            if let reading, reading.fleet.objectStore == fleet.objectStore { reading.central } else {
                CentralStore(
                    try fleet.objectStore.openKeeping(access), signingKey: signingKey, clock: { .current },
                    keeping: fleet.objectStore.sightings(access))
            }
        // The identity of before the reading: a change during it is seen next time.
        reading = identity.map { Reading(identity: $0, fleet: fleet, central: central) }
        return (fleet, central)
    }
}

/// The gate of a fleet: the same decisions as `check` and `status`, in the same words.
struct FleetGate: ReadinessGate {
    let fleet: LiveFleet

    func verdict(
        on list: ListName, in environment: EnvironmentName, about subject: Verdict.Subject?, generation: Digest?
    ) async throws -> Verdict {
        let (fleet, central) = try await fleet.proved()
        return try await central.check(
            list, in: environment, of: fleet, act: self.fleet.actor.act, about: subject, generation: generation)
    }

    func document(of verdict: Verdict) throws -> String { try VerdictReport(verdict).text(.json) }

    func standing() async throws -> FleetStanding {
        // Looking needs no conditional writes, and no right to write.
        let (fleet, central) = try await fleet.current()
        return try await FleetStanding(of: fleet, in: central, at: .current)
    }

    func document(of standing: FleetStanding) throws -> String { try StatusReport(standing).text(.json) }

    func audit(_ filter: CentralStore.AuditFilter, before number: Int64?) async throws -> CentralStore.AuditPage {
        try await fleet.current().central.auditPage(filter, before: number)
    }
}

extension LiveFleet {
    /// The fleet, once its object store was proved: where that has not been done yet, who asks waits for it.
    ///
    /// - Throws: `ConfigurationError`, `ObjectStoreError`: then nothing is known
    func proved() async throws -> (fleet: Fleet, central: CentralStore) {
        let now = try current()
        try await now.central.prepare()
        return now
    }
}

/// Proves the object store from the start on: so that who asks first need not wait for it, and the log says why nobody is
/// answered. Beside the server, which answers probes of the process meanwhile.
struct StoreProof: Service {
    /// How long to wait after an attempt that failed.
    static let interval = Duration.seconds(30)

    let fleet: LiveFleet
    let logger: Logger

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while true {
                do {
                    _ = try await fleet.proved()
                    return
                } catch {
                    try Task.checkCancellation()
                    logger.warning("every gate answers 503", metadata: ["reason": "\(error)"])
                }
                try await Task.sleep(for: Self.interval)
            }
        }
    }
}
