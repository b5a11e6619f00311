import FoundationEssentials
import GRDB
import Glibc
import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

@Suite struct SpoolTests {
    private let content = GeneratedBytes(count: 700_000, seed: 1)
    private var descriptor: Descriptor {
        Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
    }

    private func spool(
        _ directory: TemporaryDirectory, disk: Int64 = 1 << 30, small: Int64 = 1000,
        now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
    ) throws -> SpoolDirectory {
        try SpoolDirectory(
            path: directory.file("spool"), memoryLimit: 1 << 20, diskLimit: disk, smallBlobSize: small, now: now)
    }

    private func file(_ directory: TemporaryDirectory, _ digest: Digest) -> String {
        directory.file("spool/\(digest.description.replacing(":", with: "-"))-\(content.count)")
    }

    /// Spools segments of the content as a run does that is then killed.
    private func leave(
        _ ranges: [Range<Int64>], in directory: TemporaryDirectory, size: Int64? = nil,
        _ more: (SpooledBlob) -> Void = { _ in }
    ) async throws {
        let spool = try spool(directory)
        let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: size ?? content.count)
        try await spool.withStorage(for: descriptor) { spooled throws(TransferError) in
            guard case .file(let file) = spooled.storage else { return }
            for range in ranges {
                for segment in segments(of: content, cutAt: [range.lowerBound, range.upperBound])
                where range.lowerBound <= segment.offset && segment.end <= range.upperBound {
                    try file.write(segment.bytes, at: segment.offset)
                    spooled.record(segment.offset..<segment.end, RangeChecksum.of(segment.bytes))
                }
            }
            more(spooled)
        }
        spool.flush()
    }

    private func present(_ directory: TemporaryDirectory, size: Int64? = nil) async throws -> [Range<Int64>] {
        let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: size ?? content.count)
        return try await spool(directory).withStorage(for: descriptor) { spooled throws(TransferError) in
            spooled.present.ranges
        }
    }

    // MARK: What outlives a run

    @Test func aLaterRunFindsWhatAnEarlierOneSpooled() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<262_144, 300_000..<300_001, 400_000..<700_000], in: directory)
            #expect(try await present(directory) == [0..<262_144, 300_000..<300_001, 400_000..<700_000])
        }
    }

    /// A file takes its whole length from the beginning, and also while it waits for a later pass.
    @Test func theBytesOfFilesAreCounted() async throws {
        try await withTemporaryDirectory { directory in
            let spool = try spool(directory)
            #expect(spool.bytesOfFiles == 0)
            let inHand = try await spool.withStorage(for: descriptor) { _ throws(TransferError) in spool.bytesOfFiles }
            #expect(inHand == content.count)
            // Nothing of it came, so nothing stays.
            #expect(spool.bytesOfFiles == 0)
        }
        try await withTemporaryDirectory { directory in
            try await leave([0..<262_144], in: directory)
            #expect(try spool(directory).bytesOfFiles == content.count)
        }
    }

    @Test func tornBytesAreFetchedAgain() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            // A sector of the second segment that never reached the disk.
            let descriptor = open(file(directory, content.digest()), O_WRONLY)
            let zeros = [UInt8](repeating: 0, count: 512)
            #expect(pwrite(descriptor, zeros, zeros.count, 262_144 + 51_200) == 512)
            close(descriptor)
            #expect(try await present(directory) == [0..<262_144, 327_680..<700_000])
        }
    }

    @Test func aFileThatWasCutIsFetchedAgain() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            #expect(truncate(file(directory, content.digest()), 300_000) == 0)
            #expect(try await present(directory) == [0..<262_144])
        }
    }

    /// Some manifest lies about the length: what belongs to one claim is nothing to the other.
    @Test func anotherLengthIsAnotherFile() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            #expect(try await present(directory, size: 524_288) == [])
            #expect(try await present(directory) == [0..<700_000])
        }
    }

    /// The file may become the blob as it is.
    @Test func aFileThatGrewIsCut() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            #expect(truncate(file(directory, content.digest()), 800_000) == 0)
            #expect(try await present(directory) == [0..<700_000])
            var status = stat()
            #expect(stat(file(directory, content.digest()), &status) == 0)
            #expect(status.st_size == 700_000)
        }
    }

    @Test func aPublishedBlobLeavesNothing() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory) { $0.discard() }
            #expect(access(file(directory, content.digest()), F_OK) != 0)
            #expect(try await present(directory) == [])
        }
    }

    @Test func leftoversAreRemoved() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            let unknown = file(directory, Digest(of: [1]))
            let foreign = directory.file("spool/notes.txt")
            for path in [unknown, foreign] {
                try directory.write(String(path.dropFirst(directory.path.count + 1)), "x")
            }
            _ = try spool(directory)
            #expect(access(unknown, F_OK) != 0)
            // Not ours to remove.
            #expect(access(foreign, F_OK) == 0)
            #expect(try await present(directory) == [0..<700_000])
        }
    }

    @Test func staleFilesAreRemoved() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            let path = file(directory, content.digest())
            let old = time(nil) - Int(SpoolDirectory.staleAfter) - 10
            let times = [timeval(tv_sec: old, tv_usec: 0), timeval(tv_sec: old, tv_usec: 0)]
            #expect(utimes(path, times) == 0)
            _ = try spool(directory)
            #expect(access(path, F_OK) != 0)
            #expect(try await present(directory) == [])
        }
    }

    /// Also while the process lives: a list may be gone for longer than an agent is started again.
    @Test func filesBecomeStaleWhileTheyWait() async throws {
        try await withTemporaryDirectory { directory in
            let time = Recorded<Int64>(1_800_000_000)
            let spool = try spool(directory, now: { time.value })
            try await spool.withStorage(for: descriptor) { spooled throws(TransferError) in
                spooled.record(0..<1000, 1)
            }
            time.update { $0 += SpoolDirectory.staleAfter }
            spool.removeStale()
            #expect(spool.leftovers() == [content.digest()])
            time.update { $0 += 1 }
            spool.removeStale()
            #expect(spool.leftovers().isEmpty && spool.bytesOfFiles == 0)
            #expect(access(file(directory, content.digest()), F_OK) != 0)
        }
    }

    /// A journal that cannot be read says nothing about the bytes.
    @Test func bytesOfWhichNothingIsKnownStay() async throws {
        try await withTemporaryDirectory { directory in
            let spool = try spool(directory)
            func breakJournal() {
                let raw = try? DatabaseQueue(path: directory.file("spool/journal.sqlite"))
                #expect((try? raw?.write { try $0.execute(sql: "DROP TABLE extent") }) != nil)
            }
            try await spool.withStorage(for: descriptor) { spooled throws(TransferError) in
                spooled.record(0..<1000, 1)
                spool.flush()
                breakJournal()
            }
            #expect(access(file(directory, content.digest()), F_OK) == 0)
            #expect(spool.bytesOfFiles == content.count)
        }
    }

    /// Where one of two lengths that are claimed for a digest goes, the bytes of the other are known still.
    @Test func aFileThatGoesTakesNothingFromAnotherLength() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            try await leave([], in: directory, size: 524_288)
            let other = "spool/\(content.digest().description.replacing(":", with: "-"))-524288"
            let times = [timeval(tv_sec: time(nil) - 100, tv_usec: 0), timeval(tv_sec: time(nil) - 100, tv_usec: 0)]
            #expect(utimes(directory.file(other), times) == 0)
            let spool = try spool(directory, disk: 1_900_000)
            #expect(spool.bytesOfFiles == 1_224_288)
            let third = Descriptor(mediaType: .ociManifest, digest: Digest(of: [3]), size: 700_000)
            try await spool.withStorage(for: third) { _ throws(TransferError) in }
            #expect(access(directory.file(other), F_OK) != 0)
            let present = try await spool.withStorage(for: descriptor) { spooled throws(TransferError) in
                spooled.present.ranges
            }
            #expect(present == [0..<700_000])
        }
    }

    /// Earlier versions recorded segments of 256 KiB.
    @Test func longerSegmentsThanTodaysAreFound() async throws {
        try await withTemporaryDirectory { directory in
            let bytes = content.bytes(0..<262_144)
            try await leave([], in: directory) { spooled in
                guard case .file(let file) = spooled.storage else { return }
                bytes.withUnsafeBytes { bytes in
                    #expect((try? file.write(bytes, at: 0)) != nil)
                    spooled.record(0..<262_144, RangeChecksum.of(bytes))
                }
            }
            #expect(try await present(directory) == [0..<262_144])
        }
    }

    /// More of them than are read at once.
    @Test func manySmallExtentsAreFound() async throws {
        try await withTemporaryDirectory { directory in
            let count = Int64(SpoolDirectory.extentsAtOnce * 2 + 1)
            let bytes = content.bytes(0..<count * 10)
            try await leave([], in: directory) { spooled in
                guard case .file(let file) = spooled.storage else { return }
                bytes.withUnsafeBytes { bytes in
                    #expect((try? file.write(bytes, at: 0)) != nil)
                    for index in 0..<count {
                        let piece = UnsafeRawBufferPointer(rebasing: bytes[Int(index * 10)..<Int(index * 10 + 10)])
                        spooled.record(index * 10..<index * 10 + 10, RangeChecksum.of(piece))
                    }
                }
            }
            #expect(try await present(directory) == [0..<count * 10])
        }
    }

    @Test func aFileThatIsGoneIsForgotten() async throws {
        try await withTemporaryDirectory { directory in
            try await leave([0..<700_000], in: directory)
            unlink(file(directory, content.digest()))
            #expect(try await present(directory) == [])
        }
    }

    // MARK: Bounds

    @Test func aBlobAboveTheBoundIsRefused() async throws {
        try await withTemporaryDirectory { directory in
            let spool = try spool(directory, disk: 699_999)
            let error = await #expect(throws: TransferError.self) {
                try await spool.withStorage(for: descriptor) { _ throws(TransferError) in }
            }
            #expect(error?.code == .spoolFull)
            #expect(error?.message.contains("\(content.digest())") == true)
            #expect(error?.message.contains("limits.spool") == true)
        }
    }

    /// The blob's file, as large as the blob from its first moment, goes where nothing of it came: a source that fails must
    /// not fill the disk with the lengths of what it does not deliver.
    @Test func aBlobOfWhichNothingCameLeavesNothing() async throws {
        try await withTemporaryDirectory { directory in
            let spool = try spool(directory)
            await #expect(throws: TransferError.self) {
                try await spool.withStorage(for: descriptor) { _ throws(TransferError) in
                    #expect(access(file(directory, content.digest()), F_OK) == 0)
                    throw TransferError(.sourceFailed, "it is gone")
                }
            }
            #expect(access(file(directory, content.digest()), F_OK) != 0)
        }
    }

    /// Blobs that wait for a later pass count towards the bound. What an earlier process left makes room before what this one
    /// has put down, of which the latest does.
    @Test(arguments: [false, true]) func filesThatWaitMakeRoom(isReopened: Bool) async throws {
        try await withTemporaryDirectory { directory in
            let blobs = (1...3).map { seed in
                let content = GeneratedBytes(count: 700_000, seed: UInt64(seed))
                return Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
            }
            var spool = try spool(directory, disk: 1_500_000)
            func leave(_ blob: Descriptor) async throws {
                try await spool.withStorage(for: blob) { spooled throws(TransferError) in
                    spooled.record(0..<1000, 1)
                }
            }
            func there() -> [Bool] { blobs.map { access(file(directory, $0.digest), F_OK) == 0 } }
            try await leave(blobs[0])
            // Older than the next, also for who looks at the files only.
            let times = [timeval(tv_sec: time(nil) - 100, tv_usec: 0), timeval(tv_sec: time(nil) - 100, tv_usec: 0)]
            #expect(utimes(file(directory, blobs[0].digest), times) == 0)
            try await leave(blobs[1])
            #expect(there() == [true, true, false])
            if isReopened {
                spool.flush()
                spool = try self.spool(directory, disk: 1_500_000)
                #expect(there() == [true, true, false])
            }
            try await leave(blobs[2])
            let gone = isReopened ? 0 : 1
            #expect(there() == blobs.indices.map { $0 != gone })
            #expect(spool.leftovers() == Set(blobs.map(\.digest)).subtracting([blobs[gone].digest]))
            #expect(spool.bytesOfFiles == 1_400_000)
            // A smaller bound holds from the start.
            spool.flush()
            _ = try self.spool(directory, disk: 800_000)
            #expect(there().count { $0 } == 1)
        }
    }

    /// A pass after the other, each over more than there is room for: what lies here is found again.
    @Test func goingThroughTooMuchFindsSomeOfItAgain() {
        var waiting = WaitingFiles()
        var found: [String] = []
        for _ in 0..<3 {
            found = []
            for name in ["a", "b", "c", "d"] {
                if waiting.names.contains(name) { found.append(name) }
                waiting.take(name)
                _ = waiting.drop(toFit: 30 - 10)
                waiting.add(name, size: 10, since: 0)
            }
        }
        #expect(found.count >= 2)
    }

    @Test func whatAnEarlierProcessLeftGoesFirst() {
        var waiting = WaitingFiles()
        for (index, name) in ["a", "b", "c"].enumerated() { waiting.addLeft(name, size: 10, since: Int64(index)) }
        for (index, name) in ["d", "e"].enumerated() { waiting.add(name, size: 10, since: Int64(index + 10)) }
        #expect(waiting.drop(toFit: 50) == [])
        waiting.take("b")
        waiting.add("b", size: 10, since: 12)
        #expect(waiting.names == ["a", "c", "d", "e", "b"])
        #expect(waiting.drop(toFit: 49) == ["a"])
        #expect(waiting.drop(toFit: 20) == ["c", "b"])
        #expect(waiting.bytes == 20)
        waiting.take("nobody")
        #expect(waiting.drop(olderThan: 11) == ["d"])
        waiting.add("f", size: 5, since: 13)
        #expect(waiting.drop(toFit: 0) == ["f", "e"])
        #expect(waiting.bytes == 0)
    }

    /// What a large blob's file holds is found too, on a thread that may wait for the disk.
    @Test func aLargeFileIsReadAside() async throws {
        try await withTemporaryDirectory { directory in
            let size = SpoolDirectory.quickSize + 1
            let large = Descriptor(mediaType: .ociManifest, digest: Digest(of: [1]), size: size)
            let spool = try spool(directory)
            let zeros = [UInt8](repeating: 0, count: 1000)
            try await spool.withStorage(for: large) { spooled throws(TransferError) in
                spooled.record(0..<1000, zeros.withUnsafeBytes { RangeChecksum.of($0) })
                spooled.record(1000..<2000, 1)
            }
            let present = try await spool.withStorage(for: large) { spooled throws(TransferError) in
                spooled.present.ranges
            }
            #expect(present == [0..<1000])
        }
    }

    @Test func aSmallBlobTouchesNoDisk() async throws {
        try await withTemporaryDirectory { directory in
            let spool = try spool(directory, small: 700_000)
            try await spool.withStorage(for: descriptor) { spooled throws(TransferError) in
                spooled.record(0..<100, 1)
                #expect(spooled.present.ranges.isEmpty)
            }
            spool.flush()
            #expect(access(file(directory, content.digest()), F_OK) != 0)
            #expect(try await present(directory) == [])
        }
    }

    @Test func aDirectoryThatCannotBeHadIsNamed() async throws {
        try await withTemporaryDirectory { directory in
            for path in [directory.file("none/spool"), try directory.write("a-file", "")] {
                let error = #expect(throws: TransferError.self) {
                    try SpoolDirectory(path: path, memoryLimit: 1, diskLimit: 1, smallBlobSize: 1)
                }
                #expect(error?.code == .spoolFailed)
                #expect(error?.message.contains(path) == true)
            }
        }
    }

    /// A disk of one mebibyte, mounted where the test may.
    @Test func onAFullDiskWhatWaitsMakesRoom() async throws {
        try await withTemporaryDirectory { directory in
            let mount = try await runCommand(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory.path], timeout: 10)
            guard mount.status == 0 else {
                print("Skipped: no small disk to fill, because mount said: \(mount.errorText)")
                return
            }
            defer { umount2(directory.path, Int32(MNT_DETACH)) }
            let spool = try spool(directory)
            try await spool.withStorage(for: descriptor) { spooled throws(TransferError) in
                spooled.record(0..<1000, 1)
            }
            #expect(spool.leftovers() == [content.digest()])
            let other = Descriptor(mediaType: .ociManifest, digest: Digest(of: [1]), size: 600_000)
            try await spool.withStorage(for: other) { spooled throws(TransferError) in spooled.record(0..<1000, 1) }
            #expect(spool.leftovers() == [other.digest])
            spool.flush()
        }
    }

    /// A disk of one mebibyte, mounted where the test may.
    @Test func aFullDiskIsMetBeforeTheFirstByte() async throws {
        try await withTemporaryDirectory { directory in
            let mount = try await runCommand(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory.path])
            guard mount.status == 0 else {
                print("Skipped: no small disk to fill, because mount said: \(mount.errorText)")
                return
            }
            // Lazily: the journal may still be open.
            defer { umount2(directory.path, Int32(MNT_DETACH)) }
            let spool = try spool(directory)
            let large = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: 3 << 20)
            let error = await #expect(throws: TransferError.self) {
                try await spool.withStorage(for: large) { _ throws(TransferError) in }
            }
            #expect(error?.code == .spoolFull)
            #expect(error?.message.contains(content.digest().hex) == true)
            #expect(error?.message.contains("No space left") == true)
            // Nothing is left of it, and what fits goes on.
            #expect(access(file(directory, content.digest()), F_OK) != 0)
            try await spool.withStorage(for: descriptor) { _ throws(TransferError) in }
            spool.flush()
        }
    }
}
