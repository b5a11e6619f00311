import OCI

/// What of the agent's own manifests may go: a pure value.
///
/// Only what the agent itself pushed comes into question, and of that only what no environment stages, has promoted or may
/// return to. A digest that is still needed stays under every name; so does what somebody else has given a tag, or has made
/// part of an index of theirs.
struct PrunePlan: Hashable {
    /// Why a manifest stays although no list needs it.
    struct Kept: Hashable {
        let place: ProofJournal.Place
        /// Who uses it, in words.
        let reason: String
    }

    /// What others use in one repository of the registry.
    struct Usage: Hashable {
        /// What each tag points at.
        var tags: [Tag: Digest] = [:]
        /// What the indexes that others have tagged consist of, and by which tag.
        var children: [Digest: Tag] = [:]
    }

    /// What may be removed, in a fixed order.
    let removable: [ProofJournal.Place]
    /// The agent's own tags that point at what may be removed.
    let tags: [ProofJournal.Place: [Tag]]
    /// What stays because somebody else uses it.
    let kept: [Kept]
    /// The agent's own manifests that are still needed.
    let needed: Int

    /// The SHA-256 over one line `REPOSITORY@DIGEST` for each manifest that may be removed.
    var digest: Digest {
        Digest(of: removable.flatMap { Array("\($0.repository)@\($0.digest)\n".utf8) })
    }

    /// The agent's own manifests that no list needs: what must be looked at before it may go.
    static func candidates(
        _ pushed: [ProofJournal.Place], needed: Set<Digest>
    ) -> [ProofJournal.Place] {
        pushed.filter { !needed.contains($0.digest) }
    }

    /// - Parameters:
    ///   - pushed: what the agent pushed
    ///   - needed: the digests of all manifests that an environment stages, has promoted or may return to
    ///   - own: the tags that the agent assigned
    ///   - usage: what is used in each repository of the candidates
    init(
        pushed: [ProofJournal.Place], needed: Set<Digest>, own: Set<ProofJournal.AssignedTag>,
        usage: [Repository: Usage]
    ) {
        let candidates = Self.candidates(pushed, needed: needed)
        var removable: [ProofJournal.Place] = []
        var tags: [ProofJournal.Place: [Tag]] = [:]
        var kept: [Kept] = []
        for place in candidates.sorted() {
            let used = usage[place.repository] ?? Usage()
            let pointing = used.tags.filter { $0.value == place.digest }.keys.sorted { $0.name < $1.name }
            let foreign = pointing.first {
                !own.contains(.init(repository: place.repository, tag: $0, digest: place.digest))
            }
            if let foreign {
                kept.append(
                    Kept(place: place, reason: "the tag '\(foreign)' points at it, which somebody else has set"))
            } else if let tag = used.children[place.digest] {
                kept.append(Kept(place: place, reason: "it is part of the index that somebody else tagged '\(tag)'"))
            } else {
                removable.append(place)
                tags[place] = pointing
            }
        }
        self.removable = removable
        self.tags = tags
        self.kept = kept
        self.needed = pushed.count - candidates.count
    }
}
