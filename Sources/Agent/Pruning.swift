import OCI
import Readiness
import Registry
import Transfer

/// Removes what the agent brought and nothing needs any more from the site's registry.
struct Pruning: Sendable {
    /// Repositories, and tags within them, that are looked at at once.
    static let atOnce = 8
    /// How many manifests are removed before it is looked whether there are new environments.
    static let batch = 50

    let central: CentralStore
    let client: any RegistryContents
    let journal: ProofJournal

    /// Looks at what is needed, and at who uses what the agent brought.
    ///
    /// - Throws: where any of it cannot be read: what is not known to be free stays
    func plan() async throws -> PrunePlan {
        let needed = try await neededManifests().digests
        let pushed = try journal.pushedManifests()
        let own = try journal.assignedTags()
        let repositories = Set(PrunePlan.candidates(pushed, needed: needed).map(\.repository)).sorted()
        var usage: [Repository: PrunePlan.Usage] = [:]
        for repository in repositories { usage[repository] = try await self.usage(of: repository, own: own) }
        return PrunePlan(pushed: pushed, needed: needed, own: own, usage: usage)
    }

    /// What came of removing.
    struct Outcome: Sendable {
        /// How many manifests are gone.
        var removed = 0
        /// What was not removed, in words.
        var failures: [String] = []
    }

    /// Who prunes, as the audit chain names it.
    struct Author: Sendable {
        let environment: EnvironmentName
        let site: SiteName
        /// The furthest end of the audit chain that the site's agent has seen: nothing is recorded before it.
        var auditHead: AuditHead?
        /// Who acts, now.
        let act: @Sendable () -> Act
    }

    /// Removes what a plan allows, between two records in the audit chain: the chain may name what was then not removed, and
    /// never lacks what was.
    ///
    /// - Throws: where it cannot be recorded, and where it cannot be known any more what is needed; what was removed by then
    ///   is recorded
    func carryOut(_ plan: PrunePlan, by author: Author) async throws -> Outcome {
        func event(_ action: AuditEvent.Action) -> AuditEvent {
            var event = AuditEvent(action, author.act())
            (event.environment, event.site) = (author.environment, author.site)
            event.details = ["plan": plan.digest.description, "manifests": "\(plan.removable.count)"]
            return event
        }
        try await central.record(event(.pruneStarted), knowing: author.auditHead)
        var outcome = Outcome()
        let ending: (any Error)?
        do {
            try await carryOut(plan, &outcome)
            ending = nil
        } catch {
            ending = error
        }
        var end = event(.sitePruned)
        end.details["removed"] = "\(outcome.removed)"
        end.details["failed"] = "\(outcome.failures.count)"
        if let ending { end.details["aborted"] = String("\(ending)".prefix(1000)) }
        // In a task of its own, since a signal may have cancelled this one.
        let (last, central) = (end, central)
        try await Task { _ = try await central.record(last) }.value
        if let ending { throw ending }
        return outcome
    }

    private func carryOut(_ plan: PrunePlan, _ outcome: inout Outcome) async throws {
        var rest = plan.removable
        var (needed, retained) = try await neededManifests()
        // Registries that know which index needs which manifest refuse the manifest first, and take it once that is gone.
        for isLast in [false, true] where !rest.isEmpty {
            var refused: [ProofJournal.Place] = []
            for (index, place) in rest.enumerated() {
                try Task.checkCancellation()
                // Before each one: a list that is staged meanwhile may need what goes next.
                let isCurrent = try await central.isCurrent(retained)
                if !isCurrent || index % Self.batch == Self.batch - 1 {
                    let now = try await neededManifests()
                    guard now.digests == needed else {
                        throw AgentError(
                            .incomplete, "other lists are needed than when this began: run it again, for what is left")
                    }
                    retained = now.retained
                }
                guard !needed.contains(place.digest) else { continue }
                do throws(RegistryError) {
                    try await remove(place, tags: plan.tags[place] ?? [])
                } catch {
                    if error.code == .unsupported {
                        throw AgentError(
                            .incomplete,
                            "\(error): this registry does not delete; enable deletion there, or remove by its own means what"
                                + " is listed above (\(outcome.removed) of \(plan.removable.count) were removed)")
                    }
                    if isLast { outcome.failures.append("\(place.repository)@\(place.digest): \(error)") }
                    refused.append(place)
                    continue
                }
                try journal.forgetPush(place)
                outcome.removed += 1
            }
            rest = refused
        }
    }

    /// - Parameter tags: the tags that named the manifest when the plan was made
    private func remove(_ place: ProofJournal.Place, tags: [Tag]) async throws(RegistryError) {
        for tag in tags {
            // Somebody may have given the name to something else since; deleting it would take that away.
            guard try await client.manifestHead(place.repository, .tag(tag))?.digest == place.digest else { continue }
            do throws(RegistryError) {
                try await client.deleteManifest(place.repository, .tag(tag))
            } catch {
                // distribution 2.8 answers 400, others 405: they drop a manifest's tags with it.
                guard error.code == .notFound || [400, 405].contains(error.status) else { throw error }
            }
        }
        do throws(RegistryError) {
            try await client.deleteManifest(place.repository, .digest(place.digest))
        } catch {
            // Removed by somebody else, or with its tag.
            guard error.code == .notFound else { throw error }
        }
    }

    /// The digests of every manifest of every list that any environment of the object store stages, has promoted or may
    /// return to: one registry may serve several.
    private func neededManifests() async throws -> (digests: Set<Digest>, retained: CentralStore.Retained) {
        var needed: Set<Digest> = []
        let retained = try await central.retainedGenerations()
        for generation in retained.generations {
            guard let list = try await central.list(generation) else {
                throw AgentError(
                    .incomplete,
                    "the list of generation \(generation) is needed and not in the central store: stage it again, since without"
                        + " it nobody knows what may go")
            }
            needed.formUnion(list.closure.entries.filter { $0.kind == .manifest }.map(\.digest))
        }
        return (needed, retained)
    }

    private func usage(of repository: Repository, own: Set<ProofJournal.AssignedTag>) async throws -> PrunePlan.Usage {
        let tags: [Tag]
        do throws(RegistryError) {
            tags = try await client.tags(repository)
        } catch {
            if error.code == .notFound { return PrunePlan.Usage() }
            throw error
        }
        let client = client
        return try await withThrowingTaskGroup(of: (Tag, Digest?, [Digest]).self) { group in
            var usage = PrunePlan.Usage()
            var waiting = tags.makeIterator()
            func addNext() {
                guard let tag = waiting.next() else { return }
                group.addTask {
                    guard let head = try await client.manifestHead(repository, .tag(tag)) else { return (tag, nil, []) }
                    let isOwn = own.contains(.init(repository: repository, tag: tag, digest: head.digest))
                    guard !isOwn, head.mediaType?.isIndex ?? true else { return (tag, head.digest, []) }
                    let manifest = try await client.manifest(repository, .digest(head.digest)).manifest
                    return (tag, head.digest, manifest.manifests.map(\.digest))
                }
            }
            for _ in 0..<Self.atOnce { addNext() }
            while let (tag, digest, children) = try await group.next() {
                usage.tags[tag] = digest
                for child in children { usage.children[child] = tag }
                addNext()
            }
            return usage
        }
    }
}
