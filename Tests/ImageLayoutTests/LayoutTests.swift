import Glibc
import OCI
import TestSupport
import Testing

@testable import ImageLayout

/// Blobs and manifests on the disk.
@Suite(.timeLimit(.minutes(5)))
struct LayoutTests {
    private let a: Repository
    private let b: Repository

    init() throws {
        a = try Repository("platform/a")
        b = try Repository("platform/b")
    }

    @Test func aRepositoryIsALayout() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            let root = "\(layout.path)/platform/a"
            #expect(exists("\(root)/oci-layout"))
            #expect(exists("\(root)/index.json"))
            for digest in image.allDigests { #expect(exists("\(root)/blobs/sha256/\(digest.hex)")) }
            #expect(try layout.index(of: a)?.entry(.tag(try Tag("1")))?.digest == image.descriptor.digest)
            #expect(try layout.manifest(.tag(try Tag("1")), in: a)?.bytes == image.manifest)
            #expect(try layout.repositories() == [a])
            #expect(try layout.check().problems == [])
        }
    }

    @Test func skopeoReadsARepository() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            let result = try await runCommand(["skopeo", "inspect", "--raw", "oci:\(layout.path)/platform/a:1"])
            #expect(result.status == 0, "\(result.errorText)")
            #expect(result.output == image.manifest)
        }
    }

    @Test func skopeoWritesARepository() async throws {
        try await withLayout { layout, directory in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            let copied = try await runCommand([
                "skopeo", "--insecure-policy", "copy", "oci:\(layout.path)/platform/a:1",
                "oci:\(layout.path)/platform/a:2",
            ])
            #expect(copied.status == 0, "\(copied.errorText)")
            #expect(try layout.index(of: a)?.sortedTags.map(\.name) == ["1", "2"])
            #expect(try layout.check().problems == [])
        }
    }

    /// A repository that skopeo began has directories for what skopeo uses only: it takes digests of other algorithms, and
    /// its garbage is collected.
    @Test func skopeoBeginsARepository() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            let copied = try await runCommand([
                "skopeo", "--insecure-policy", "copy", "--preserve-digests", "oci:\(layout.path)/platform/a:1",
                "oci:\(layout.path)/platform/b:1",
            ])
            #expect(copied.status == 0, "\(copied.errorText)")
            #expect(!exists("\(layout.path)/platform/b/blobs/sha512"))
            try layout.deleteManifest(image.descriptor.digest, in: b)
            #expect(try layout.collectGarbage(olderThan: 0).names == image.allDigests.count)
            let bytes = Array("content".utf8)
            let digest = Digest(of: bytes, algorithm: .sha512)
            try layout.putBlob(bytes, as: digest, in: b)
            #expect(try layout.bytes(digest, in: b) == bytes)
            #expect(try layout.check().problems == [])
        }
    }

    @Test func aMountIsALink() async throws {
        try await withLayout { layout, _ in
            let bytes = Array("content".utf8)
            let digest = Digest(of: bytes)
            try layout.putBlob(bytes, as: digest, in: a)
            #expect(try layout.bytes(digest, in: b) == nil)
            #expect(try layout.mount(digest, from: a, to: b))
            #expect(try layout.bytes(digest, in: b) == bytes)
            #expect(inode(layout.blobPath(digest, in: a)) == inode(layout.blobPath(digest, in: b)))
            #expect(try !layout.mount(Digest(of: [1]), from: a, to: b))
            let other = try Repository("c")
            #expect(try !layout.mount(digest, from: other, to: try Repository("d")))
            #expect(try layout.mount(digest, from: nil, to: other))
        }
    }

    @Test func aFileIsTakenOverWithoutACopy() async throws {
        try await withLayout { layout, _ in
            let bytes = GeneratedBytes(count: 1_000_000, seed: 1).all
            let digest = Digest(of: bytes)
            try layout.makeDirectory(layout.spoolPath)
            let file = "\(layout.spoolPath)/file"
            try write(bytes, to: file)
            let number = inode(file)
            try layout.adopt(file, verified: identity(file), as: digest, in: a)
            unlink(file)
            #expect(inode(layout.blobPath(digest, in: a)) == number)
            #expect(try layout.bytes(digest, in: a) == bytes)
            // Another copy of the same content is not kept.
            try write(bytes, to: file)
            try layout.adopt(file, verified: identity(file), as: digest, in: b)
            #expect(inode(layout.blobPath(digest, in: b)) == number)
        }
    }

    private func identity(_ path: String) throws -> FileIdentity {
        try FileIdentity(OpenFile(existing: path, O_RDONLY, doing: "read").status())
    }

    /// A path says nothing of what was verified: whoever put another file there must not have it served.
    @Test func onlyTheFileThatWasVerifiedIsTakenOver() async throws {
        try await withLayout { layout, _ in
            let bytes = Array("verified".utf8)
            let digest = Digest(of: bytes)
            try layout.makeDirectory(layout.spoolPath)
            let file = "\(layout.spoolPath)/file"
            try write(bytes, to: file)
            let verified = try identity(file)
            try write(Array("something else".utf8), to: "\(file).other")
            #expect(rename("\(file).other", file) == 0)
            #expect(throws: LayoutError.self) { try layout.adopt(file, verified: verified, as: digest, in: a) }
            try write(bytes + [0], to: file)
            #expect(throws: LayoutError.self) { try layout.adopt(file, verified: verified, as: digest, in: a) }
            #expect(try layout.blobSize(digest, in: a) == nil)
        }
    }

    @Test func whatWasVerifiedReplacesWhatIsDamaged() async throws {
        try await withLayout { layout, directory in
            let bytes = Array("content".utf8)
            let digest = Digest(of: bytes)
            try layout.putBlob(bytes, as: digest, in: a)
            damage(layout.blobPath(digest, in: a))
            try layout.makeDirectory(layout.spoolPath)
            try write(bytes, to: "\(layout.spoolPath)/file")
            let file = "\(layout.spoolPath)/file"
            try layout.adopt(file, verified: identity(file), as: digest, in: a)
            #expect(try layout.bytes(digest, in: a) == bytes)
            #expect(try layout.mount(digest, from: nil, to: b))
            #expect(try layout.bytes(digest, in: b) == bytes)
        }
    }

    /// A config, layers small and large, and a manifest: whatever lies there under its name, what is stored again replaces
    /// it where its bytes are wrong.
    @Test func whatIsStoredAgainReplacesWhatIsDamaged() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1, layers: [1000, 2 << 20])
            try layout.put(image, in: a, as: "1")
            try layout.put(image, in: b, as: "1")
            for digest in image.allDigests { damage(layout.blobPath(digest, in: a)) }
            #expect(try layout.check().problems.count > image.allDigests.count)
            try layout.put(image, in: a, as: "1")
            // The other repository had the same files.
            try layout.put(image, in: b, as: "1")
            #expect(try layout.check().problems == [])
            #expect(try layout.manifest(.tag(try Tag("1")), in: b)?.bytes == image.manifest)
            for digest in image.allDigests {
                #expect(inode(layout.blobPath(digest, in: a)) == inode(layout.blobPath(digest, in: b)))
            }
        }
    }

    @Test func aDamagedBlobIsNotMounted() async throws {
        try await withLayout { layout, _ in
            let bytes = Array("content".utf8)
            let digest = Digest(of: bytes)
            try layout.putBlob(bytes, as: digest, in: a)
            damage(layout.blobPath(digest, in: a))
            #expect(try !layout.mount(digest, from: a, to: b))
            #expect(try !layout.mount(digest, from: nil, to: b))
            // Nor is it there where it lies.
            #expect(try !layout.mount(digest, from: nil, to: a))
            try layout.putBlob(bytes, as: digest, in: b)
            #expect(try layout.bytes(digest, in: b) == bytes)
            #expect(try layout.mount(digest, from: b, to: a))
            #expect(try layout.bytes(digest, in: a) == bytes)
        }
    }

    /// To read a large blob for each mount would be dear: it is read where another file says that something was wrong.
    @Test func aLargeBlobIsReadWhereItsFilesDiffer() async throws {
        try await withLayout { layout, _ in
            let bytes = GeneratedBytes(count: 2 << 20, seed: 1).all
            let digest = Digest(of: bytes)
            try layout.putBlob(bytes, as: digest, in: a)
            #expect(try layout.mount(digest, from: a, to: b))
            damage(layout.blobPath(digest, in: a))
            #expect(try layout.mount(digest, from: a, to: b))
            try layout.putBlob(bytes, as: digest, in: a)
            #expect(try layout.bytes(digest, in: a) == bytes)
            #expect(try layout.bytes(digest, in: b) != bytes)
            #expect(try layout.mount(digest, from: a, to: b))
            #expect(try layout.bytes(digest, in: b) == bytes)
            // A good one is not replaced by a bad one.
            damage(layout.blobPath(digest, in: a))
            try layout.putBlob(bytes, as: digest, in: b)
            #expect(try layout.mount(digest, from: a, to: b))
            #expect(try layout.bytes(digest, in: b) == bytes)
        }
    }

    @Test func contentMustHashToItsDigest() async throws {
        try await withLayout { layout, _ in
            let error = #expect(throws: LayoutError.self) {
                try layout.putBlob([1], as: Digest(of: [2]), in: a)
            }
            #expect(error?.code == .digestMismatch)
            let repositories = try layout.repositories()
            #expect(repositories == [])
        }
    }

    @Test func aManifestNeedsItsContent() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            let error = #expect(throws: LayoutError.self) {
                try layout.putManifest(
                    image.manifest, type: image.descriptor.mediaType, as: .tag(try Tag("1")), in: a)
            }
            #expect(error?.code == .missingContent)
            #expect(Set(error?.digests ?? []) == Set(image.blobs.map(\.descriptor.digest)))
            let entries = try layout.index(of: a)?.entries ?? []
            #expect(entries == [])
        }
    }

    @Test func aDamagedManifestIsNotServed() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            damage(layout.blobPath(image.descriptor.digest, in: a))
            let error = #expect(throws: LayoutError.self) { try layout.manifest(.tag(try Tag("1")), in: a) }
            #expect(error?.code == .damaged)
        }
    }

    @Test func directoriesThatAreNoLayouts() async throws {
        try await withTemporaryDirectory { directory in
            try directory.write("full/file", "x")
            let full = #expect(throws: LayoutError.self) { try ImageLayout(path: directory.file("full")) }
            #expect(full?.code == .notALayout)
            let file = #expect(throws: LayoutError.self) { try ImageLayout(path: directory.file("full/file")) }
            #expect(file?.code == .notALayout)
            let deep = #expect(throws: LayoutError.self) { try ImageLayout(path: directory.file("a/b/c")) }
            #expect(deep?.code == .missingRoot)
            let absent = #expect(throws: LayoutError.self) { try ImageLayout(existing: directory.file("x")) }
            #expect(absent?.code == .notALayout)
            _ = try ImageLayout(path: directory.file("x"))
            _ = try ImageLayout(path: directory.file("x/"))
            _ = try ImageLayout(existing: directory.file("x"))
        }
    }

    @Test func manyWritersOfOneRepository() async throws {
        try await withLayout { layout, _ in
            let repository = a
            let images = (0..<20).map { TestImage(seed: UInt64($0), layers: [100]) }
            // Two values on one directory are as two processes.
            let other = try ImageLayout(path: layout.path)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, image) in images.enumerated() {
                    group.addTask {
                        try (number.isMultiple(of: 2) ? layout : other).put(image, in: repository, as: "t\(number)")
                    }
                }
                try await group.waitForAll()
            }
            #expect(try layout.index(of: a)?.sortedTags.count == 20)
            #expect(try other.index(of: a)?.sortedTags.count == 20)
            #expect(try layout.check().problems == [])
        }
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        unlink(path)
        let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        #expect(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    }
}
