import HTTP
public import OCI

/// A blob upload in progress at a registry (distribution-spec v1.1.1, Pushing blobs). A value: a journal can hold it.
///
/// Every request of the session answers with a new one; only the latest is valid.
public struct UploadSession: Hashable, Sendable, Codable {
    /// The repository that will hold the blob.
    public let repository: Repository
    /// Where to send what comes next: absolute, opaque, and a secret in so far as who knows it can write to the session.
    public let location: String
    /// How many bytes the registry holds, as far as is known: where the next chunk starts.
    public let offset: Int64
    /// The fewest bytes of a chunk that is not the last, where the registry says so (`OCI-Chunk-Min-Length`).
    public let minimumChunk: Int64?

    /// - Parameters:
    ///   - repository: the repository that will hold the blob
    ///   - location: where to send what comes next, absolute
    ///   - offset: how many bytes the registry holds
    ///   - minimumChunk: the fewest bytes of a chunk that is not the last
    public init(repository: Repository, location: String, offset: Int64 = 0, minimumChunk: Int64? = nil) {
        self.repository = repository
        self.location = location
        self.offset = offset
        self.minimumChunk = minimumChunk
    }
}

extension UploadSession: CustomStringConvertible {
    /// Without the location's query.
    public var description: String { "\(repository) at \(offset): \(location.prefix { $0 != "?" })" }
}

/// What the `Range` of an upload reply says, with what registries really mean by it.
public enum UploadRange {
    /// Reads how many bytes a status reply claims (`204` with `Range: 0-LAST`), never more than we sent.
    ///
    /// - `0-0` is nothing or one byte (distribution and zot say it of an empty session): taken as nothing.
    /// - Quay says `bytes=0-N` with N the number of bytes, one too high, and `bytes=0--1` of an empty session
    ///   (quay, endpoints/v2/blob.py): with the prefix N is the count, unless N + 1 is all that we sent.
    ///
    /// - Parameters:
    ///   - value: the header field; `nil` where there is none
    ///   - sent: the most bytes that may have reached the registry
    /// - Returns: the offset to continue from; `nil` for text that cannot be read
    public static func statusOffset(_ value: String?, sent: Int64) -> Int64? {
        guard let value else { return 0 }
        guard let last = last(value) else { return nil }
        if last <= 0 { return 0 }
        let isCount = value.trimmed.hasPrefix("bytes=") && last + 1 != sent
        return min(isCount ? last : last + 1, sent)
    }

    /// How the `Range` of an accepted chunk compares with what we sent.
    public enum Agreement: Hashable, Sendable {
        /// It says what we know, or says nothing.
        case agrees
        /// It claims more than we sent: clamped.
        case ahead
        /// The registry kept a part of the chunk: continue from the session's offset.
        case partial
        /// It did not move although the chunk was accepted, as at ECR, which repeats its first answer
        /// (aws/containers-roadmap#2831): our own offset is trusted, and the digest at the commit decides.
        case stuck
    }

    /// The offset after a chunk was accepted.
    ///
    /// - Parameters:
    ///   - value: the header field; `nil` where there is none
    ///   - previous: the offset before the chunk
    ///   - sent: the offset after all of it, greater than `previous`
    public static func chunkOffset(_ value: String?, previous: Int64, sent: Int64) -> (Int64, Agreement) {
        guard let value, let last = last(value) else { return (sent, .agrees) }
        let claimed = last + 1
        if claimed == sent { return (sent, .agrees) }
        if claimed > sent { return (sent, .ahead) }
        return claimed > previous && last > 0 ? (claimed, .partial) : (sent, .stuck)
    }

    /// The last position of `[bytes=]0-LAST`; -1 for Quay's `0--1`.
    private static func last(_ value: String) -> Int64? {
        var text = value.trimmed[...]
        if text.hasPrefix("bytes=") { text = text.dropFirst(6) }
        if text == "0--1" { return -1 }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, ends[0] == "0" else { return nil }
        return ends[1].decimal
    }
}
