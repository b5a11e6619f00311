/// Who acts, and when: what a change is recorded with.
public struct Act: Hashable, Sendable {
    /// Who, as `USER@HOST`.
    public let by: String
    /// When.
    public let at: Timestamp

    /// - Parameters:
    ///   - by: who, as `USER@HOST`
    ///   - at: when
    public init(by: String, at: Timestamp) {
        self.by = by
        self.at = at
    }
}

/// What became of staging a list.
public enum StagingOutcome: Hashable, Sendable {
    /// The generation is staged now.
    case staged(EnvironmentRecord.Pointer)
    /// It was staged already; nothing was changed.
    case alreadyStaged(EnvironmentRecord.Pointer)
    /// It may not be staged; nothing was changed.
    case refused(Reason)
}

/// What became of a promotion.
public enum PromotionOutcome: Hashable, Sendable {
    /// The staged generation is promoted now.
    case promoted(EnvironmentRecord.Pointer, Verdict)
    /// It was promoted already, and is still ready; nothing was changed.
    case alreadyPromoted(EnvironmentRecord.Pointer, Verdict)
    /// It is not ready, or somebody else changed the list meanwhile; nothing was changed.
    case refused(Verdict)
}

extension CentralStore {
    /// Publishes a list and makes it what is staged to an environment under its name.
    ///
    /// - Parameters:
    ///   - list: the list
    ///   - environment: where to; the ladder is the fleet's
    ///   - fleet: the fleet
    ///   - act: who stages, and when
    /// - Throws: `ReadinessError.invalidFleet` for an environment that the fleet does not have, `.contention` when others
    ///   kept changing the record; `ObjectStoreError`.
    public func stage(
        _ list: ImageList, to environment: EnvironmentName, of fleet: Fleet, act: Act
    ) async throws -> StagingOutcome {
        _ = try fleet.environment(environment)
        var predecessor: EnvironmentRecord?
        if let before = fleet.predecessor(of: environment) { predecessor = try await record(of: before.name).record }
        if let reason = refusalToStage(list, to: environment, after: predecessor) { return .refused(reason) }

        // Before the record points to it: whoever sees it staged can read it.
        try await publish(list)
        let pointer = EnvironmentRecord.Pointer(to: list, by: act.by, at: act.at)
        var first: EnvironmentRecord.Pointer??
        for _ in 0..<Self.maximumAttempts {
            var current = try await record(of: environment)
            let staged = current.record.lists[list.name]?.staged
            if let staged, staged.generation == list.generation { return .alreadyStaged(staged) }
            if let first, first != staged { return .refused(changedMeanwhile(list.name, in: environment)) }
            first = .some(staged)
            current.record.stage(pointer, as: list.name)
            if try await swap(current.record, against: current.etag) { return .staged(pointer) }
        }
        throw contention(over: environment)
    }

    /// Decides whether what is staged under a name is ready.
    ///
    /// - Throws: `ReadinessError.invalidFleet` for an environment that the fleet does not have; `ObjectStoreError` and
    ///   `ReadinessError` where the store cannot be read. Then nothing is known, and nothing is ready.
    public func check(
        _ list: ListName, in environment: EnvironmentName, of fleet: Fleet, at now: Timestamp
    ) async throws -> Verdict {
        let place = try fleet.environment(environment)
        let record = try await record(of: environment).record
        return compare(
            list: list, staged: record.lists[list]?.staged, environment: place, evidence: try await evidence(of: place),
            now: now)
    }

    /// Makes the decision of `check` and, only if it is ready, moves the promoted pointer to the staged generation.
    ///
    /// The swap is against the version of the record that was decided on. Where somebody changed another list in it, the
    /// whole decision is made again; where somebody changed this list, the answer is a refusal.
    ///
    /// - Parameters:
    ///   - list: the list's name
    ///   - environment: where
    ///   - fleet: the fleet
    ///   - act: who promotes, and when: the time of the decision
    /// - Throws: as `check`, and `ReadinessError.contention` when others kept changing the record.
    public func promote(
        _ list: ListName, in environment: EnvironmentName, of fleet: Fleet, act: Act
    ) async throws -> PromotionOutcome {
        let place = try fleet.environment(environment)
        var first: EnvironmentRecord.ListState??
        for _ in 0..<Self.maximumAttempts {
            var current = try await record(of: environment)
            let state = current.record.lists[list]
            let verdict = compare(
                list: list, staged: state?.staged, environment: place, evidence: try await evidence(of: place),
                now: act.at)
            if let first, first != state {
                return .refused(verdict.blocked(by: changedMeanwhile(list, in: environment)))
            }
            first = .some(state)
            guard verdict.isReady, let staged = state?.staged else { return .refused(verdict) }
            if let promoted = state?.promoted, promoted.generation == staged.generation {
                return .alreadyPromoted(promoted, verdict)
            }
            let pointer = staged.moved(by: act.by, at: act.at)
            current.record.promote(pointer, as: list)
            if try await swap(current.record, against: current.etag) { return .promoted(pointer, verdict) }
        }
        throw contention(over: environment)
    }

    private func changedMeanwhile(_ list: ListName, in environment: EnvironmentName) -> Reason {
        Reason(
            .changedMeanwhile,
            "somebody else staged or promoted '\(list)' in '\(environment)' meanwhile: look at 'rollcall status', then run"
                + " this again")
    }

    func contention(over environment: EnvironmentName) -> ReadinessError {
        ReadinessError(
            .contention,
            "others changed the record of '\(environment)' \(Self.maximumAttempts) times meanwhile: run this again")
    }
}
