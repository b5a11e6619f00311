import HTTP
public import OCI

/// What a registry can do that its protocol leaves open, or that its operator can switch off.
public struct CapabilityAnswer: Sendable, Hashable {
    /// What was asked for.
    public enum Capability: String, Sendable, CaseIterable {
        /// Answering at all, with these credentials.
        case access
        /// Serving a part of a blob: large blobs come over several connections, and go on where they broke off.
        case ranges
        /// Taking a blob in several requests.
        case chunks
        /// Telling how much of an upload has arrived.
        case resume
        /// Making a blob of one repository available in another.
        case mount
        /// Listing what is attached to a manifest.
        case referrers
        /// Deleting manifests.
        case delete
    }

    /// How it stands.
    public enum Standing: String, Sendable {
        /// It can.
        case yes
        /// It cannot, and that can be lived with; the words say how.
        case no
        /// It cannot, or nobody knows, and nothing goes on without it.
        case failed
        /// It was not asked, since something to ask with is missing.
        case unknown
    }

    /// What was asked for.
    public let capability: Capability
    /// How it stands.
    public let standing: Standing
    /// What was found, and what to do.
    public let text: String

    init(_ capability: Capability, _ standing: Standing, _ text: String) {
        self.capability = capability
        self.standing = standing
        self.text = text
    }
}

extension RegistryClient {
    /// Asks what a registry can do that content is fetched from. Nothing is changed.
    ///
    /// - Parameters:
    ///   - repository: a repository that there should be
    ///   - blob: a blob in it, with its size in bytes
    public func readingCapabilities(
        _ repository: Repository, blob: (digest: Digest, size: Int64)?
    ) async -> [CapabilityAnswer] {
        do {
            try await prepare([.pull(repository)])
            _ = try await hasManifest(repository, Self.nowhere)
        } catch {
            return [CapabilityAnswer(.access, .failed, "\(error)")]
        }
        var answers = [CapabilityAnswer(.access, .yes, "it answers, and lets \(repository) be read")]
        guard let blob, blob.size > 1 else {
            return answers + [
                CapabilityAnswer(.ranges, .unknown, "nothing that is staged or promoted could be asked for")
            ]
        }
        do {
            let sink = FirstBytes()
            _ = try await fetchBlob(repository, blob.digest, range: 1...1, size: blob.size, into: sink)
            answers.append(CapabilityAnswer(.ranges, .yes, "parts of blobs are served"))
        } catch {
            switch error.code {
            case .rangeIgnored:
                answers.append(
                    CapabilityAnswer(
                        .ranges, .no,
                        "it serves whole blobs only: they come over one connection each, and begin anew where it breaks; a"
                            + " proxy before it may be the reason"))
            case .notFound:
                answers.append(
                    CapabilityAnswer(
                        .ranges, .unknown,
                        "it does not have \(repository)@\(blob.digest): restore it there, or resolve and stage a new list"
                    ))
            default: answers.append(CapabilityAnswer(.ranges, .failed, "\(error)"))
            }
        }
        return answers
    }

    /// Asks what a registry can do that content is pushed to. Uploads that this starts are taken back, and nothing is
    /// deleted: what is asked to be deleted does not exist.
    ///
    /// - Parameters:
    ///   - repository: the repository to try it in
    ///   - blob: a blob that it has; without one, mounts cannot be tried
    public func writingCapabilities(_ repository: Repository, blob: Digest?) async -> [CapabilityAnswer] {
        var answers: [CapabilityAnswer] = []
        do {
            try await prepare([.push(repository)])
            let session = try await startUpload(repository)
            answers.append(CapabilityAnswer(.access, .yes, "it answers, and lets \(repository) be written"))
            answers += await chunkCapabilities(session)
        } catch {
            return [CapabilityAnswer(.access, .failed, "\(error)")]
        }
        answers.append(await mountCapability(repository, blob))
        answers.append(await referrersCapability(repository))
        answers.append(await deleteCapability(repository))
        return answers
    }

    /// The most bytes of a chunk that is tried: 8 MiB.
    private static let largestTrial: Int64 = 8 << 20

