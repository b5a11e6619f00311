import FoundationEssentials
import OCI
import ObjectStore
import Readiness
import TestSupport
import Testing

@testable import Coordinator

/// The XML is read back by Python's parser, which is not ours.
@Suite(.timeLimit(.minutes(5))) struct JUnitTests {
    /// What a build server makes of a report.
    private struct Suite: Decodable {
        struct Case: Decodable {
            let name: String
            let fault: String?
            let type: String?
            let text: String?
        }
        let name: String
        let counts: [String]
        let cases: [Case]
    }

    private func parsed(_ xml: String) async throws -> Suite {
        let script = """
            import json, sys, xml.etree.ElementTree as tree
            root = tree.fromstring(sys.stdin.buffer.read())
            (suite,) = root
            cases = []
            for case in suite:
                fault = case[0] if len(case) else None
                cases.append({"name": case.get("name"), "fault": fault.tag if fault is not None else None,
                    "type": fault.get("type") if fault is not None else None,
                    "text": fault.text if fault is not None else None})
            assert root.tag == "testsuites" and suite.tag == "testsuite" and suite.get("timestamp")
            names = ("tests", "failures", "errors")
            assert [root.get(n) for n in names] == [suite.get(n) for n in names]
            print(json.dumps({"name": suite.get("name"), "counts": [suite.get(n) for n in names], "cases": cases}))
            """
        let result = try await runCommand(["python3", "-c", script], input: Array(xml.utf8))
        #expect(result.status == 0, "\(result.errorText)\n\(xml)")
        return try JSONDecoder().decode(Suite.self, from: Data(result.output))
    }

    @Test func everySiteIsACase() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            try await workplace.prove(list, missing: [list.closure.entries[0]], at: "lab-2")
            let check = try await workplace.run(
                "check", "platform", "--environment", "lab", "--output", "junit", "--junit", "report.xml")
            #expect(check.status == 3)
            #expect(try workplace.directory.read("report.xml") == check.output)
            let suite = try await parsed(check.text)
            #expect(suite.name == "platform in lab")
            #expect(suite.counts == ["2", "1", "0"])
            #expect(suite.cases.map(\.name) == ["lab-1", "lab-2"])
            #expect(suite.cases.map(\.fault) == [nil, "failure"])
            #expect(suite.cases[1].type == "incomplete")
            #expect(suite.cases[1].text?.contains("platform/api@\(list.closure.entries[0].digest)") == true)
        }
    }

    /// A report without a failing case would be green.
    @Test func whatBlocksTheEnvironmentIsACaseToo() async throws {
        try await Workplace.with { workplace in
            let check = try await workplace.run("check", "nothing", "--environment", "lab", "--output", "junit")
            #expect(check.status == 3)
            let suite = try await parsed(check.text)
            #expect(suite.counts == ["1", "1", "0"])
            #expect(suite.cases.map(\.type) == ["nothing-staged"])
        }
    }

    /// The report of an earlier run must not stand for one that could not decide.
    @Test func whatIsNotKnownIsAnError() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            for site in ["lab-1", "lab-2"] { try await workplace.prove(list, at: site) }
            let arguments = ["check", "platform", "--environment", "lab", "--junit", "report.xml"]
            #expect(try await workplace.run(arguments).status == 0)
            #expect(
                try await parsed(String(decoding: workplace.directory.read("report.xml"), as: UTF8.self)).counts[1]
                    == "0")
            try FileManager.default.removeItem(atPath: workplace.directory.file("store"))
            #expect(try await workplace.run(arguments).status == 1)
            let suite = try await parsed(String(decoding: workplace.directory.read("report.xml"), as: UTF8.self))
            #expect(suite.counts == ["1", "0", "1"])
            #expect(suite.cases[0].text?.contains("does not exist") == true)
        }
    }

    @Test func textOfOthersIsEscaped() async throws {
        let error = "<&>\"' \u{1B}[31m\u{0}\nline two ü \u{FFFE}"
        let report = JUnitReport(
            unknown: try ListName("platform"), in: try EnvironmentName("lab"), because: error, at: .current)
        let suite = try await parsed(report.text)
        #expect(suite.cases[0].text == "<&>\"' ?[31m?\nline two ü ?")
    }
}
