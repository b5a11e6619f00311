import FoundationEssentials
import Glibc
import ImageLayout
import OCI
import TestSupport

/// Runs `body` with an empty layout.
func withLayout(_ body: (ImageLayout, TemporaryDirectory) async throws -> Void) async throws {
    try await withTemporaryDirectory("layout") { directory in
        try await body(try ImageLayout(path: directory.file("registry")), directory)
    }
}

extension ImageLayout {
    /// Stores an image with everything it needs.
    func put(_ image: TestImage, in repository: Repository, as tag: String? = nil) throws {
        for blob in image.blobs { try putBlob(blob.content.all, as: blob.descriptor.digest, in: repository) }
        for child in image.children { try put(child, in: repository) }
        let reference = try tag.map { ManifestReference.tag(try Tag($0)) } ?? .digest(image.descriptor.digest)
        try putManifest(image.manifest, type: image.descriptor.mediaType, as: reference, in: repository)
    }

    /// A blob's bytes.
    func bytes(_ digest: Digest, in repository: Repository) throws -> [UInt8]? {
        guard let blob = try openBlob(digest, in: repository) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(blob.size))
        let count = try bytes.withUnsafeMutableBytes { try blob.read(into: $0, at: 0) }
        return Array(bytes[..<count])
    }

    /// Where a repository keeps a blob.
    func blobPath(_ digest: Digest, in repository: Repository) -> String {
        "\(path)/\(repository)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)"
    }
}

extension LayoutUpload {
    func append(_ bytes: some Sequence<UInt8>) throws {
        try Array(bytes).withUnsafeBytes { try append($0) }
    }
}

/// The inode of a file, which tells links of one file from copies.
func inode(_ path: String) -> UInt {
    var status = stat()
    return lstat(path, &status) == 0 ? UInt(status.st_ino) : 0
}

/// Whether there is a file.
func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Overwrites the beginning of a file in place, whoever may write it.
func overwrite(_ path: String, with bytes: [UInt8]) {
    chmod(path, 0o644)
    let descriptor = open(path, O_RDWR)
    defer { close(descriptor) }
    pwrite(descriptor, bytes, bytes.count, 0)
    chmod(path, 0o444)
}

/// Overwrites the first byte of a file, whoever may write it.
func damage(_ path: String) {
    chmod(path, 0o644)
    let descriptor = open(path, O_RDWR)
    defer { close(descriptor) }
    var byte: UInt8 = 0
    pread(descriptor, &byte, 1, 0)
    byte ^= 0xFF
    pwrite(descriptor, &byte, 1, 0)
    chmod(path, 0o444)
}
