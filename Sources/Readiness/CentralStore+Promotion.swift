public import OCI
import ObjectStore
public import Trust

/// Who acts, and when: what a change is recorded with.
public struct Act: Hashable, Sendable {
    /// Who, as `USER@HOST`.
    public let by: String
    /// When.
    public let at: Timestamp
    /// The key that the actor signs with, if any.
    public let key: PublicKey?

    /// - Parameters:
    ///   - by: who, as `USER@HOST`
    ///   - at: when
    ///   - key: the key that the actor signs with
    public init(by: String, at: Timestamp, key: PublicKey? = nil) {
        self.by = by
        self.at = at
        self.key = key
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

/// What became of a promotion, or of a rollback.
public enum PromotionOutcome: Hashable, Sendable {
    /// The generation is promoted now.
    case promoted(EnvironmentRecord.Pointer, Verdict)
    /// It was promoted already, and is still ready; nothing was changed.
    case alreadyPromoted(EnvironmentRecord.Pointer, Verdict)
    /// It would have been promoted; nothing was changed, since that was not asked for.
    case possible(Verdict)
    /// It is not ready, or somebody else changed the list meanwhile; nothing was changed.
    case refused(Verdict)
}

/// Which generation is to become the promoted one.
public enum Move: Hashable, Sendable {
    /// The one that is staged.
    case promotion
    /// The one that was promoted before.
    case rollback

    func target(in state: EnvironmentRecord.ListState?) -> EnvironmentRecord.Pointer? {
        switch self {
        case .promotion: state?.staged
        case .rollback: state?.previous
        }
    }
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
    ///   kept changing the record, `.unrecorded` where it is staged and not in the audit chain yet; `ObjectStoreError`.
    public func stage(
        _ list: ImageList, to environment: EnvironmentName, of fleet: Fleet, act: Act
    ) async throws -> StagingOutcome {
        let place = try fleet.environment(environment)
        try await prepare()
        func event(
            _ action: AuditEvent.Action, _ act: Act, after before: Evidence.Predecessor?
        ) -> AuditEvent {
            var event = AuditEvent(action, act)
            (event.environment, event.list, event.generation) = (environment, list.name, list.generation)
            event.policy = GatePolicy(place)
            event.add(before)
            return event
        }
        func refuse(_ reason: Reason, after before: Evidence.Predecessor?) async throws -> StagingOutcome {
            var event = event(.stagingRefused, timed(act), after: before)
            event.reasons = [reason.code.text]
            try await record(event)
            return .refused(reason)
        }
        func refusal(after before: Evidence.Predecessor?) -> Reason? {
            if let before, before.replayed.contains(list.name) {
                return recordReplayed(list.name, in: before.record.environment)
            }
            return refusalToStage(list, to: environment, after: before?.record)
        }
        let before = try await predecessor(of: place)
        // A time from ahead in the record would close the gate for as long.
        let skew = skew(from: try await objects.clockLead())
        if let reason = skew ?? refusal(after: before) {
            return try await refuse(reason, after: before)
        }
        // Before the record points to it: whoever sees it staged can read it.
        try await publish(list)
        let end = try await auditEnd()
        var first: EnvironmentRecord.Pointer??
        for attempt in 0..<Self.maximumAttempts {
            // Before the record, as everywhere.
            let known = completed(try await memory(of: environment)).memory
            var current = try await settledRecord(of: place, act: act)
            // Again, and after the record that is swapped: it may have been taken back there meanwhile.
            let before = try await predecessor(of: place)
            if let reason = refusal(after: before) {
                return try await refuse(reason, after: before)
            }
            let act = timed(act)
            let pointer = EnvironmentRecord.Pointer(to: list, by: act.by, at: act.at)
            let staged = current.record.lists[list.name]?.staged
            // Staging again is the way back from an old record, and from a time that is ahead.
            if let staged, staged.generation == list.generation, staged.at.since(act.at) <= clockSkewTolerance,
                !known.replayed(in: current.record).contains(list.name)
            {
                return .alreadyStaged(staged)
            }
            if let first, first != staged {
                return try await refuse(changedMeanwhile(list.name, in: environment), after: before)
            }
            first = .some(staged)
            guard staged != nil || current.record.lists.count < EnvironmentRecord.maximumLists else {
                throw ReadinessError(
                    .invalidList,
                    "'\(environment)' has \(EnvironmentRecord.maximumLists) lists, as many as it may: stage it under a name"
                        + " that is there")
            }
            current.record.stage(pointer, as: list.name, after: known.changes(of: list.name))
            current.record.rollbackDepth = place.rollbackDepth
            let deed = try current.record.outbox.add(
                event(.staged, act, after: before), after: end.sequence, signedBy: signingKey)
            if try await swap(current.record, against: current.etag, doing: deed) {
                try await settle(place, after: "'\(list.name)' is staged to '\(environment)'", act: act)
                // Housekeeping: the next staging does what this one could not.
                try? await tidyInventories()
                return .staged(pointer)
            }
            await backoff(attempt)
        }
        throw contention(over: environment)
    }

    /// Makes the gate's decision and, only if it is ready, makes a generation what is promoted: the staged one, or for a
    /// rollback the one that was promoted before.
    ///
    /// The swap is against the version of the record that was decided on. Where somebody changed another list in it, the
    /// whole decision is made again; where somebody changed this list, the answer is a refusal.
    ///
    /// - Parameters:
    ///   - list: the list's name
    ///   - environment: where
    ///   - fleet: the fleet
    ///   - act: who promotes, and when: the time of the decision
    ///   - move: which generation
    ///   - generation: the generation that the caller means; where the target is another one, the answer is a refusal
    ///   - isDryRun: whether only to say what would be done; nothing is recorded then either
    /// - Throws: as `check`, and `ReadinessError.contention` when others kept changing the record, `.unrecorded` where it is
    ///   promoted and not in the audit chain yet.
    public func promote(
        _ list: ListName, in environment: EnvironmentName, of fleet: Fleet, act: Act, move: Move = .promotion,
        generation: Digest? = nil, isDryRun: Bool = false
    ) async throws -> PromotionOutcome {
        let place = try fleet.environment(environment)
        if !isDryRun { try await prepare() }
        // What whoever asks may have looked at: gathering evidence may read the record several times.
        let first = try await record(of: environment).record.lists[list]
        for attempt in 0..<Self.maximumAttempts {
            let look = isDryRun ? try await observe(place, at: timed(act).at) : try await evidence(of: place, act: act)
            let evidence = look.evidence
            var current = look.current
            let act = timed(act)
            let state = current.record.lists[list]
            let target = move.target(in: state)
            var verdict = compare(
                list: list, staged: target, environment: place, evidence: evidence, now: act.at,
                isClimbing: move == .promotion && state?.isClimbing ?? true)
            if move == .rollback, target == nil { verdict = verdict.with(reason: nothingBefore(list, in: environment)) }
            if let generation { verdict = verdict.bound(to: generation) }
            if first != state {
                verdict = verdict.blocked(by: changedMeanwhile(list, in: environment))
            }
            func event(_ promotion: AuditEvent.Action, _ rollback: AuditEvent.Action) -> AuditEvent {
                AuditEvent(
                    move == .promotion ? promotion : rollback, act, verdict: verdict, evidence: evidence, in: place,
                    on: current)
            }
            guard verdict.isReady, let target else {
                // Nothing takes the place of records that are to be restored.
                if !isDryRun, evidence.cutOff == nil { try await record(event(.promotionRefused, .rollbackRefused)) }
                return .refused(verdict)
            }
            if move == .promotion, let promoted = state?.promoted, promoted.generation == target.generation {
                if !isDryRun {
                    try await remember(verdict, evidence: evidence, in: place, on: current, act: act)
                }
                return .alreadyPromoted(promoted, verdict)
            }
            guard !isDryRun else { return .possible(verdict) }
            let end = try await auditEnd()
            let pointer = target.moved(by: act.by, at: act.at)
            let done = event(.promoted, .rolledBack)
            switch move {
            case .promotion: current.record.promote(pointer, as: list)
            case .rollback: current.record.rollBack(to: pointer, as: list)
            }
            current.record.rollbackDepth = place.rollbackDepth
            let deed = try current.record.outbox.add(done, after: end.sequence, signedBy: signingKey)
            if try await swap(current.record, against: current.etag, doing: deed) {
                try await settle(place, after: "'\(list)' is promoted in '\(environment)'", act: act)
                return .promoted(pointer, verdict)
            }
            await backoff(attempt)
        }
        throw contention(over: environment)
    }

    private func changedMeanwhile(_ list: ListName, in environment: EnvironmentName) -> Reason {
        Reason(
            .changedMeanwhile,
            "somebody else staged or promoted '\(list)' in '\(environment)' meanwhile: look at 'rollcall status', then run"
                + " this again")
    }

    private func nothingBefore(_ list: ListName, in environment: EnvironmentName) -> Reason {
        Reason(
            .nothingBefore,
            "nothing was promoted before what is promoted in '\(environment)' as '\(list)': stage and promote what is"
                + " wanted instead")
    }

    func contention(over environment: EnvironmentName) -> ReadinessError {
        ReadinessError(
            .contention,
            "others changed the record of '\(environment)' \(Self.maximumAttempts) times meanwhile: run this again")
    }
}
