import FoundationEssentials
import OCI
import TestSupport
import Testing

@testable import Agent

/// `rollcall-agent doctor` against a real registry.
@Suite(.timeLimit(.minutes(5))) struct DoctorTests {
    private struct Report: Decodable {
        struct Finding: Decodable { let check: String, subject: String, standing: String, text: String }
        let healthy: Bool
        let findings: [Finding]

        func finding(_ check: String, _ suffix: String = "") -> Finding? {
            findings.first { $0.check == check && $0.subject.hasSuffix(suffix) }
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
            #expect(report.healthy)
            for (check, subject, standing) in [
                ("configuration", "agent.yaml", "ok"), ("state", "state", "ok"), ("disk", "state", "ok"),
                ("objectStore", "", "ok"), ("source", "access", "ok"), ("source", "ranges", "ok"),
                ("registry", "access", "ok"), ("registry", "chunks", "ok"), ("registry", "resume", "ok"),
                ("registry", "mount", "ok"), ("clock", "", "ok"),
            ] {
                #expect(report.finding(check, subject)?.standing == standing, "\(check) \(subject): \(report.findings)")
            }
            // Nothing is left behind.
            #expect(try files(of: site) == before)
            let text = try await site.run("doctor")
            #expect(text.text.hasPrefix("ok      configuration agent.yaml"), "\(text.text)")
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

            try site.directory.write(
                site.config,
                good.replacing(site.destination.origin, with: "http://127.0.0.1:1")
                    .replacing("signingKey: site.key\n", with: ""))
            var report: Report
            (result, report) = try await examine(site)
            #expect(result.status == 1)
            #expect(!report.healthy)
            #expect(report.finding("registry")?.standing == "failed")
            #expect(report.finding("registry")?.text.contains("connect") == true)
            #expect(report.finding("configuration", "signingKey")?.standing == "warning")
            #expect(report.finding("source", "ranges")?.standing == "ok")

            try site.directory.write(site.config, good.replacing("/store", with: "/nowhere"))
            (result, report) = try await examine(site)
            #expect(result.status == 1)
            #expect(report.finding("objectStore")?.standing == "failed")
            #expect(report.finding("registry", "access")?.standing == "ok")
        }
    }
}
