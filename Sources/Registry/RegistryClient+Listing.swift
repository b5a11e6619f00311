import FoundationEssentials
import HTTP
public import OCI

/// What is attached to a manifest.
public struct Referrers: Sendable, Hashable {
    /// The attached manifests.
    public let descriptors: [Descriptor]
    /// The tag that holds the list, at a registry without the referrers API.
    public let fallbackTag: Tag?
}

extension RegistryClient {
    /// The most pages of one list, and entries of all its pages.
    private static let maximumPages = 1000
    private static let maximumEntries = 200_000

    /// Lists a repository's tags, following every page.
    ///
    /// - Throws: `RegistryError`: `.notFound` for an unknown repository, `.tooLarge` above 200,000 tags.
    public func tags(_ repository: Repository) async throws(RegistryError) -> [Tag] {
        struct Page: Decodable {
            let tags: [String]?
        }
        // ECR rejects more than 1000 (go-containerregistry, remote/list.go).
        let first = endpoint.api("\(repository)/tags/list", query: "n=1000")
        var names: [String] = []
        for reply in try await pages(first, repository: repository, accepts: [200]) {
            let page: Page = try decode(reply)
            names += page.tags ?? []
            try bound(names.count, reply)
        }
        // A name outside the grammar cannot be asked for either.
        return names.compactMap { try? Tag($0) }
    }

    /// Lists what is attached to a manifest: by the referrers API, or where that is unknown (404) by the tag
    /// `ALGORITHM-<64 digits>` (distribution-spec v1.1.1, Referrers tag schema).
    ///
    /// - Throws: `RegistryError`; `.protocolViolation` for a fallback tag that is not an index. A failure is never taken
    ///   for an empty list.
    public func referrers(_ repository: Repository, of digest: Digest) async throws(RegistryError) -> Referrers {
        let first = endpoint.api("\(repository)/referrers/\(digest)")
        let replies = try await pages(first, repository: repository, accepts: [200, 404])
        if let reply = replies.first, reply.status == 404 {
            return try await fallbackReferrers(repository, of: digest, at: reply.url)
        }
        var descriptors: [Descriptor] = []
        for reply in replies {
            descriptors += try index(reply.body, at: reply.url).manifests
            try bound(descriptors.count, reply)
        }
        return Referrers(descriptors: descriptors, fallbackTag: nil)
    }

    private func fallbackReferrers(_ repository: Repository, of digest: Digest, at url: HTTPURL)
        async throws(RegistryError) -> Referrers
    {
        guard let tag = try? Tag("\(digest.algorithm.rawValue)-\(digest.hex.prefix(64))") else {
            throw .violation("no tag can be formed of \(digest)", url)
        }
        do {
            let fetched = try await manifest(repository, .tag(tag))
            return Referrers(descriptors: try index(fetched.bytes, at: url).manifests, fallbackTag: tag)
        } catch {
            if error.code == .notFound { return Referrers(descriptors: [], fallbackTag: nil) }
            throw error
        }
    }

    private func index(_ bytes: [UInt8], at url: HTTPURL) throws(RegistryError) -> Manifest {
        let manifest: Manifest
        do {
            manifest = try Manifest(parsing: bytes)
        } catch {
            throw .violation("the list of referrers cannot be read: \(error.message)", url)
        }
        guard manifest.mediaType.isIndex else {
            throw .violation("the list of referrers is not an index, but \(manifest.mediaType)", url)
        }
        return manifest
    }

    /// Follows `Link: <…>; rel="next"` to the end, within this registry. Fewer entries than asked for are not the end.
    private func pages(_ first: HTTPURL, repository: Repository, accepts: Set<Int>) async throws(RegistryError)
        -> [Reply]
    {
        var replies: [Reply] = []
        var seen: Set<HTTPURL> = []
        var next: HTTPURL? = first
        while let url = next {
            guard seen.insert(url).inserted, replies.count < Self.maximumPages else {
                throw .violation("the pages of this list go in a circle, or on for ever", url)
            }
            var exchange = Exchange(.get, url, headers: ["Accept-Encoding": "identity"], accepts: accepts)
            exchange.bodyLimit = Manifest.maximumSize
            let reply = try await perform(exchange, scopes: [.pull(repository)])
            replies.append(reply)
            next = try Self.nextLink(reply.head).map { link throws(RegistryError) in
                try transport.resolve(link, against: reply.url)
            }
            if let next, !next.isSameOrigin(as: endpoint.url) {
                throw .violation("the next page of this list is at another host, \(next.authority)", reply.url)
            }
        }
        return replies
    }

    /// The target of the `next` link (RFC 8288), if any.
    static func nextLink(_ head: HTTPResponseHead) -> String? {
        for header in head.headers.all("Link") {
            for link in header.split(separator: "<").map({ $0.split(separator: ">", maxSplits: 1) })
            where link.count == 2 {
                let parameters = link[1].split(whereSeparator: { ";,".contains($0) }).map(\.trimmed)
                let isNext = parameters.contains { parameter in
                    parameter.equalsIgnoringCase("rel=\"next\"") || parameter.equalsIgnoringCase("rel=next")
                }
                if isNext { return String(link[0]) }
            }
        }
        return nil
    }

    private func decode<Page: Decodable>(_ reply: Reply) throws(RegistryError) -> Page {
        do {
            return try JSONDecoder().decode(Page.self, from: Data(reply.body))
        } catch {
            throw .violation("the list is not the JSON that the specification has: is this a registry?", reply.url)
        }
    }

    private func bound(_ count: Int, _ reply: Reply) throws(RegistryError) {
        guard count <= Self.maximumEntries else {
            throw RegistryError(
                .tooLarge, "the list has more than \(Self.maximumEntries) entries", url: reply.url.redacted)
        }
    }
}