    /// A digest of nothing that there is.
    private static let nowhere = Digest(of: Array("rollcall asks whether this is there, and hopes not".utf8))

    private func hasManifest(_ repository: Repository, _ digest: Digest) async throws(RegistryError) -> Bool {
        do {
            return try await manifestHead(repository, .digest(digest)) != nil
        } catch {
            guard error.code == .notFound else { throw error }
            return false
        }
    }

    private func chunkCapabilities(_ fresh: UploadSession) async -> [CapabilityAnswer] {
        var session = fresh
        let size = max(1024, session.minimumChunk ?? 0)
        guard size <= Self.largestTrial else {
            await cancel(session)
            return [
                CapabilityAnswer(.chunks, .unknown, "it wants chunks of at least \(size) bytes, which was not tried")
            ]
        }
        var answers: [CapabilityAnswer] = []
        do {
            let bytes = [UInt8](repeating: 0, count: Int(size))
            session = try await uploadChunk(session, length: size, source: BytesSource(bytes)).session
            answers.append(CapabilityAnswer(.chunks, .yes, "it takes blobs in chunks"))
            do {
                session = try await status(session, sent: size)
                answers.append(
                    session.offset == size
                        ? CapabilityAnswer(.resume, .yes, "it tells where an upload stands")
                        : CapabilityAnswer(
                            .resume, .no,
                            "it says that \(session.offset) of \(size) bytes have arrived: uploads that break off begin anew"
                        ))
            } catch {
                answers.append(CapabilityAnswer(.resume, .no, "uploads that break off begin anew: \(error)"))
            }
        } catch {
            answers.append(
                CapabilityAnswer(
                    .chunks, .no, "blobs go up in one request each, and begin anew where it breaks: \(error)"))
        }
        await cancel(session)
        return answers
    }

    /// Onto itself: where it is already, a mount changes nothing.
    private func mountCapability(_ repository: Repository, _ blob: Digest?) async -> CapabilityAnswer {
        guard let blob else {
            return CapabilityAnswer(.mount, .unknown, "\(repository) has no blob yet that could be mounted")
        }
        do throws(RegistryError) {
            switch try await mountBlob(blob, from: repository, to: repository) {
            case .mounted: return CapabilityAnswer(.mount, .yes, "blobs that another repository has are not sent again")
            case .session(let session):
                await cancel(session)
                return CapabilityAnswer(.mount, .no, "a blob is sent to each repository that needs it")
            case .refused(let error):
                return CapabilityAnswer(.mount, .no, "a blob is sent to each repository that needs it: \(error)")
            }
        } catch {
            return CapabilityAnswer(.mount, .unknown, "\(error)")
        }
    }

    private func referrersCapability(_ repository: Repository) async -> CapabilityAnswer {
        do {
            let referrers = try await referrers(repository, of: Self.nowhere)
            return referrers.fallbackTag == nil
                ? CapabilityAnswer(.referrers, .yes, "it lists what is attached to an image")
                : CapabilityAnswer(
                    .referrers, .no, "what is attached to an image is found by a tag: push with tools that know that")
        } catch {
            return error.code == .notFound
                ? CapabilityAnswer(
                    .referrers, .no, "what is attached to an image is found by a tag: push with tools that know that")
                : CapabilityAnswer(.referrers, .unknown, "\(error)")
        }
    }

    private func deleteCapability(_ repository: Repository) async -> CapabilityAnswer {
        let remedy =
            "'rollcall-agent prune' removes nothing here: enable deletion in the registry"
            + " (distribution: storage.delete.enabled), and give the account the right to it, if it should"
        do {
            try await deleteManifest(repository, .digest(Self.nowhere))
            return CapabilityAnswer(.delete, .yes, "it deletes manifests")
        } catch {
            switch error.code {
            case .notFound: return CapabilityAnswer(.delete, .yes, "it deletes manifests")
            case .unsupported, .denied, .unauthorized: return CapabilityAnswer(.delete, .no, "\(remedy): \(error)")
            default: return CapabilityAnswer(.delete, .unknown, "\(error)")
            }
        }
    }
}

/// Takes what comes and keeps nothing.
private final class FirstBytes: BodySink {
    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition { .stream }
    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer { .consumed }
}
