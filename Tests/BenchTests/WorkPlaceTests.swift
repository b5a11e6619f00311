import FoundationEssentials
import Glibc
import TestSupport
import Testing

@testable import Bench

/// Where files go, and whose the place is.
@Suite(.timeLimit(.minutes(5))) struct WorkPlaceTests {
    private let mounts = """
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
        23 22 0:21 / /dev/shm rw,nosuid shared:4 master:1 - tmpfs tmpfs rw
        24 22 0:30 / /mnt/my\\040disk rw - xfs /dev/sdb rw
        25 24 0:31 / /mnt/my\\040disk/in rw - nfs4 server:/x rw
        26 22 0:32 / /mnt/twice rw - ext4 /dev/sdc rw
        27 26 0:33 / /mnt/twice rw - btrfs /dev/sdd rw
        no mount at all
        """

    @Test(arguments: [
        ("/dev/shm/a", "tmpfs"), ("/dev/shm", "tmpfs"), ("/dev/shmooze", "ext4"), ("/var/tmp", "ext4"),
        ("/mnt/my disk/a", "xfs"), ("/mnt/my disk/in/a", "nfs4"), ("/mnt/twice/a", "btrfs"),
    ])
    func theNearestMountTellsTheFileSystem(_ path: String, _ type: String) {
        #expect(WorkPlace.fileSystem(of: path, in: mounts) == type)
    }

    @Test func withoutMountsTheFileSystemIsUnknown() {
        #expect(WorkPlace.fileSystem(of: "/a", in: "") == "unknown")
        #expect(WorkPlace.fileSystem(of: "/a", in: "1 2 3 / / rw - \n") == "unknown")
    }

    @Test(arguments: [
        (100, "ext4", "MemAvailable: 1 kB", 100), (100, "tmpfs", "", 100),
        // Of what is in memory half is left to the tools.
        (1 << 20, "tmpfs", "MemTotal: 9 kB\nMemAvailable:    1024 kB\n", 512 << 10),
        (1000, "tmpfs", "MemAvailable:    1024 kB\n", 1000),
    ])
    func aFileSystemInMemoryIsNotFilled(_ free: Int, _ type: String, _ memory: String, _ room: Int) {
        #expect(WorkPlace.room(free: free, type, memory: memory) == room)
    }

    @Test func aNamedPlaceIsTheOnlyOne() throws {
        let directory = try TemporaryDirectory("place")
        defer { directory.remove() }
        let places = try WorkPlace.candidates(directory.file("a/b"))
        #expect(places.map(\.directory) == [directory.file("a/b")])
        #expect(places.first?.fileSystem != "unknown")
        #expect(places.allSatisfy { !$0.isShared && $0.room > 0 })
        // Without a name there are places of this user's own.
        let own = try WorkPlace.candidates(nil)
        #expect(!own.isEmpty)
        #expect(own.allSatisfy { $0.isShared && $0.directory.hasSuffix("/rollcall-bench-\(geteuid())") })
    }

    @Test func withoutRoomThereIsNoPlace() throws {
        let directory = try TemporaryDirectory("place")
        defer { directory.remove() }
        do {
            try WorkPlace.open(directory.path) { _ in Int.max }
            Issue.record("there is no such room")
        } catch let error as BenchError {
            #expect(error.code == .unavailable)
            #expect(error.message.contains("--work"))
        }
    }

    @Test func aPlaceAmongOthersIsThisUsersAlone() throws {
        let directory = try TemporaryDirectory("own")
        defer { directory.remove() }
        let own = directory.file("own")
        try Scratch.makeOwn(own)
        var status = stat()
        let code = stat(own, &status)
        #expect(code == 0)
        #expect(status.st_mode & 0o777 == 0o700)
        // It may be there already, if it is ours.
        try Scratch.makeOwn(own)

        let link = directory.file("link")
        #expect(symlink(own, link) == 0)
        #expect(throws: BenchError.self) { try Scratch.makeOwn(link) }
        #expect(chmod(own, 0o777) == 0)
        #expect(throws: BenchError.self) { try Scratch.makeOwn(own) }
        let file = try directory.write("file", "x")
        #expect(throws: BenchError.self) { try Scratch.makeOwn(file) }
    }
}
