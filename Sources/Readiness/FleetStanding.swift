/// How a fleet stands at one moment: every list of every environment, with the decisions about what is staged and what is
/// promoted, and what they rest on.
public struct FleetStanding: Hashable, Sendable {
    /// One environment.
    public struct Environment: Hashable, Sendable {
        /// The environment, as the fleet names it.
        public let environment: Fleet.Environment
        /// In the order of their names.
        public let lists: [List]
        /// What the decisions rest on.
        public let evidence: Evidence

        /// - Parameters:
        ///   - environment: the environment, as the fleet names it
        ///   - lists: its lists
        ///   - evidence: what the decisions rest on
        public init(environment: Fleet.Environment, lists: [List], evidence: Evidence) {
            self.environment = environment
            self.lists = lists
            self.evidence = evidence
        }
    }

    /// One list of an environment.
    public struct List: Hashable, Sendable {
        /// What is promoted under its name, if anything.
        public let promoted: EnvironmentRecord.Pointer?
        /// The decision about what is staged under its name.
        public let verdict: Verdict
        /// The decision about what is promoted, where that is another generation than what is staged. `nil` where one
        /// decision is about both, and where nothing is promoted.
        public let promotedVerdict: Verdict?

        /// - Parameters:
        ///   - promoted: what is promoted under its name
        ///   - verdict: the decision about what is staged under its name
        ///   - promotedVerdict: the decision about what is promoted, where that is another generation
        public init(promoted: EnvironmentRecord.Pointer?, verdict: Verdict, promotedVerdict: Verdict? = nil) {
            self.promoted = promoted
            self.verdict = verdict
            self.promotedVerdict = promotedVerdict
        }

        /// The decision about what is staged, or about what is promoted, be it the same generation or not; `nil` where
        /// nothing is promoted.
        public func decision(about subject: Verdict.Subject) -> Verdict? {
            guard subject == .promoted else { return verdict }
            guard let promoted, promoted.generation == verdict.judged?.generation else { return promotedVerdict }
            return verdict
        }
    }

    /// In ladder order.
    public let environments: [Environment]
    /// The coordinator's time.
    public let decidedAt: Timestamp

    /// - Parameters:
    ///   - environments: in ladder order
    ///   - decidedAt: the coordinator's time
    public init(environments: [Environment], decidedAt: Timestamp) {
        self.environments = environments
        self.decidedAt = decidedAt
    }

    /// Reads the store and decides. Nothing is recorded: this is for looking.
    ///
    /// - Throws: where anything of it cannot be read: nothing is known in part
    public init(of fleet: Fleet, in central: CentralStore, at now: Timestamp) async throws {
        var environments: [Environment] = []
        for environment in fleet.environments {
            let (seen, current) = try await central.observe(environment, at: central.clock?() ?? now)
            let now = central.clock?() ?? now
            let lists = current.record.lists.sorted { $0.key < $1.key }.map { (name, state) -> List in
                func decide(about subject: Verdict.Subject) -> Verdict {
                    compare(list: name, about: subject, in: state, environment: environment, evidence: seen, now: now)
                }
                return List(
                    promoted: state.promoted, verdict: decide(about: .staged),
                    promotedVerdict: state.promoted != nil && state.isClimbing ? decide(about: .promoted) : nil)
            }
            environments.append(Environment(environment: environment, lists: lists, evidence: seen))
        }
        self.init(environments: environments, decidedAt: now)
    }

    /// The decisions about what is staged of every list of every environment, in ladder order.
    public var verdicts: [Verdict] { environments.flatMap { $0.lists.map(\.verdict) } }
}
