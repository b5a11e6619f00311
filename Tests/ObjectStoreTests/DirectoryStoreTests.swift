import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import ObjectStore

@Suite struct DirectoryStoreTests {
    private func key(_ path: String) throws -> ObjectKey { try ObjectKey(path) }
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func whatIsPutIsReadAsAFile() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            let outcome = try await store.put(bytes("one"), at: key("a/b/c.json"), condition: .none)
            let object = try #require(try await store.get(key("a/b/c.json")))
            #expect(object.bytes == bytes("one"))
            #expect(outcome == .stored(object.etag))
            // printf one | sha256sum
            #expect(object.etag.text == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed")
            #expect(try String(contentsOfFile: "\(root)/a/b/c.json", encoding: .utf8) == "one")
        }
    }

    /// The clock of the files, and what is larger than asked for.
    @Test func tellsTheFilesClockAndReadsNoMoreThanAsked() async throws {
        try await withTemporaryDirectory { directory in
            let store = DirectoryStore(root: directory.path)
            let lead = try #require(try await store.clockLead())
            #expect(max(lead, .zero - lead) <= .seconds(2))
            #expect(try await store.list(below: nil) == [])
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory.path)/~incoming") == [])
            // A clock that cannot be asked is not one that agrees.
            await #expect(throws: ObjectStoreError.self) {
                try await DirectoryStore(root: "\(directory.path)/nowhere").clockLead()
            }
            try FileManager.default.createDirectory(
                atPath: directory.file("other"), withIntermediateDirectories: true)
            try directory.write("other/~incoming", "no directory")
            await #expect {
                try await DirectoryStore(root: directory.file("other")).clockLead()
            } throws: {
                "\($0)".contains("the file that tells the store's clock")
            }
            _ = try await store.put(bytes("three"), at: key("a"), condition: .none)
            #expect(try await store.get(key("a"), limit: 5)?.bytes == bytes("three"))
            await #expect(throws: ObjectStoreError.self) { try await store.get(key("a"), limit: 4) }
        }
    }

    /// Whether objects can be written is found out without one that anybody sees.
    @Test func theRightToWriteIsTried() async throws {
        try await withTemporaryDirectory { directory in
            let store = DirectoryStore(root: directory.path)
            try await store.requireWritable(below: key("environments/lab/sites"))
            #expect(try await store.list(below: nil) == [])
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory.file("environments/lab/sites")).isEmpty)
            try directory.write("audit", "a file, where a directory is to be")
            await #expect(throws: ObjectStoreError.self) { try await store.requireWritable(below: key("audit")) }
            await #expect(throws: ObjectStoreError.self) {
                try await DirectoryStore(root: "\(directory.path)/nowhere").requireWritable(below: key("audit"))
            }
        }
    }

    /// A sandbox's read-only file system is not a matter of permissions.
    @Test func aReadOnlyFileSystemHasAnAdviceOfItsOwn() {
        let error = ObjectStoreError.from(errno: EROFS, doing: "write", at: "/srv/rollcall")
        #expect(error.code == .permissionDenied)
        #expect(error.message.contains("ReadWritePaths="))
        #expect(!ObjectStoreError.from(errno: EACCES, doing: "write", at: "/srv").message.contains("ReadWritePaths="))
    }

    /// A root with the set-group-ID bit is shared: what is made in it has its permissions, whatever the umask is.
    @Test func aSharedRootIsShared() async throws {
        try await withTemporaryDirectory { directory in
            func mode(_ path: String) -> mode_t {
                var status = stat()
                return stat(directory.file(path), &status) == 0 ? status.st_mode & 0o7777 : 0
            }
            let store = DirectoryStore(root: directory.path)
            try FileManager.default.createDirectory(
                atPath: directory.file("private"), withIntermediateDirectories: true)
            let own = DirectoryStore(root: directory.file("private"))
            #expect(chmod(directory.path, 0o2770) == 0)
            _ = try await store.put(bytes("one"), at: key("a/b/c.json"), condition: .none)
            #expect(mode("a") == 0o2770)
            #expect(mode("a/b") == 0o2770)
            #expect(mode("a/b/c.json") == 0o660)
            #expect(mode("~lock") == 0o660)
            #expect(mode("~incoming") == 0o2770)
            #expect(chmod(directory.file("private"), 0o700) == 0)
            _ = try await own.put(bytes("one"), at: key("a/b"), condition: .none)
            #expect(mode("private/a") & 0o700 == 0o700)
            #expect(mode("private/a/b") & 0o600 == 0o600)
            #expect(mode("private/a") & 0o2000 == 0)
        }
    }

    /// What is tried with is deleted, also where trying ends in an error.
    @Test func whatIsTriedWithIsDeleted() async throws {
        try await withTemporaryDirectory { directory in
            let store = DirectoryStore(root: directory.path)
            let fault = try await store.faultOfExclusion(at: .ofDoctor())
            #expect(fault == nil)
            await #expect(throws: ObjectStoreError.self) {
                try await Failing(store: store).faultOfExclusion(at: .ofDoctor())
            }
            #expect(try await store.list(below: nil) == [])
        }
    }

    @Test func absentObjectsAreAnswers() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            #expect(try await store.get(key("a")) == nil)
            #expect(try await store.get(key("a/b"), ifNoneMatch: ETag("x")) == .absent)
            #expect(try await store.list(below: nil) == [])
            #expect(try await store.list(below: key("a")) == [])
            try await store.delete(key("a/b"))
        }
    }

    @Test func conditionalReadSkipsWhatIsKnown() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            _ = try await store.put(bytes("one"), at: key("a"), condition: .none)
            let object = try #require(try await store.get(key("a")))
            #expect(try await store.get(key("a"), ifNoneMatch: object.etag) == .notModified)
            #expect(try await store.get(key("a"), ifNoneMatch: ETag("other")) == .found(object))
        }
    }

    @Test func conditionsHoldOrConflict() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            #expect(try await store.put(bytes("0"), at: key("a"), condition: .ifMatch(ETag("x"))) == .conflict)
            #expect(try await store.get(key("a")) == nil)
            guard case .stored(let first) = try await store.put(bytes("1"), at: key("a"), condition: .ifAbsent) else {
                Issue.record("an absent object must be created")
                return
            }
            #expect(try await store.put(bytes("2"), at: key("a"), condition: .ifAbsent) == .conflict)
            #expect(try await store.put(bytes("2"), at: key("a"), condition: .ifMatch(ETag("x"))) == .conflict)
            #expect(try await store.get(key("a"))?.bytes == bytes("1"))
            #expect(try await store.put(bytes("2"), at: key("a"), condition: .ifMatch(first)) != .conflict)
            #expect(try await store.put(bytes("3"), at: key("a"), condition: .ifMatch(first)) == .conflict)
            #expect(try await store.get(key("a"))?.bytes == bytes("2"))
            try await store.delete(key("a"))
            #expect(try await store.put(bytes("4"), at: key("a"), condition: .ifAbsent) != .conflict)
            // Refused writes leave nothing behind.
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root)/~incoming").isEmpty)
        }
    }

    @Test func listsBelowAKeyInOrder() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            for path in ["b", "a/2", "a/1", "a/b/c", "a-b", "ab/1"] {
                _ = try await store.put([], at: key(path), condition: .none)
            }
            // Neither a symbolic link nor a name outside the grammar is an object.
            #expect(symlink("\(root)/a", "\(root)/link") == 0)
            try Data().write(to: URL(filePath: "\(root)/b~"))
            #expect(try await store.list(below: nil).map(\.path) == ["a-b", "a/1", "a/2", "a/b/c", "ab/1", "b"])
            #expect(try await store.list(below: key("a")).map(\.path) == ["a/1", "a/2", "a/b/c"])
            #expect(try await store.list(below: key("b")) == [])
        }
    }

    @Test func missingRootIsAnErrorAndIsNotCreated() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.file("absent")
            let store = DirectoryStore(root: root)
            let key = try key("a/b")
            let operations: [(String, () async throws -> Void)] = [
                ("get", { _ = try await store.get(key) }),
                ("put", { _ = try await store.put([1], at: key, condition: .none) }),
                ("create", { _ = try await store.put([1], at: key, condition: .ifAbsent) }),
                ("swap", { _ = try await store.put([1], at: key, condition: .ifMatch(ETag("x"))) }),
                ("list", { _ = try await store.list(below: nil) }),
                ("list below", { _ = try await store.list(below: key) }),
                ("delete", { try await store.delete(key) }),
            ]
            for (name, operation) in operations {
                await #expect("\(name)") {
                    try await operation()
                } throws: { error in
                    (error as? ObjectStoreError)?.code == .missingRoot && "\(error)".contains(root)
                        && "\(error)".contains("create the directory")
                }
            }
            #expect(!FileManager.default.fileExists(atPath: root))
            // A file in its place is no store either.
            try Data().write(to: URL(filePath: root))
            await #expect { try await store.get(key) } throws: { ($0 as? ObjectStoreError)?.code == .missingRoot }
        }
    }

    // Root may read and write everything.
    @Test(.enabled(if: getuid() != 0)) func deniedPermissionSaysWhere() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            _ = try await store.put([1], at: key("a/b"), condition: .none)
            #expect(chmod(root, 0) == 0)
            defer { chmod(root, 0o700) }
            let operations: [() async throws -> Void] = [
                { _ = try await store.get(try ObjectKey("a/b")) },
                { _ = try await store.put([1], at: try ObjectKey("a/c"), condition: .none) },
                { _ = try await store.list(below: nil) },
            ]
            for operation in operations {
                await #expect {
                    try await operation()
                } throws: { error in
                    (error as? ObjectStoreError)?.code == .permissionDenied && "\(error)".contains(root)
                }
            }
        }
    }

    @Test(arguments: [
        (ENOSPC, ObjectStoreError.Code.full, "No space left on device"), (EDQUOT, .full, "free space"),
        (EROFS, .permissionDenied, "Read-only file system"), (EIO, .unavailable, "Input/output error"),
    ])
    func operatingSystemErrorsSayWhatToDo(_ code: Int32, _ expected: ObjectStoreError.Code, _ words: String) {
        let error = ObjectStoreError.from(errno: code, doing: "write", at: "/srv/x")
        #expect(error.code == expected)
        #expect("\(error)".contains(words))
        #expect("\(error)".hasPrefix("/srv/x: cannot write"))
    }

    @Test func objectsOverTheBoundAreRefusedBothWays() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            // A sparse file takes no space.
            let file = open("\(root)/large", O_CREAT | O_WRONLY, 0o644)
            #expect(ftruncate(file, off_t(ObjectStoreLimit.objectSize + 1)) == 0)
            close(file)
            await #expect { try await store.get(key("large")) } throws: { ($0 as? ObjectStoreError)?.code == .tooLarge }
        }
    }

    @Test func leftoversOfCrashedWritersAreInvisibleAndGoWhenOld() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(root: root)
            _ = try await store.put([1], at: key("a"), condition: .none)
            for (name, age) in [("old", StoreFiles.leftoverAge + 60), ("young", StoreFiles.leftoverAge - 60)] {
                let path = "\(root)/~incoming/\(name)"
                try Data([1]).write(to: URL(filePath: path))
                let time = timespec(tv_sec: Glibc.time(nil) - age, tv_nsec: 0)
                #expect(utimensat(AT_FDCWD, path, [time, time], 0) == 0)
            }
            #expect(try await store.list(below: nil).map(\.path) == ["a"])
            _ = try await store.put([2], at: key("a"), condition: .none)
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root)/~incoming") == ["young"])
        }
    }

    @Test func aHeldLockEndsPatienceNotTheStore() async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            let store = DirectoryStore(files: StoreFiles(root: root, patience: .milliseconds(20)))
            _ = try await store.put([1], at: key("a"), condition: .none)
            // Another open file description, as another process has.
            let holder = open("\(root)/~lock", O_RDWR | O_CLOEXEC)
            #expect(flock(holder, LOCK_EX) == 0)
            await #expect { try await store.put([2], at: key("a"), condition: .none) } throws: { error in
                (error as? ObjectStoreError)?.code == .busy && "\(error)".contains("~lock")
            }
            #expect(try await store.get(key("a"))?.bytes == [1])
            // Closing alone leaves the lock to a process that another test is just starting.
            #expect(flock(holder, LOCK_UN) == 0)
            close(holder)
            #expect(try await store.put([2], at: key("a"), condition: .none) != .conflict)
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root)/~incoming").isEmpty)
        }
    }

    /// Twenty stores on one directory write at once, in forty rounds: one write is stored, and it is what is read.
    @Test(arguments: [false, true])
    func oneOfTwentyConcurrentWritersWins(swapping: Bool) async throws {
        try await withTemporaryDirectory { directory in
            let root = directory.path
            for round in 0..<40 {
                let key = try key("race/\(round)")
                var condition = PutCondition.ifAbsent
                if swapping,
                    case .stored(let seed) = try await DirectoryStore(root: root).put([255], at: key, condition: .none)
                {
                    condition = .ifMatch(seed)
                }
                let winners = try await withThrowingTaskGroup(of: UInt8?.self) { [condition] group in
                    for writer in UInt8(0)..<20 {
                        group.addTask {
                            let store = DirectoryStore(root: root)
                            let outcome = try await store.put([writer], at: key, condition: condition)
                            return outcome == .conflict ? nil : writer
                        }
                    }
                    return try await group.reduce(into: []) { winners, writer in winners += writer.map { [$0] } ?? [] }
                }
                #expect(winners.count == 1)
                #expect(try await DirectoryStore(root: root).get(key)?.bytes == winners)
            }
        }
    }
}

