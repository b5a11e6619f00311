import FoundationEssentials
import OCI
import Readiness
import TestSupport
import Testing
import Trust

/// `rollcall audit` and `rollcall rollback` as processes.
@Suite(.timeLimit(.minutes(5))) struct AuditCommandTests {
    private func promote(_ tag: String, with previous: ImageList? = nil, _ workplace: Workplace) async throws
        -> ImageList
    {
        let list = try workplace.write(Workplace.list(tag: tag))
        #expect(try await workplace.run("stage", "list.json", "--environment", "lab").status == 0)
        for site in ["lab-1", "lab-2"] { try await workplace.prove([list, previous].compactMap { $0 }, at: site) }
        let result = try await workplace.run("promote", "platform", "--environment", "lab")
        #expect(result.status == 0, "\(result.text)\(result.errorText)")
        return list
    }

    @Test func theChainIsShownVerifiedAndExported() async throws {
        try await Workplace.with { workplace in
            _ = try await promote("1", workplace)
            let key = try await workplace.run("keygen", "--output", "operator.key")
            #expect(key.status == 0)
            let signed = try await workplace.run(
                "stage", "list.json", "--environment", "production", "--signing-key", "operator.key")
            #expect(signed.status == 0, "\(signed.errorText)")

            var result = try await workplace.run("audit", "log")
            #expect(result.status == 0)
            let lines = result.text.split(separator: "\n")
            #expect(lines.count == 5)
            #expect(lines[0].hasPrefix("NUMBER  TIME"))
            for (line, word) in zip(lines.dropFirst(), [" staged ", "keys-changed", "promoted", " staged "]) {
                #expect(line.contains(word), "\(result.text)")
            }
            #expect(lines[4].contains(" (signed by sha256:"))
            result = try await workplace.run("audit", "log", "--environment", "lab", "--limit", "1")
            #expect(result.text.contains("promoted") && result.text.split(separator: "\n").count == 2)
            result = try await workplace.run("audit", "log", "--since", "2099-01-01T00:00:00Z")
            #expect(result.text == "no records\n")
            result = try await workplace.run("audit", "log", "--output", "json", "--since", "1d", "--list", "platform")
            #expect(result.text.contains("\"action\" : \"promoted\""))

            result = try await workplace.run("audit", "export")
            #expect(result.status == 0)
            struct Line: Decodable {
                let sequence: Int, action: String, digest: String, previous: String?, signer: String?
            }
            let exported = try result.text.split(separator: "\n").map {
                try JSONDecoder().decode(Line.self, from: Data($0.utf8))
            }
            #expect(exported.map(\.sequence) == [1, 2, 3, 4])
            #expect(exported.map(\.previous) == [nil] + exported.dropLast().map(\.digest))
            #expect(exported.last?.signer == key.text.trimmingNewline)

            result = try await workplace.run("audit", "verify")
            #expect(result.status == 0)
            #expect(
                result.text
                    == "the audit chain holds together: 4 records, 1 of them signed, 0 by a key that the fleet"
                    + " file has for it; no site of 2 bears witness; it ends with"
                    + " 4:\(exported[3].digest)\n"
            )
            #expect(result.errorText.contains("the fleet file names no 'coordinators'"))

            // Once the file says whose keys count, what nobody of them signed is named, until somebody has looked at it.
            let fleet = try workplace.directory.read("fleet.yaml")
            try workplace.directory.write(
                "fleet.yaml",
                String(decoding: fleet, as: UTF8.self)
                    + "\ncoordinators: [{name: pipeline, publicKey: \"\(key.text.trimmingNewline)\"}]\n")
            result = try await workplace.run("audit", "verify")
            #expect(result.status == 3)
            #expect(result.text.contains("1 by a key that the fleet file has for it"))
            #expect(
                result.text.contains(
                    "3 of them signed by no key that the fleet file has for who did it: 1, 2, 3:"))
            #expect(result.errorText == "")
            result = try await workplace.run("audit", "verify", "--head", "4:\(exported[3].digest)")
            #expect(result.status == 0, "\(result.text)")
        }
    }

    /// Without the fleet, on a copy: of the store, and of the audit directory alone under another name.
    @Test func aCopyIsVerifiedOffline() async throws {
        try await Workplace.with { workplace in
            _ = try await promote("1", workplace)
            let files = FileManager.default
            let copies = ["copy", "records"].map { workplace.directory.file($0) }
            try files.copyItem(atPath: workplace.directory.file("store"), toPath: copies[0])
            try files.copyItem(atPath: workplace.directory.file("store/audit"), toPath: copies[1])
            try files.removeItem(atPath: workplace.directory.file("fleet.yaml"))
            for (name, path) in [("copy", "copy/audit/000000000002.json"), ("records", "records/000000000002.json")] {
                var result = try await workplace.run("audit", "verify", "--directory", name)
                #expect(result.status == 0, "\(result.text)\(result.errorText)")
                let end = try #require(result.text.split(separator: " ").last).trimmingNewline
                var bytes = try workplace.directory.read(path)
                bytes[bytes.count / 2] ^= 1
                try workplace.directory.write(path, bytes)
                result = try await workplace.run("audit", "verify", "--directory", name)
                #expect(result.status == 3)
                #expect(
                    result.text.hasPrefix("the audit chain does not hold together: audit/000000000002.json: "),
                    "\(result.text)")
                bytes[bytes.count / 2] ^= 1
                try workplace.directory.write(path, bytes)

                // Cut off, with the head: only who noted the end can tell.
                let directory = path.replacing("/000000000002.json", with: "")
                try files.removeItem(atPath: workplace.directory.file("\(directory)/000000000003.json"))
                result = try await workplace.run("audit", "verify", "--directory", name)
                #expect(result.status == 3)
                try files.removeItem(atPath: workplace.directory.file("\(directory)/head.json"))
                result = try await workplace.run("audit", "verify", "--directory", name, "--head", end)
                #expect(result.status == 3)
                #expect(result.text.contains("audit/000000000003.json: it is not there"))
            }
            let result = try await workplace.run("audit", "verify", "--directory", "nowhere")
            #expect(result.status == 64)
            #expect(try await workplace.run("audit", "verify", "--head", "x").status == 64)
        }
    }

    @Test func aRollbackGoesThroughTheGate() async throws {
        try await Workplace.with { workplace in
            let one = try await promote("1", workplace)
            let two = try await promote("2", workplace)
            var result = try await workplace.run("rollback", "lab")
            #expect(result.status == 3)
            #expect(result.text.hasPrefix("not promoted\nplatform in lab: BLOCKED (0 of 2 sites ready)"))
            #expect(result.text.contains("other-generation"))
            for site in ["lab-1", "lab-2"] { try await workplace.prove([one, two], at: site) }
            result = try await workplace.run("rollback", "lab", "platform", "--dry-run")
            #expect(result.status == 0)
            #expect(result.text == "platform in lab: \(one.generation.short) would be promoted again\n")
            result = try await workplace.run("rollback", "lab")
            #expect(result.status == 0)
            #expect(result.text == "platform in lab: \(one.generation.short) is promoted again\n")
            result = try await workplace.run("rollback", "lab")
            #expect(result.status == 3)
            #expect(result.text.contains("nothing-before: "))
            // What is staged is still the second one.
            result = try await workplace.run("promote", "platform", "--environment", "lab", "--dry-run")
            #expect(result.text == "platform in lab: \(two.generation.short) would be promoted\n")
            try workplace.write(Workplace.list("other"), to: "other.json")
            _ = try await workplace.run("stage", "other.json", "--environment", "lab")
            result = try await workplace.run("rollback", "lab")
            #expect(result.status == 64)
            #expect(result.errorText.contains("name one of other, platform"))
            #expect(try await workplace.run("audit", "verify").status == 0)
        }
    }

    @Test func keysAreMadeAndShown() async throws {
        try await Workplace.with { workplace in
            let made = try await workplace.run("keygen", "--output", "my.key")
            #expect(made.status == 0)
            #expect(made.text.hasPrefix("ed25519:") && made.text.count == 53)
            #expect(try await workplace.run("keygen", "--show", "my.key").text == made.text)
            var result = try await workplace.run("keygen", "--output", "my.key")
            #expect(result.status == 1)
            #expect(result.errorText.contains("keys are not overwritten"))
            #expect(try await workplace.run("keygen").status == 64)
            try workplace.directory.write("bad.key", "text")
            _ = try await runCommand(["chmod", "600", workplace.directory.file("bad.key")])
            result = try await workplace.run("keygen", "--show", "bad.key")
            #expect(result.status == 64)
        }
    }
}

extension StringProtocol {
    fileprivate var trimmingNewline: String { hasSuffix("\n") ? String(dropLast()) : String(self) }
}
