import Glibc
import OCI
import TestSupport
import Testing

@testable import ImageLayout

/// Mark and sweep, and what it leaves alone.
@Suite(.timeLimit(.minutes(5)))
struct GarbageTests {
    private let a: Repository
    private let b: Repository

    init() throws {
        a = try Repository("a")
        b = try Repository("b")
    }

    @Test func whatNoManifestNamesGoes() async throws {
        try await withLayout { layout, _ in
            let kept = TestImage(seed: 1)
            let gone = TestImage(seed: 2)
            try layout.put(kept, in: a, as: "1")
            try layout.put(gone, in: a, as: "2")
            try layout.put(TestImage(index: [TestImage(seed: 3)]), in: a, as: "3")
            try layout.deleteManifest(gone.descriptor.digest, in: a)
            let dry = try layout.collectGarbage(olderThan: 0, isDry: true)
            #expect(dry.names == gone.allDigests.count)
            #expect(try layout.bytes(gone.descriptor.digest, in: a) != nil)
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.names == gone.allDigests.count)
            #expect(report.blobs == gone.allDigests.count)
            #expect(report.bytes > 200_000)
            for digest in gone.allDigests { #expect(!exists(layout.blobPath(digest, in: a))) }
            #expect(try layout.check().problems == [])
            #expect(try layout.collectGarbage(olderThan: 0) == GarbageReport())
        }
    }

