import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

/// Directories that cannot be read or written, and disks that are full.
@Suite(.timeLimit(.minutes(5))) struct FileSystemBadInputTests {
    private static let agent = ["--config", "agent.yaml"]
    private static let permission = "Permission denied"

    static let permissions: [(Executable, BadInput)] = [
        (
            .rollcall,
            BadInput(
                "images file", ["list", "resolve", "images.yaml", "-o", "new.json"], 64, ["images.yaml: ", permission]
            ) {
                try $0.directory.permit("images.yaml", 0o000)
            }
        ),
        (
            .rollcall,
            BadInput(
                "output", ["list", "resolve", "images.yaml", "-o", "locked/new.json"], 1,
                ["locked/new.json: ", permission]
            ) {
                try $0.directory.write("locked/other", "")
                try $0.directory.permit("locked", 0o555)
            }
        ),
        (
            .rollcall,
            BadInput("list", ["stage", "list.json", "-e", "lab"], 64, ["list.json: ", permission]) {
                try $0.directory.permit("list.json", 0o000)
            }
        ),
        (
            .rollcall,
            BadInput("fleet file", ["check", "web", "-e", "lab"], 64, ["fleet.yaml: ", permission]) {
                try $0.directory.permit("fleet.yaml", 0o000)
            }
        ),
        (
            .rollcall,
            BadInput(
                "credentials", ["list", "resolve", "images.yaml", "-o", "new.json"], 1,
                ["run/containers/auth.json", permission]
            ) {
                $0.source.behaviour.authorization = .basic(user: "user", password: BadInputFixture.password)
                try $0.directory.permit("run/containers/auth.json", 0o000)
            }
        ),
        (
            .rollcall,
            BadInput("store, to read", ["check", "web", "-e", "lab"], 1, ["STORE", permission, "give the user"]) {
                try $0.directory.permit("store", 0o000)
            }
        ),
        (
            .rollcall,
            BadInput(
                "cache manifests", ["check", "web", "-e", "lab"], 1, ["STORE/environments/lab/sites", permission]
            ) {
                try $0.directory.write("store/environments/lab/sites/lab-1.json", "{}")
                try $0.directory.permit("store/environments/lab/sites", 0o000)
            }
        ),
        (
            .rollcall,
            BadInput(
                "store, to write", ["stage", "list.json", "-e", "lab"], 1, ["STORE/", permission, "give the user"]
            ) {
                try $0.unstage()
                try $0.directory.permit("store", 0o555)
                try $0.directory.permit("store/~incoming", 0o555)
            }
        ),
        (
            .agent,
            BadInput("agent's file", ["sync"] + agent, 64, ["agent.yaml: ", permission]) {
                try $0.directory.permit("agent.yaml", 0o000)
            }
        ),
        (
            .agent,
            BadInput("state", ["sync"] + agent, 1, ["DIRECTORY/state/lock: ", permission, "chown"]) {
                try $0.directory.write("state/other", "")
                try $0.directory.permit("state", 0o555)
            }
        ),
        (
            .agent,
            BadInput("spool", ["sync"] + agent, 1, ["DIRECTORY/state/spool", "unable to open", "check"]) {
                try $0.directory.write("state/spool/other", "")
                try $0.directory.permit("state/spool", 0o555)
            }
        ),
        (
            .agent,
            BadInput("store, to write", ["verify"] + agent, 1, ["STORE/", permission, "give the user"]) {
                try $0.directory.permit("store/~incoming", 0o555)
            }
        ),
        (
            .agent,
            BadInput("client's key", ["verify"] + agent, 64, ["DIRECTORY/key.pem: ", permission]) {
                try $0.directory.write("key.pem", "")
                try $0.directory.permit("key.pem", 0o000)
                try $0.edit("agent.yaml", "url: SITE", "url: https://\($0.site.authority)")
                let host = "hosts: {'\($0.site.authority)': {certificate: DIRECTORY/key.pem, key: DIRECTORY/key.pem}}"
                try $0.edit("agent.yaml", "state: ", "\($0.replacingNames(host))\nstate: ")
            }
        ),
    ]

    /// Root is above permissions, unless the capabilities for that are taken from it.
    @Test(arguments: permissions)
    func permission(_ executable: Executable, _ input: BadInput) async throws {
        let prefix =
            geteuid() == 0 ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] : []
        try await BadInputFixture.with { fixture in
            defer { fixture.directory.permitAll() }
            try await fixture.check(input, of: executable, prefix: prefix)
            fixture.directory.permitAll()
            #expect(!FileManager.default.fileExists(atPath: fixture.directory.file("new.json")))
        }
    }

    /// Runs a command with a full file system in the place of a directory, in a mount namespace of its own.
    ///
    /// - Parameters:
    ///   - directory: what lies on the file system, with its present content
    ///   - free: about how many KiB are left free
    private static func full(_ directory: String, free: Int = 0) -> [String] {
        let script = """
            cp -a "$1" "$1.copy"
            mount -t tmpfs -o size=4m tmpfs "$1"
            cp -a "$1.copy/." "$1"
            head -c \(free)k /dev/zero >"$1/~room" && cat /dev/zero >"$1/~fill" 2>/dev/null || true
            rm "$1/~room"
            directory=$1
            shift
            status=0
            "$@" || status=$?
            rm -f "$directory/~fill"
            cp -a "$directory" "$directory.after"
            exit "$status"
            """
        return ["unshare", "--mount", "sh", "-ec", script, "sh", directory]
    }

    static let disks: [(Executable, String, Int, BadInput)] = [
        (
            .rollcall, "DIRECTORY/small", 0,
            BadInput(
                "output", ["list", "resolve", "images.yaml", "-o", "small/new.json"], 1,
                ["small/new.json: ", "No space left"]
            ) {
                try $0.directory.write("small/new.json", "what was there before")
            }
        ),
        (
            .rollcall, "STORE", 0,
            BadInput("store", ["stage", "list.json", "-e", "lab"], 1, ["STORE/", "No space left", "free space there"]) {
                try $0.unstage()
            }
        ),
        (
            .agent, "STORE", 0,
            BadInput("store", ["verify"] + agent, 1, ["STORE/", "No space left", "free space there"]) { _ in }
        ),
        (
            .agent, "DIRECTORY/state", 0,
            BadInput("state", ["verify"] + agent, 1, ["DIRECTORY/state", "disk is full", "free some space"]) {
                try $0.directory.write("state/other", "")
            }
        ),
    ]

    private static let mayMount =
        geteuid() == 0 && access("/usr/bin/unshare", X_OK) == 0 && access("/bin/mount", X_OK) == 0

    @Test(.enabled(if: mayMount, "a full disk is a small tmpfs here, and mounting one takes root"), arguments: disks)
    func disk(_ executable: Executable, _ directory: String, _ free: Int, _ input: BadInput) async throws {
        try await BadInputFixture.with { fixture in
            try await fixture.check(input, of: executable, prefix: Self.full(directory, free: free))
            // On the full disk, too, everything is as it was.
            let path = fixture.replacingNames(directory)
            let compared = try await runCommand([
                "diff", "-r", "-x", "~*", "-x", "lock", "-x", "spool", "-x", "ledger.sqlite*", "\(path).copy",
                "\(path).after",
            ])
            #expect(compared.status == 0, "\(compared.text)")
        }
    }

    /// A spool without room for a blob: what is small arrives, the rest is missing, and the gate knows it.
    @Test(.enabled(if: mayMount, "a full disk is a small tmpfs here, and mounting one takes root"))
    func spool() async throws {
        try await BadInputFixture.with { fixture in
            try fixture.directory.write("state/other", "")
            let result = try await Executable.agent.run(
                ["sync"] + Self.agent, in: fixture.directory,
                prefix: Self.full("DIRECTORY/state", free: 400).map(fixture.replacingNames))
            #expect(result.status == 1)
            let complaints = result.complaints(of: .agent)
            #expect(complaints.count == 1, "\(result.errorText)")
            for word in ["DIRECTORY/state/spool/", "LAYER", "No space left", "free some space"] {
                #expect(complaints.first?.contains(fixture.replacingNames(word)) == true, "\(result.errorText)")
            }
            #expect(fixture.site.manifests(in: "web/api").isEmpty)
            let check = try await Executable.rollcall.run(["check", "web", "-e", "lab"], in: fixture.directory)
            #expect(check.status == 3 && check.text.contains("\(fixture.layer.digest)"))
        }
    }
}

extension BadInputFixture {
    /// Takes everything out of the store, so that `stage` has to write.
    fileprivate func unstage() throws {
        for name in ["lists", "environments"] { try directory.remove("store/\(name)") }
    }
}

extension TemporaryDirectory {
    /// Sets a file's permission bits.
    fileprivate func permit(_ name: String, _ mode: mode_t) throws {
        guard chmod(file(name), mode) == 0 else { throw TestSupportError("cannot change the mode of \(file(name))") }
    }

    /// Lets everything be removed again.
    fileprivate func permitAll() {
        for name in ["locked", "state", "state/spool", "store", "store/environments/lab/sites", "store/~incoming"] {
            _ = chmod(file(name), 0o700)
        }
    }
}
