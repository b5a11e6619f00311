import FoundationEssentials
import Glibc
public import OCI
import Synchronization

/// A manifest that is attached to another one, as a referrers list describes it.
public struct Referrer: Sendable, Hashable, Codable {
    /// The manifest's type.
    public let mediaType: MediaType
    /// The manifest's digest.
    public let digest: Digest
    /// The manifest's length in bytes.
    public let size: Int64
    /// Its `artifactType`, or its config's type where it has none.
    public let artifactType: String?
    /// Its annotations.
    public let annotations: [String: String]?
}

/// Which manifests of a repository are attached to which: digests only, so that an entry's size is known. What a list of
/// them says besides is read when one is asked for.
struct Attachments: Sendable {
    /// The manifests that were looked at.
    var seen: Set<Digest> = []
    /// By subject.
    var bySubject: [Digest: Set<Digest>] = [:]
}

/// What a manifest says about itself in a list of referrers.
private struct AttachedManifest: Decodable {
    struct Config: Decodable {
        let mediaType: String?
    }
    let subject: Descriptor?
    let artifactType: String?
    let config: Config?
    let annotations: [String: String]?

    init?(_ bytes: [UInt8]) {
        guard let manifest = try? JSONDecoder().decode(Self.self, from: Data(bytes)) else { return nil }
        self = manifest
    }
}

/// A page of a list of referrers.
public struct ReferrerPage: Sendable, Hashable {
    /// In the order of their digests.
    public let referrers: [Referrer]
    /// Where the next page begins: after this digest; `nil` on the last one.
    public let next: Digest?
}

extension ImageLayout {
    /// The most manifests that `readAttachments` reads in one call, and `referrers` looks at for one page: a tenth of a
    /// second's work.
    public static let attachmentStep = 256

    /// Looks at manifests of a repository that were not looked at since the layout was opened, for what they are attached
    /// to; at most `attachmentStep` of them.
    ///
    /// Nothing but the manifests says what is attached to what; so the first list of a repository's referrers takes a
    /// look at all of them, and whoever serves others meanwhile does so step by step.
    ///
    /// - Parameter reading: what was read in the steps before
    /// - Returns: whether that was all
    public func readAttachments(
        of repository: Repository, _ reading: AttachmentReading
    ) throws(LayoutError) -> Bool {
        guard let (index, _) = try versionedIndex(of: repository) else { return true }
        return try reading.state.withLock { state throws(LayoutError) in
            if !state.hasBegun {
                state.hasBegun = true
                state.attachments = indexes.attachments(of: repository)
            }
            // What was deleted since is still known: not for ever.
            if state.attachments.seen.count > 2 * index.entries.count + 100 { state.attachments = Attachments() }
            var left = Self.attachmentStep
            for digest in index.digests
            where !state.attachments.seen.contains(digest) && !state.unreadable.contains(digest) {
                guard left > 0 else { return false }
                left -= 1
                guard let bytes = try intactManifest(digest, in: repository) else {
                    // For this time: it may be pushed again.
                    state.unreadable.insert(digest)
                    continue
                }
                state.attachments.seen.insert(digest)
                guard let subject = AttachedManifest(bytes)?.subject else { continue }
                state.attachments.bySubject[subject.digest, default: []].insert(digest)
            }
            if left < Self.attachmentStep { indexes.keep(state.attachments, of: repository) }
            return true
        }
    }

    /// The manifests of a repository whose `subject` is a digest, whether that is there or not
    /// (distribution-spec v1.1.1, Listing Referrers).
    ///
    /// - Parameters:
    ///   - reading: a reading that is complete
    ///   - type: the only `artifactType` that is wanted; `nil` for any
    ///   - last: the digest that the page comes after
    ///   - limit: the most bytes of JSON that the page's descriptors have together; one descriptor may be longer
    /// - Returns: a page, which may be empty where a further one is not
    public func referrers(
        to subject: Digest, in repository: Repository, _ reading: AttachmentReading, type: String? = nil,
        after last: Digest? = nil, limit: Int = .max
    ) throws(LayoutError) -> ReferrerPage {
        guard let index = try index(of: repository) else { return ReferrerPage(referrers: [], next: nil) }
        let known = reading.state.withLock { $0.attachments.bySubject[subject, default: []] }
        let attached = known.filter { digest in
            index.entry(.digest(digest)) != nil && last.map { digest > $0 } ?? true
        }
        var page: [Referrer] = []
        var size = 0
        var former = last
        for (number, digest) in attached.sorted().enumerated() {
            guard number < Self.attachmentStep else { return ReferrerPage(referrers: page, next: former) }
            guard let entry = index.entry(.digest(digest)), let bytes = try intactManifest(digest, in: repository),
                let manifest = AttachedManifest(bytes)
            else { continue }
            let referrer = Referrer(
                mediaType: entry.mediaType, digest: digest, size: entry.size,
                artifactType: manifest.artifactType.flatMap { $0.isEmpty ? nil : $0 } ?? manifest.config?.mediaType,
                annotations: manifest.annotations)
            if type == nil || referrer.artifactType == type {
                size += (try? JSONEncoder().encode(referrer).count) ?? 0
                guard size <= limit || page.isEmpty else { return ReferrerPage(referrers: page, next: former) }
                page.append(referrer)
            }
            former = digest
        }
        return ReferrerPage(referrers: page, next: nil)
    }
}

/// What is known so far of which manifests of a repository are attached to which. Several threads may share one.
public final class AttachmentReading: Sendable {
    fileprivate struct State {
        var attachments = Attachments()
        var hasBegun = false
        /// What was not there, or damaged.
        var unreadable: Set<Digest> = []
    }

    fileprivate let state = Mutex(State())

    /// Nothing read yet.
    public init() {}
}
