import Readiness

/// Every list of every environment: what is promoted, and the decision about what is staged.
struct FleetStanding: Sendable {
    /// One environment.
    struct Environment: Sendable {
        let environment: Fleet.Environment
        /// In the order of their names.
        let lists: [(promoted: EnvironmentRecord.Pointer?, verdict: Verdict)]
    }

    /// In ladder order.
    let environments: [Environment]

    /// Reads the store and decides.
    ///
    /// - Throws: where anything of it cannot be read: nothing is known in part
    init(of fleet: Fleet, in central: CentralStore, at now: Timestamp) async throws {
        var environments: [Environment] = []
        for environment in fleet.environments {
            let record = try await central.record(of: environment.name).record
            var evidence = try await central.observe(environment)
            evidence.note(record)
            let seen = evidence
            environments.append(
                Environment(
                    environment: environment,
                    lists: record.lists.sorted { $0.key < $1.key }.map { name, state in
                        (
                            state.promoted,
                            compare(
                                list: name, staged: state.staged, environment: environment, evidence: seen, now: now,
                                isClimbing: state.isClimbing)
                        )
                    }))
        }
        self.environments = environments
    }

    var verdicts: [Verdict] { environments.flatMap { $0.lists.map(\.verdict) } }
}
