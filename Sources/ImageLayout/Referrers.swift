import FoundationEssentials
import Glibc
public import OCI

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

/// What is attached to what in a repository.
struct Referrers: Sendable {
    /// The manifests that were looked at.
    var seen: Set<Digest> = []
    /// By subject.
    var bySubject: [Digest: [Referrer]] = [:]

    private struct Document: Decodable {
        struct Config: Decodable {
            let mediaType: String?
        }
        let subject: Descriptor?
        let artifactType: String?
        let config: Config?
        let annotations: [String: String]?
    }

    /// Looks at a manifest's bytes.
    mutating func add(_ entry: RepositoryIndex.Entry, _ bytes: [UInt8]) {
        seen.insert(entry.digest)
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)), let subject = document.subject
        else { return }
        bySubject[subject.digest, default: []].append(
            Referrer(
                mediaType: entry.mediaType, digest: entry.digest, size: entry.size,
                artifactType: document.artifactType.flatMap { $0.isEmpty ? nil : $0 } ?? document.config?.mediaType,
                annotations: document.annotations))
    }
}

extension ImageLayout {
    /// The manifests of a repository whose `subject` is a digest, whether that is there or not
    /// (distribution-spec v1.1.1, Listing Referrers).
    public func referrers(to subject: Digest, in repository: Repository) throws(LayoutError) -> [Referrer] {
        guard let (index, version) = try versionedIndex(of: repository) else { return [] }
        var known = indexes.referrers(of: repository)
        // What was deleted since is still known: not for ever.
        if known.seen.count > 2 * index.entries.count + 100 { known = Referrers() }
        let before = known.seen.count
        for digest in index.digests where !known.seen.contains(digest) {
            guard let entry = index.entry(.digest(digest)),
                let file = try OpenFile(paths.blob(digest, in: repository), O_RDONLY, doing: "read")
            else { continue }
            known.add(entry, try file.readAll(limit: Manifest.maximumSize))
        }
        if known.seen.count != before { indexes.keep(known, of: repository, version) }
        return (known.bySubject[subject] ?? []).filter { index.entry(.digest($0.digest)) != nil }
            .sorted { $0.digest < $1.digest }
    }
}
