import FoundationEssentials
import Glibc
import OCI

/// The filesystem storage of distribution, written directly: contents by digest, and links that put them into
/// repositories (distribution 2.8, registry/storage/paths.go).
struct RegistryStorage {
    /// The registry's `rootdirectory`.
    let root: String

    private var base: String { "\(root)/docker/registry/v2" }

    /// Stores a small content under its digest.
    func put(_ text: String) throws -> Corpus.Content {
        let bytes = Array(text.utf8)
        let digest = Digest(of: bytes).description
        let path = "\(root)/content"
        try Scratch.write(text, to: path)
        try move(path, in: digest)
        return Corpus.Content(digest: digest, size: bytes.count)
    }

    /// Moves a file to where the content of that digest belongs.
    func move(_ path: String, in digest: String) throws {
        let directory = place(of: digest)
        try Scratch.makeDirectory(directory)
        guard rename(path, "\(directory)/data") == 0 else {
            throw BenchError(.corpus, "cannot move \(path) to \(directory)/data: \(errorText())")
        }
    }

    /// Puts a blob into a repository.
    func link(_ blob: String, in repository: String) throws {
        try write(blob, to: "\(repository)/_layers/sha256/\(hex(blob))")
    }

    /// Puts a manifest into a repository, under its digest and a tag.
    func link(manifest: String, tag: String, in repository: String) throws {
        try write(manifest, to: "\(repository)/_manifests/revisions/sha256/\(hex(manifest))")
        try write(manifest, to: "\(repository)/_manifests/tags/\(tag)/current")
        try write(manifest, to: "\(repository)/_manifests/tags/\(tag)/index/sha256/\(hex(manifest))")
    }

    /// Puts images into another storage, their contents as hard links: a destination that has them.
    func share(_ images: [Corpus.Image], with other: RegistryStorage) throws {
        for image in images {
            for content in image.blobs + [image.manifest] {
                let directory = other.place(of: content.digest)
                try Scratch.makeDirectory(directory)
                guard Glibc.link("\(place(of: content.digest))/data", "\(directory)/data") == 0 || errno == EEXIST
                else {
                    throw BenchError(.corpus, "cannot link \(content.digest) to \(directory): \(errorText())")
                }
            }
            for blob in image.blobs { try other.link(blob.digest, in: image.repository) }
            try other.link(manifest: image.manifest.digest, tag: image.tag, in: image.repository)
        }
    }

    private func place(of digest: String) -> String {
        "\(base)/blobs/sha256/\(hex(digest).prefix(2))/\(hex(digest))"
    }

    private func hex(_ digest: String) -> Substring { digest.dropFirst("sha256:".count) }

    private func write(_ digest: String, to place: String) throws {
        let directory = "\(base)/repositories/\(place)"
        try Scratch.makeDirectory(directory)
        try Scratch.write(digest, to: "\(directory)/link")
    }
}
