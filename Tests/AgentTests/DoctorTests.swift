import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

@testable import Agent

/// `rollcall-agent doctor` against a real registry.
@Suite(.timeLimit(.minutes(5))) struct DoctorTests {
    private struct Report: Decodable {
        struct Finding: Decodable {
            let check: String, subject: String?, state: String, message: String, advice: String?
        }
        let well: Bool
        let findings: [Finding]

        func finding(_ check: String, _ suffix: String = "") -> Finding? {
            findings.first { $0.check == check && ($0.subject ?? "").hasSuffix(suffix) }
        }
    }

    private func examine(_ site: RealSite) async throws -> (result: CommandResult, report: Report) {
        let result = try await site.run("doctor", "--output", "json")
        return (result, try JSONDecoder().decode(Report.self, from: Data(result.output)))
    }

    /// Every file of the registry's storage, but the state of the hash that distribution 2.8 writes once more for an upload
    /// after it was taken back: some bytes, which it removes itself with old uploads (after a week, unless told otherwise).
    private func files(of site: RealSite) throws -> [String] {
        let root = site.destination.storagePath
        return try FileManager.default.subpathsOfDirectory(atPath: root).filter { path in
            var isDirectory = false
            return FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isDirectory) && !isDirectory
                && !path.contains("/hashstates/")
        }.sorted()
    }

    @Test func aHealthySiteIsToldSo() async throws {
        try await RealSite.with { site in
            // Once everything is there, everything can be tried.
            #expect(try await site.run("sync").status == 0)
            let before = try files(of: site)
            let (result, report) = try await examine(site)
            #expect(result.status == 0, "\(result.text)")
            #expect(report.well)
            for (check, subject, standing) in [
                ("configuration", "agent.yaml", "ok"), ("state", "state", "ok"), ("disk", "state", "ok"),
                ("objectStore", "", "ok"), ("source", "access", "ok"), ("source", "ranges", "ok"),
                ("registry", "access", "ok"), ("registry", "chunks", "ok"), ("registry", "resume", "ok"),
                ("registry", "mount", "ok"), ("clock", "", "ok"),
            ] {
                #expect(report.finding(check, subject)?.state == standing, "\(check) \(subject): \(report.findings)")
            }
            // Nothing is left behind.
            #expect(try files(of: site) == before)
            let text = try await site.run("doctor")
            #expect(text.text.hasPrefix("ok       configuration agent.yaml"), "\(text.text)")
        }
    }

    @Test func whatIsWrongIsNamed() async throws {
        try await RealSite.with { site in
            let path = site.directory.file(site.config)
            let good = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)

            try site.directory.write(site.config, good + "limits: {blobz: 3}\n")
            var result = try await site.run("doctor")
            #expect(result.status == 64)
            #expect(result.text.contains("agent.yaml:12:10: unknown key 'blobz'"), "\(result.text)")

            // One judgement of the files for the doctor, for run, and for the other commands.
            for (settings, words) in [
                ("authFile: nowhere.json\n", "there is no such credentials file"),
                ("http: {listen: '127.0.0.1:0', tls: {certificate: agent.yaml, key: site.key}}\n", "agent.yaml"),
            ] {
                try site.directory.write(site.config, good + settings)
                for command in ["doctor", "run"] {
                    result = try await site.run(command)
                    #expect(result.status == 64, "\(command) \(settings): \(result.text)\(result.errorText)")
                    #expect(result.errorText.contains(words), "\(command) \(settings): \(result.errorText)")
                }
            }
            try site.directory.write(site.config, good)
            let key = site.directory.file("site.key")
            #expect(chmod(key, 0o644) == 0)
            for command in ["doctor", "run", "sync"] {
                result = try await site.run(command)
                #expect(result.status == 64, "\(command): \(result.errorText)")
            }
            #expect(chmod(key, 0o600) == 0)

            try site.directory.write(
                site.config,
                good.replacing(site.destination.origin, with: "http://127.0.0.1:1")
                    .replacing("signingKey: site.key\n", with: ""))
            var report: Report
            (result, report) = try await examine(site)
            #expect(result.status == 3)
            #expect(!report.well)
            #expect(report.finding("registry")?.state == "failed")
            #expect(report.finding("registry")?.message.contains("connect") == true)
            #expect(report.finding("configuration", "signingKey")?.state == "warning")
            #expect(report.finding("source", "ranges")?.state == "ok")

            // Whoever can read the store, and not write what agents write.
            let inventories = "\(site.site.directory.file("store"))/inventories"
            try FileManager.default.moveItem(atPath: inventories, toPath: inventories + ".away")
            try site.directory.write("store/inventories", "no directory")
            try site.directory.write(site.config, good)
            (result, report) = try await examine(site)
            #expect(result.status == 3)
            #expect(report.finding("objectStore")?.state == "failed")
            #expect(report.finding("objectStore")?.message.contains("store/inventories") == true)

            try site.directory.write(site.config, good.replacing("/store", with: "/nowhere"))
            (result, report) = try await examine(site)
            #expect(result.status == 3)
            #expect(report.finding("objectStore")?.state == "failed")
            #expect(report.finding("registry", "access")?.state == "ok")
        }
    }
}
