import OCI

/// Where things lie below a layout's root: pure.
///
/// | path | content |
/// |---|---|
/// | `REPOSITORY/` | an OCI image layout: `oci-layout`, `index.json`, `blobs/ALGORITHM/HEX` |
/// | `_blobs/ALGORITHM/HEX` | every blob of any repository: the same file, by a hard link |
/// | `_uploads/` | upload sessions |
/// | `_incoming/` | files on their way to their place |
/// | `_spool/` | blobs that an agent is fetching |
///
/// No component of a repository's name begins with `_`, so those directories meet no repository; a component that is
/// itself a name within a layout (`blobs`, `index.json`, `oci-layout`) gets a `+`, which no component has.
struct LayoutPaths: Sendable, Hashable {
    /// The root's path, without a slash at its end.
    let root: String

    static let layoutFile = "oci-layout"
    static let indexFile = "index.json"
    static let blobs = "blobs"
    private static let reserved: Set<Substring> = ["blobs", "index.json", "oci-layout"]

    var sharedBlobs: String { "\(root)/_blobs" }
    var uploads: String { "\(root)/_uploads" }
    var incoming: String { "\(root)/_incoming" }
    var spool: String { "\(root)/_spool" }

    func directory(of repository: Repository) -> String {
        let components = repository.name.split(separator: "/").map { Self.reserved.contains($0) ? "\($0)+" : $0 }
        return "\(root)/\(components.joined(separator: "/"))"
    }

    func index(of repository: Repository) -> String { "\(directory(of: repository))/\(Self.indexFile)" }

    func blobDirectory(_ algorithm: Digest.Algorithm, in repository: Repository) -> String {
        "\(directory(of: repository))/\(Self.blobs)/\(algorithm.rawValue)"
    }

    func blob(_ digest: Digest, in repository: Repository) -> String {
        "\(blobDirectory(digest.algorithm, in: repository))/\(digest.hex)"
    }

    func sharedBlobDirectory(_ algorithm: Digest.Algorithm) -> String { "\(sharedBlobs)/\(algorithm.rawValue)" }

    func sharedBlob(_ digest: Digest) -> String { "\(sharedBlobDirectory(digest.algorithm))/\(digest.hex)" }

    /// The component of a repository's name that a directory's name stands for; `nil` for a name within a layout.
    static func component(ofDirectory name: String) -> String? {
        if name.hasSuffix("+") {
            let component = name.dropLast()
            return reserved.contains(component) ? String(component) : nil
        }
        return reserved.contains(name[...]) || name.hasPrefix("_") ? nil : name
    }
}

extension Digest.Algorithm {
    /// All that a layout holds.
    static let all: [Digest.Algorithm] = [.sha256, .sha512]
}