    /// Wherever a collection is stopped, what is left is sound, and the next one goes on.
    @Test func aCollectionIsStopped() async throws {
        try await withLayout { layout, _ in
            let kept = TestImage(seed: 1)
            let gone = TestImage(seed: 2)
            try layout.put(kept, in: a, as: "1")
            try layout.put(gone, in: a, as: "2")
            try layout.deleteManifest(gone.descriptor.digest, in: a)
            var answers = 0
            while true {
                var asked = 0
                do throws(LayoutError) {
                    _ = try layout.collectGarbage(
                        olderThan: 0,
                        isCancelled: {
                            asked += 1
                            return asked > answers
                        })
                    break
                } catch {
                    #expect(error.code == .cancelled)
                    let problems = try layout.check().problems
                    #expect(problems == [])
                    answers += 1
                }
            }
            // Before each manifest, and before each name and each file that goes.
            #expect(answers > gone.allDigests.count)
            for digest in gone.allDigests { #expect(!exists(layout.blobPath(digest, in: a))) }
            for digest in kept.allDigests { #expect(exists(layout.blobPath(digest, in: a))) }
        }
    }

    @Test func aLayerOfAnotherImageStays() async throws {
        try await withLayout { layout, _ in
            let first = TestImage(seed: 1, layers: [1000])
            let second = TestImage(seed: 1, layers: [1000, 2000])
            try layout.put(first, in: a, as: "1")
            try layout.put(second, in: a, as: "2")
            try layout.deleteManifest(second.descriptor.digest, in: a)
            _ = try layout.collectGarbage(olderThan: 0)
            #expect(try layout.check().problems == [])
            #expect(!exists(layout.blobPath(second.blobs[2].descriptor.digest, in: a)))
        }
    }

    @Test func aBlobOfAnotherRepositoryStaysThere() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            try layout.put(image, in: b, as: "1")
            try layout.deleteManifest(image.descriptor.digest, in: a)
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.names == image.allDigests.count)
            #expect(report.blobs == 0)
            #expect(try layout.check().problems == [])
            #expect(try layout.manifest(.tag(try Tag("1")), in: b)?.bytes == image.manifest)
        }
    }

    @Test func whatIsYoungStays() async throws {
        try await withLayout { layout, _ in
            try layout.putBlob([1], as: Digest(of: [1]), in: a)
            let upload = try layout.startUpload(in: a)
            #expect(try layout.collectGarbage() == GarbageReport())
            #expect(try layout.bytes(Digest(of: [1]), in: a) == [1])
            #expect(upload.offset == 0)
        }
    }

    @Test func uploadsThatNobodyContinuesGo() async throws {
        try await withLayout { layout, _ in
            _ = try layout.startUpload(in: a)
            let open = try layout.startUpload(in: a)
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.uploads == 1)
            #expect(try layout.uploadCount() == 1)
            try open.append([1, 2])
            try open.commit(as: Digest(of: [1, 2]))
        }
    }

    /// A record without data counts as an unfinished upload, and nobody can finish it.
    @Test func recordsOfUploadsWithoutDataGo() async throws {
        try await withLayout { layout, _ in
            let upload = try layout.startUpload(in: a)
            unlink(layout.uploadDataPath(upload.name))
            #expect(try layout.uploadCount() == 1)
            #expect(try layout.collectGarbage().uploads == 0)
            #expect(try layout.collectGarbage(olderThan: 0, isDry: true).uploads == 1)
            #expect(try layout.uploadCount() == 1)
            #expect(try layout.collectGarbage(olderThan: 0).uploads == 1)
            #expect(try layout.uploadCount() == 0)
        }
    }

    /// Without any grace, an upload is in use from its first moment.
    @Test func racingUploads() async throws {
        try await withLayout { layout, _ in
            let repository = a
            let other = try ImageLayout(path: layout.path)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        _ = try other.collectGarbage(olderThan: 0)
                        await Task.yield()
                    }
                }
                try await withThrowingTaskGroup(of: Void.self) { uploads in
                    for worker in 0..<2 {
                        uploads.addTask {
                            for round in 0..<200 {
                                let bytes = Array("\(worker) \(round)".utf8)
                                let upload = try layout.startUpload(in: repository)
                                try upload.append(bytes)
                                try upload.commit(as: Digest(of: bytes))
                            }
                        }
                    }
                    try await uploads.waitForAll()
                }
                group.cancelAll()
                try await group.waitForAll()
            }
            #expect(try layout.uploadCount() == 0)
            #expect(try layout.check().problems == [])
        }
    }

    /// What a damaged manifest names is not known: its repository is left alone, others are not.
    @Test func aDamagedManifestStopsItsRepository() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            damage(layout.blobPath(image.descriptor.digest, in: a))
            try layout.putBlob([1], as: Digest(of: [1]), in: b)
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.skipped.count == 1)
            #expect(report.names == 1)
            for digest in image.allDigests { #expect(exists(layout.blobPath(digest, in: a))) }
        }
    }

    /// What a manifest named whose file is gone is not known either, until it is pushed again or deleted.
    @Test func aLostManifestStopsItsRepository() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            let layer = image.blobs[1].descriptor.digest
            try layout.put(image, in: a, as: "1")
            try layout.putBlob([1], as: Digest(of: [1]), in: b)
            unlink(layout.blobPath(image.descriptor.digest, in: a))
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.skipped.count == 1)
            #expect(report.names == 1)
            for blob in image.blobs { #expect(exists(layout.blobPath(blob.descriptor.digest, in: a))) }
            let kept = #expect(throws: LayoutError.self) { try layout.deleteBlob(layer, in: a) }
            #expect(kept?.code == .damaged)
            try layout.put(image, in: a, as: "1")
            #expect(try layout.collectGarbage(olderThan: 0) == GarbageReport())
            unlink(layout.blobPath(image.descriptor.digest, in: a))
            try layout.deleteManifest(image.descriptor.digest, in: a)
            #expect(try layout.collectGarbage(olderThan: 0).names == image.blobs.count)
        }
    }

    /// Of a repository without its index nobody knows what it needs. An index that a push began anew would name little, and
    /// make garbage of the rest.
    @Test func aLostIndexStopsItsRepository() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            try layout.putBlob([1], as: Digest(of: [1]), in: b)
            unlink("\(layout.path)/a/index.json")
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.skipped.count == 1)
            #expect(report.names == 1)
            for digest in image.allDigests { #expect(exists(layout.blobPath(digest, in: a))) }
            #expect(try layout.check().problems.count == 1)
            let kept = #expect(throws: LayoutError.self) {
                try layout.deleteBlob(image.blobs[1].descriptor.digest, in: a)
            }
            #expect(kept?.code == .damaged)
            let refused = #expect(throws: LayoutError.self) { try layout.put(image, in: a, as: "1") }
            #expect(refused?.code == .damaged)
            // Somebody has given it up.
            unlink("\(layout.path)/a/oci-layout")
            try layout.put(image, in: a, as: "1")
            #expect(try layout.check().problems == [])
            #expect(try layout.collectGarbage(olderThan: 0).names == 0)
        }
    }

    /// To know what is in use takes all manifests to be read, before the lock: who holds it meanwhile does not matter.
    @Test func whatIsInUseIsSaidWithoutTheLock() async throws {
        try await withLayout { layout, _ in
            let child = TestImage(seed: 1)
            try layout.put(TestImage(index: [child]), in: a, as: "1")
            let directory = try OpenFile(existing: "\(layout.path)/a", O_RDONLY | O_DIRECTORY, doing: "lock")
            try directory.lock(LOCK_SH)
            let layer = #expect(throws: LayoutError.self) {
                try layout.deleteBlob(child.blobs[1].descriptor.digest, in: a)
            }
            #expect(layer?.code == .inUse)
            let manifest = #expect(throws: LayoutError.self) {
                try layout.deleteManifest(child.descriptor.digest, in: a)
            }
            #expect(manifest?.code == .inUse)
            _ = consume directory
        }
    }

    /// One digit of a layer's digest has turned into another: it is still a manifest, of another image. The layer that it
    /// named stays.
    @Test func aManifestWithAFlippedDigitStopsItsRepository() async throws {
        try await withLayout { layout, _ in
            let image = TestImage(seed: 1)
            try layout.put(image, in: a, as: "1")
            let layer = image.blobs[1].descriptor.digest
            let other: Character = layer.hex.last == "0" ? "1" : "0"
            let flipped = Array(
                String(decoding: image.manifest, as: UTF8.self)
                    .replacing(layer.hex, with: "\(layer.hex.dropLast())\(other)").utf8)
            #expect(try Manifest(parsing: flipped, contentType: image.descriptor.mediaType).blobs.count == 3)
            overwrite(layout.blobPath(image.descriptor.digest, in: a), with: flipped)
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.skipped.count == 1)
            #expect(exists(layout.blobPath(layer, in: a)))
            // Nor may it be deleted on that manifest's word.
            #expect(throws: LayoutError.self) { try layout.deleteBlob(layer, in: a) }
            #expect(exists(layout.blobPath(layer, in: a)))
            #expect(try layout.check(readsContents: false).problems.count == 1)
        }
    }

    /// A blob that is a layer of one image and also a manifest of its own: both ways are followed.
    @Test func aManifestThatIsALayerTooIsFollowed() async throws {
        try await withLayout { layout, _ in
            let inner = TestImage(seed: 1)
            try layout.put(inner, in: a, as: "inner")
            let outer = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)",
                 "config":{"mediaType":"a/b","digest":"\(inner.blobs[0].descriptor.digest)",\
                "size":\(inner.blobs[0].descriptor.size)},
                 "layers":[{"mediaType":"a/b","digest":"\(inner.descriptor.digest)","size":\(inner.manifest.count)}]}
                """.utf8)
            try layout.putManifest(outer, type: .ociManifest, as: .tag(try Tag("outer")), in: a)
            _ = try layout.collectGarbage(olderThan: 0)
            #expect(try layout.check().problems == [])
        }
    }

    /// An index as BuildKit writes it for its cache: what it names are layers and a config, and no manifests.
    @Test func anIndexOfLayersIsNoObstacle() async throws {
        try await withLayout { layout, directory in
            let layer = Array("layer".utf8)
            let config = Array("config".utf8)
            for bytes in [layer, config] { try layout.putBlob(bytes, as: Digest(of: bytes), in: a) }
            let cache = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[
                 {"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"\(Digest(of: layer))",\
                "size":\(layer.count)},
                 {"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":"\(Digest(of: config))",\
                "size":\(config.count)}]}
                """.utf8)
            try layout.putManifest(cache, type: .ociIndex, as: .tag(try Tag("cache")), in: a)
            try layout.putBlob([1], as: Digest(of: [1]), in: a)
            try layout.deleteBlob(Digest(of: [1]), in: a)
            let named = #expect(throws: LayoutError.self) { try layout.deleteBlob(Digest(of: layer), in: a) }
            #expect(named?.code == .inUse)
            try layout.putBlob([2], as: Digest(of: [2]), in: a)
            let report = try layout.collectGarbage(olderThan: 0)
            #expect(report.skipped == [])
            #expect(report.names == 1)
            #expect(try layout.check().problems == [])

            let other = try ImageLayout(path: directory.file("other"))
            _ = try other.importImages(from: "\(layout.path)/a", to: b)
            #expect(try other.manifest(.tag(try Tag("cache")), in: b)?.bytes == cache)
            #expect(try other.bytes(Digest(of: layer), in: b) == layer)
            #expect(try other.check().problems == [])
        }
    }

    /// A manifest that does not say its type, and that an index calls something else: the type counts that it was pushed
    /// with.
    @Test func aChildThatItsIndexMistakesIsFollowed() async throws {
        try await withLayout { layout, _ in
            let config = Array("config".utf8)
            try layout.putBlob(config, as: Digest(of: config), in: a)
            let child = Array(
                """
                {"schemaVersion":2,"config":{"mediaType":"a/b","digest":"\(Digest(of: config))","size":\(config.count)}}
                """.utf8)
            try layout.putManifest(child, type: .ociManifest, as: .digest(Digest(of: child)), in: a)
            let index = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[
                 {"mediaType":"\(MediaType.dockerList)","digest":"\(Digest(of: child))","size":\(child.count)}]}
                """.utf8)
            try layout.putManifest(index, type: .ociIndex, as: .tag(try Tag("1")), in: a)
            #expect(try layout.collectGarbage(olderThan: 0) == GarbageReport())
            #expect(try layout.check().problems == [])
        }
    }

    /// Pushes and collections at once, with no grace for blobs but what the lock gives: each accepted manifest has all
    /// that it names, and each refused one says what it lacks.
    @Test func racingPushes() async throws {
        try await withLayout { layout, _ in
            let repository = a
            let other = try ImageLayout(path: layout.path)
            try await withThrowingTaskGroup(of: Int.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        var accepted = 0
                        for round in 0..<15 {
                            let image = TestImage(seed: UInt64(worker * 100 + round), layers: [500, 700])
                            do {
                                try layout.put(image, in: repository, as: "w\(worker)")
                                accepted += 1
                            } catch let error as LayoutError {
                                #expect(error.code == .missingContent || error.code == .unavailable)
                            }
                            if round.isMultiple(of: 3) {
                                try? layout.deleteManifest(image.descriptor.digest, in: repository)
                            }
                        }
                        return accepted
                    }
                }
                group.addTask {
                    for _ in 0..<40 { _ = try other.collectGarbage(olderThan: 0) }
                    return 0
                }
                _ = try await group.reduce(0, +)
            }
            #expect(try layout.check().problems == [])
        }
    }

    /// With the grace period, nothing that a push relies on is ever taken: every push succeeds.
    @Test func racingPushesWithGrace() async throws {
        try await withLayout { layout, _ in
            let repository = a
            let other = try ImageLayout(path: layout.path)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        for round in 0..<15 {
                            let image = TestImage(seed: UInt64(worker * 100 + round), layers: [500, 700])
                            try layout.put(image, in: repository, as: "w\(worker)")
                            try layout.deleteManifest(image.descriptor.digest, in: repository)
                            try layout.put(image, in: repository, as: "w\(worker)")
                        }
                    }
                }
                group.addTask { for _ in 0..<40 { _ = try other.collectGarbage(olderThan: 60) } }
                try await group.waitForAll()
            }
            #expect(try layout.check().problems == [])
        }
    }
}
