import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

@testable import ImageLayout

/// Upload sessions, within and across processes.
@Suite(.timeLimit(.minutes(5)))
struct UploadTests {
    private let repository: Repository
    private let bytes = GeneratedBytes(count: 500_000, seed: 9).all

    init() throws { repository = try Repository("r") }

    @Test(arguments: [Digest.Algorithm.sha256, .sha512], [Digest.Algorithm.sha256, .sha512])
    func committed(started: Digest.Algorithm, ended: Digest.Algorithm) async throws {
        try await withLayout { layout, _ in
            let upload = try layout.startUpload(in: repository, algorithm: started)
            try upload.append(bytes[..<100_000])
            try upload.append(bytes[100_000...])
            #expect(upload.offset == 500_000)
            let digest = Digest(of: bytes, algorithm: ended)
            try upload.commit(as: digest)
            #expect(try layout.bytes(digest, in: repository) == bytes)
            #expect(try layout.uploadCount() == 0)
        }
    }

    @Test func continuedByAnotherProcess() async throws {
        try await withLayout { layout, _ in
            var upload: LayoutUpload? = try layout.startUpload(in: repository)
            let name = try #require(upload?.name)
            try upload?.append(bytes[..<123_456])
            // While it is open, nobody else has it.
            let busy = #expect(throws: LayoutError.self) { try layout.upload(name, in: repository) }
            #expect(busy?.code == .uploadBusy)
            upload = nil
            let other = try ImageLayout(path: layout.path)
            let again = try #require(try other.upload(name, in: repository))
            #expect(again.offset == 123_456)
            try again.append(bytes[123_456...])
            try again.commit(as: Digest(of: bytes))
            #expect(try layout.bytes(Digest(of: bytes), in: repository) == bytes)
        }
    }

    /// What was written after the last time that it was made durable may be anything after a power loss.
    @Test func afterAPowerLossItStandsWhereItWasDurable() async throws {
        try await withLayout { layout, directory in
            var upload: LayoutUpload? = try layout.startUpload(in: repository)
            let name = try #require(upload?.name)
            try upload?.append(bytes[..<1000])
            try upload?.synchronize()
            try upload?.append([UInt8](repeating: 0, count: 5000))
            upload = nil
            let record = layout.uploadRecordPath(name)
            let text = String(decoding: try Data(contentsOf: URL(filePath: record)), as: UTF8.self)
            #expect(text.contains(ImageLayout.bootID))
            try Data(text.replacing(ImageLayout.bootID, with: "another start of the machine").utf8)
                .write(to: URL(filePath: record))
            let again = try #require(try layout.upload(name, in: repository))
            #expect(again.offset == 1000)
            try again.append(bytes[1000...])
            try again.commit(as: Digest(of: bytes))
            #expect(try layout.bytes(Digest(of: bytes), in: repository) == bytes)
        }
    }

    @Test func aWrongDigestPublishesNothing() async throws {
        try await withLayout { layout, _ in
            let upload = try layout.startUpload(in: repository)
            try upload.append(bytes)
            let error = #expect(throws: LayoutError.self) { try upload.commit(as: Digest(of: [1])) }
            #expect(error?.code == .digestMismatch)
            #expect(try layout.bytes(Digest(of: [1]), in: repository) == nil)
            #expect(try layout.bytes(Digest(of: bytes), in: repository) == nil)
            #expect(try layout.uploadCount() == 0)
        }
    }

    @Test func nothing() async throws {
        try await withLayout { layout, _ in
            let upload = try layout.startUpload(in: repository)
            try upload.commit(as: Digest(of: []))
            #expect(try layout.bytes(Digest(of: []), in: repository) == [])
        }
    }

    @Test func anotherRepositorysSessionIsNotThere() async throws {
        try await withLayout { layout, _ in
            let name = try layout.startUpload(in: repository).name
            #expect(try layout.upload(name, in: try Repository("other")) == nil)
            #expect(try layout.upload(name, in: repository) != nil)
        }
    }

    @Test func aDamagedRecordIsNoSession() async throws {
        try await withLayout { layout, _ in
            let name = try layout.startUpload(in: repository).name
            try Data("{".utf8).write(to: URL(filePath: layout.uploadRecordPath(name)))
            #expect(try layout.upload(name, in: repository) == nil)
        }
    }
}
