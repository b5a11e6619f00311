import FoundationEssentials
import OCI
import Readiness
import TestSupport
import Testing
import Trust

/// `rollcall waiver` as a process.
@Suite(.timeLimit(.minutes(5))) struct WaiverCommandTests {
    @Test func aWaiverIsGivenShownAndTakenBack() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            let add = [
                "waiver", "add", "platform", "--environment", "lab", "--site", "lab-2", "--reason", "the link is down",
                "--expires", "8h", "--key", "jane.key",
            ]
            var result = try await workplace.run(add)
            #expect(result.status == 1)
            #expect(result.errorText.contains("jane.key: cannot read the private key"))
            let key = try await workplace.run("keygen", "--output", "jane.key")
            result = try await workplace.run(add)
            #expect(result.status == 64)
            #expect(result.errorText.contains("no approver of the fleet file has this key"))
            let fleet = String(decoding: try workplace.directory.read("fleet.yaml"), as: UTF8.self)
            try workplace.directory.write(
                "fleet.yaml", fleet + "approvers:\n  - {name: jane, publicKey: \"\(key.text.dropLast())\"}\n")
            #expect(try await workplace.run("waiver", "list", "--environment", "lab").text == "no waivers\n")
            for (change, words) in [
                (["--expires", "31d"], "30 d at most"), (["--reason", " "], "needs a reason"),
                (["--site", "lab-9"], "names no site 'lab-9'"), (["--expires", "soon"], "8h or 3d"),
            ] {
                result = try await workplace.run(add + change)
                #expect(result.status == 64)
                #expect(result.errorText.contains(words), "\(result.errorText)")
            }
            result = try await workplace.run(add)
            #expect(result.status == 0, "\(result.errorText)")
            let id = String(result.text.dropLast())

            result = try await workplace.run("check", "platform", "--environment", "lab")
            #expect(result.status == 0)
            #expect(result.text.contains("READY (2 of 2 sites ready, 1 of them waived)"))
            #expect(result.text.contains("waived: lab-2 (silent) until "))
            #expect(result.text.contains(", by jane, waiver \(id): the link is down"))
            #expect(result.text.contains("lab-2  waived"))
            result = try await workplace.run("check", "platform", "--environment", "lab", "--output", "json")
            #expect(result.text.contains("\"waivedSites\" : [\n    \"lab-2\"\n  ]"))
            result = try await workplace.run("check", "platform", "--environment", "lab", "--output", "junit")
            #expect(result.text.contains("<system-out>waived by jane until "))
            #expect(try await workplace.run("status").text.contains("lab-2  waived"))
            result = try await workplace.run("promote", "platform", "--environment", "lab")
            #expect(result.status == 0)
            #expect(result.text.contains("is promoted\nwaived: lab-2 (silent) until "))
            #expect(try await workplace.run("audit", "log", "--site", "lab-2").text.contains("lab-2 waived by \(id)"))

            #expect(try await workplace.run("waiver", "list", "--environment", "lab").text.contains("\(id)  valid"))
            result = try await workplace.run("waiver", "revoke", id, "--environment", "lab")
            #expect(result.text == "waiver \(id) in lab: taken back\n")
            result = try await workplace.run("check", "platform", "--environment", "lab")
            #expect(result.status == 3)
            #expect(result.text.contains("waiver-revoked: its waiver \(id) was taken back"))
            #expect(try await workplace.run("waiver", "list", "--environment", "lab").text.contains("\(id)  revoked"))
            result = try await workplace.run("waiver", "revoke", "000000000000", "--environment", "lab")
            #expect(result.status == 64)
            #expect(try await workplace.run("audit", "verify").status == 0)
        }
    }
}
