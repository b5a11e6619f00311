import OCI
import Trust

/// Who signed what a chain says, by the keys of a fleet file: a pure value.
///
/// A signature that a record brings its own key for shows that the record was not changed, and not whose it is. Whose keys
/// count is what the fleet file says: sites' for what their agents did, coordinators' for everything else, and approvers' too
/// for waivers.
struct AuditSigners {
    private let coordinators: [Fleet.Key]
    private let approvers: [Fleet.Key]
    private let sites: [EnvironmentName: [SiteName: [Fleet.Key]]]
    private let known: Int64
    /// The latest time of a record that a coordinator signed: no later record is older than that, whatever it says.
    private var latest: Timestamp?

    /// How many records are signed by a key that the fleet file has for who did it.
    private(set) var vouched: Int64 = 0
    /// The first records that should be and are not, by number.
    private(set) var strangers: [Int64] = []
    /// How many there are.
    private(set) var strangerCount: Int64 = 0

    /// - Parameters:
    ///   - fleet: the fleet file's content
    ///   - known: up to which record nobody asks who signed it
    init(_ fleet: Fleet, after known: Int64) {
        coordinators = fleet.coordinators.flatMap(\.keys)
        approvers = fleet.approvers.flatMap(\.keys)
        sites = Dictionary(
            fleet.environments.map { environment in
                let keys = environment.sites.map { ($0.name, $0.keys) }
                return (environment.name, Dictionary(keys, uniquingKeysWith: { first, _ in first }))
            }, uniquingKeysWith: { first, _ in first })
        self.known = known
    }

    private static let agentsActions: Set<AuditEvent.Action> = [
        .siteComplete, .siteIncomplete, .pruneStarted, .sitePruned,
    ]

    /// Takes the next record of the chain.
    mutating func note(_ record: AuditRecord) {
        let event = record.event
        let isAgents = Self.agentsActions.contains(event.action)
        let keys =
            if isAgents, let environment = event.environment, let site = event.site {
                sites[environment]?[site] ?? []
            } else { coordinators }
        // Without a key nobody can tell.
        guard !keys.isEmpty else { return }
        let isAboutWaivers = [.waiverAdded, .waiverRevoked].contains(event.action)
        let notBefore = latest.map { $0.advanced(by: .zero - clockSkewTolerance) }
        let at = max(event.at, notBefore ?? event.at)
        let isVouched = (keys + (isAboutWaivers ? approvers : [])).contains { key in
            key.publicKey == record.signer && key.notAfter.map { at <= $0 } ?? true
        }
        guard isVouched else {
            guard record.sequence > known else { return }
            strangerCount += 1
            if strangers.count < AuditVerification.maximumStrangers { strangers.append(record.sequence) }
            return
        }
        vouched += 1
        // What was refused because of the clock is dated by that clock, and says nothing of when it was.
        guard !isAgents, !event.reasons.contains(Reason.Code.clockSkew.text) else { return }
        latest = max(latest ?? event.at, event.at)
    }
}
