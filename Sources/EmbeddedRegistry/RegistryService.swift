import HTTPTypes
import ImageLayout
import Logging
import OCI

/// The distribution protocol (distribution-spec v1.1.1) over an image layout: a function from requests to answers.
struct RegistryService: Sendable {
    let layout: ImageLayout
    let access: AccessControl
    let sessions: UploadSessions
    let disk: DiskThreads
    /// For what takes a repository's lock, makes something survive a power loss, or hashes a file.
    let patient: DiskThreads
    let logger: Logger
    let uploadBudget = PieceBudget()
    private let attachments = AttachmentReadings()

    init(
        layout: ImageLayout, access: AccessControl, sessions: UploadSessions, disk: DiskThreads, patient: DiskThreads,
        logger: Logger
    ) {
        self.layout = layout
        self.access = access
        self.sessions = sessions
        self.disk = disk
        self.patient = patient
        self.logger = logger
    }

    /// The most bytes of a manifest: the spec asks for 4 MiB at least.
    static let manifestLimit = 4 << 20
    /// The most tags or repositories on one page.
    static let pageLimit = 10_000

    /// What a request may do, before its body is read.
    struct Admission: Sendable {
        let route: RegistryRoute
        let query: QueryItems
        /// Who asks; `nil` for anyone.
        let user: String?
    }

    /// Reads a request's target and decides whether it is allowed.
    func admit(_ request: RegistryRequest) async throws(RegistryProblem) -> Admission {
        // Names first: nothing outside its grammar comes near a path.
        let route: RegistryRoute
        let query: QueryItems
        do throws(RegistryProblem) {
            route = try RegistryRoute(path: request.path)
            query = try QueryItems(request.query)
        } catch {
            // Who may not read is not told either what exists.
            _ = try await access.admit(request, to: .pull)
            throw error
        }
        let user = try await access.admit(request, to: Self.right(request.method, route))
        return Admission(route: route, query: query, user: user)
    }

    private static func right(_ method: HTTPRequest.Method, _ route: RegistryRoute) -> AccessControl.Right {
        switch (method, route) {
        // Where an upload stands is its owner's business, and ending one is part of pushing.
        case (_, .upload), (_, .uploads): .push
        case (.get, _), (.head, _): .pull
        case (.delete, _): .delete
        default: .push
        }
    }

    /// Answers a request that was admitted.
    func answer(_ request: RegistryRequest, _ admission: Admission) async throws -> RegistryAnswer {
        let query = admission.query
        switch (request.method, admission.route) {
        case (.get, .base), (.head, .base):
            var answer = RegistryAnswer(200, access.invitation(to: admission.user), .bytes(Array("{}".utf8)))
            answer.headers[.contentType] = "application/json"
            return answer
        case (.get, .catalog): return try await catalog(query)
        case (.get, .tags(let name)): return try await tags(of: name, query)
        case (.get, .manifest(let name, let reference)): return try await manifest(name, reference, isHead: false)
        case (.head, .manifest(let name, let reference)): return try await manifest(name, reference, isHead: true)
        case (.put, .manifest(let name, let reference)):
            return try await putManifest(request, name, reference, by: admission.user)
        case (.delete, .manifest(let name, let reference)):
            return try await deleteManifest(name, reference, by: admission.user)
        case (.get, .blob(let name, let digest)): return try await blob(request, name, digest)
        case (.head, .blob(let name, let digest)): return try await blobHead(name, digest)
        case (.delete, .blob(let name, let digest)): return try await deleteBlob(name, digest, by: admission.user)
        case (.get, .referrers(let name, let subject)): return try await referrers(to: subject, in: name, query)
        case (.post, .uploads(let name)): return try await startUpload(request, in: name, query)
        case (.get, .upload(let name, let session)): return try await uploadStatus(session, in: name)
        case (.patch, .upload(let name, let session)): return try await patchUpload(request, session, in: name)
        case (.put, .upload(let name, let session)):
            return try await putUpload(request, session, in: name, query)
        case (.delete, .upload(let name, let session)): return try await cancelUpload(session, in: name)
        default: throw RegistryProblem(.unsupported, "\(request.method.rawValue) is not allowed here")
        }
    }

    // MARK: Lists

    private struct Catalog: Encodable {
        let repositories: [Repository]
    }

    private func catalog(_ query: QueryItems) async throws -> RegistryAnswer {
        let limit = Self.limit(query)
        let last = query["last"] ?? ""
        let names = try await disk.run { [layout] () throws(LayoutError) in
            try layout.repositories(after: last, limit: limit + 1)
        }
        var answer = RegistryAnswer(json: Catalog(repositories: Array(names.prefix(limit))))
        if names.count > limit, limit > 0 {
            answer.headers[.link] = Self.next("/v2/_catalog", limit, after: names[limit - 1].name)
        }
        return answer
    }

    private struct TagList: Encodable {
        let name: Repository
        let tags: [Tag]
    }

    private func tags(of name: Repository, _ query: QueryItems) async throws -> RegistryAnswer {
        let index = try await disk.run { [layout] () throws(LayoutError) in try layout.index(of: name) }
        guard let index else { throw RegistryProblem(.nameUnknown, "there is no repository \(name)") }
        let limit = Self.limit(query)
        let last = query["last"] ?? ""
        let rest = index.sortedTags.filter { $0.name > last }
        var answer = RegistryAnswer(json: TagList(name: name, tags: Array(rest.prefix(limit))))
        if rest.count > limit, limit > 0 {
            answer.headers[.link] = Self.next("/v2/\(name)/tags/list", limit, after: rest[limit - 1].name)
        }
        return answer
    }

    /// The page that a query asks for; a number that is none asks for the largest.
    private static func limit(_ query: QueryItems) -> Int {
        max(0, min(query["n"].flatMap { Int($0) } ?? pageLimit, pageLimit))
    }

    private static func next(_ path: String, _ limit: Int, after last: String) -> String {
        "<\(path)?n=\(limit)&last=\(last.percentEncoded)>; rel=\"next\""
    }

    // MARK: Referrers

    private struct ReferrersIndex: Encodable {
        let schemaVersion = 2
        let mediaType = MediaType.ociIndex
        let manifests: [Referrer]
    }

    /// Descriptors on one page have at most this many bytes, so that a client that reads 4 MiB reads it.
    private static let referrersSize = 3 << 20

    private func referrers(
        to subject: Digest, in name: Repository, _ query: QueryItems
    ) async throws -> RegistryAnswer {
        let type = query["artifactType"].flatMap { $0.isEmpty ? nil : $0 }
        let last = query["last"].flatMap { try? Digest($0) }
        let reading = try await attachments.complete(name, layout, disk)
        let page = try await disk.run { [layout] () throws(LayoutError) in
            try layout.referrers(
                to: subject, in: name, reading, type: type, after: last, limit: Self.referrersSize)
        }
        var answer = RegistryAnswer(json: ReferrersIndex(manifests: page.referrers), type: MediaType.ociIndex.name)
        if type != nil { answer.headers[.filtersApplied] = "artifactType" }
        if let last = page.next {
            let filter = type.map { "artifactType=\($0.percentEncoded)&" } ?? ""
            answer.headers[.link] =
                "</v2/\(name)/referrers/\(subject)?\(filter)last=\("\(last)".percentEncoded)>; rel=\"next\""
        }
        return answer
    }
}