/// What is created where another host may have created it already, as on NFS.
@Suite struct DirectoryStoreCreationTests {
    /// Two hosts whose locks and looks tell them nothing of each other: two roots that have one directory of objects in
    /// common, and a lock each. The file system itself lets one of them create, and the other's object stays as it is.
    @Test func creatingNeedsNoLock() async throws {
        try await withTemporaryDirectory { directory in
            let roots = try ["a", "b"].map { name in
                let root = directory.file(name)
                try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
                return root
            }
            let shared = directory.file("shared")
            try FileManager.default.createDirectory(atPath: shared, withIntermediateDirectories: true)
            for root in roots { #expect(symlink(shared, "\(root)/audit") == 0) }
            for round in 0..<200 {
                let key = try ObjectKey("audit/\(round)")
                let winners = try await withThrowingTaskGroup(of: UInt8?.self) { group in
                    for writer in UInt8(0)..<8 {
                        let store = DirectoryStore(root: roots[Int(writer) % roots.count])
                        group.addTask {
                            try await store.put([writer], at: key, condition: .ifAbsent) == .conflict ? nil : writer
                        }
                    }
                    return try await group.reduce(into: []) { winners, writer in winners += writer.map { [$0] } ?? [] }
                }
                #expect(winners.count == 1)
                for root in roots {
                    #expect(try await DirectoryStore(root: root).get(key)?.bytes == winners)
                }
            }
            for root in roots {
                #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root)/~incoming").isEmpty)
            }
        }
    }

    /// Each of the ways, whatever this host believes: what is there stays there.
    @Test func whatIsThereIsNotReplaced() async throws {
        try await withTemporaryDirectory { directory in
            let files = StoreFiles(root: directory.path)
            func text(_ name: String) throws -> String {
                try String(contentsOfFile: directory.file(name), encoding: .utf8)
            }
            for (name, create) in [("link", files.create), ("rename", files.createByRenaming)] {
                let path = directory.file(name)
                let first = try create(path, directory.write("\(name)-1", "first"))
                let second = try create(path, directory.write("\(name)-2", "second"))
                #expect(first && !second)
                #expect(try text(name) == "first")
                #expect(try text("\(name)-2") == "second")
                #expect(throws: ObjectStoreError.self) { try create(directory.file("nowhere/x"), path) }
            }
        }
    }

    /// A server whose first reply was lost is asked again, and finds what it did itself.
    @Test func aLostReplyIsMadeUpFor() async throws {
        try await withTemporaryDirectory { directory in
            let files = StoreFiles(root: directory.path)
            let (path, incoming) = (directory.file("a"), try directory.write("incoming", "one"))
            for _ in 0..<2 {
                let isCreated = try files.create(path, from: incoming)
                #expect(isCreated)
            }
        }
    }
}

/// A store that cannot be read.
private struct Failing: ObjectStore {
    let store: DirectoryStore
    func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        throw ObjectStoreError(.unavailable, "gone", at: key.path)
    }
    func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        try await store.put(bytes, at: key, condition: condition)
    }
    func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        try await store.list(below: prefix, continuingFrom: continuation)
    }
    func delete(_ key: ObjectKey) async throws(ObjectStoreError) { try await store.delete(key) }
}
