import ArgumentParser
import FoundationEssentials
import OCI
import Readiness
import TestSupport
import Testing
import Yams

@testable import Coordinator

/// The examples for pipelines and for Kubernetes are documentation: they are YAML, every command line in them is one of
/// ours, and every script does with the gate's answers what it says.
@Suite(.timeLimit(.minutes(5))) struct PipelineExampleTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "configs").path

    private static func files(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/\(folder)")) ?? [])
            .filter { $0.hasSuffix(".yaml") }.sorted().map { "\(folder)/\($0)" }
    }

    static let files =
        files(in: "pipelines")
        + files(in: "kubernetes/base/coordinator").filter {
            !$0.hasSuffix("kustomization.yaml")
        }

    private static func documents(_ file: String) throws -> [Any] {
        let text = String(decoding: try Data(contentsOf: URL(filePath: "\(directory)/\(file)")), as: UTF8.self)
        return Array(try Yams.load_all(yaml: text))
    }

    /// All containers' `command` and `args`, wherever they stand.
    private static func commandLines(_ value: Any) -> [[String]] {
        if let mapping = value as? [String: Any] {
            let command = (mapping["command"] as? [String] ?? []) + (mapping["args"] as? [String] ?? [])
            return (command.isEmpty ? [] : [command]) + mapping.values.flatMap(commandLines)
        }
        return (value as? [Any] ?? []).flatMap(commandLines)
    }

    @Test func thereAreExamples() {
        #expect(
            Self.files == [
                "pipelines/argo-cd-presync.yaml", "pipelines/kargo-stage.yaml", "pipelines/talm-policy.yaml",
                "pipelines/tekton-task.yaml", "kubernetes/base/coordinator/deployment.yaml",
                "kubernetes/base/coordinator/networkpolicy.yaml",
                "kubernetes/base/coordinator/poddisruptionbudget.yaml",
                "kubernetes/base/coordinator/podmonitor.yaml", "kubernetes/base/coordinator/service.yaml",
            ])
    }

    @Test(arguments: files) func everyDocumentIsAnObjectOfKubernetes(_ file: String) throws {
        let documents = try Self.documents(file)
        #expect(!documents.isEmpty)
        for document in documents {
            let object = try #require(document as? [String: Any])
            #expect(object["apiVersion"] is String && object["kind"] is String)
            #expect((object["metadata"] as? [String: Any]).map { $0["name"] ?? $0["generateName"] } is String)
        }
    }

    @Test(arguments: ["pipelines/tekton-task.yaml", "kubernetes/base/coordinator/deployment.yaml"])
    func everyCommandLineIsOurs(_ file: String) throws {
        let ours = try Self.documents(file).flatMap(Self.commandLines).filter { $0.first == "rollcall" }
        #expect(!ours.isEmpty)
        for line in ours {
            // Tekton puts values in where parameters stand.
            let arguments = line.dropFirst().map { argument in
                switch argument {
                case "$(params.list)": "platform"
                case "$(params.environment)": "production"
                case "$(params.generation)": "sha256:\(String(repeating: "0", count: 64))"
                default: argument
                }
            }
            #expect(!arguments.contains { $0.contains("$(") }, "\(line)")
            let command = try Rollcall.parseAsRoot(Array(arguments))
            // What is promoted must be what is meant, and not what somebody has staged since.
            #expect((command as? PromoteCommand)?.generation != nil || command is ServeCommand, "\(line)")
        }
    }

    /// Whoever only asks has a token for that, and nothing that could stage or promote.
    @Test(arguments: files.filter { $0.hasPrefix("pipelines") })
    func onlyAPromotionHasTheStoresCredentials(_ file: String) throws {
        for document in try Self.documents(file) {
            guard Self.texts(document).contains("rollcall-object-store") else { continue }
            let lines = Self.commandLines(document)
            #expect(!lines.isEmpty && lines.allSatisfy { $0.prefix(2) == ["rollcall", "promote"] }, "\(lines)")
        }
    }

    /// Everything that is text in a document, keys aside.
    private static func texts(_ value: Any) -> Set<String> {
        if let mapping = value as? [String: Any] { return mapping.values.reduce(into: []) { $0.formUnion(texts($1)) } }
        if let items = value as? [Any] { return items.reduce(into: []) { $0.formUnion(texts($1)) } }
        return (value as? String).map { Set([$0]) } ?? []
    }

    // MARK: The script that asks

    static let scripted = ["argo-cd-presync", "talm-policy", "tekton-task"].map { "pipelines/\($0).yaml" }

    /// The script of an example, and the variables that it is given there.
    private static func script(_ file: String) throws -> (text: String, variables: Set<String>) {
        func steps(_ value: Any) -> [[String: Any]] {
            if let mapping = value as? [String: Any] {
                let isScript = (mapping["command"] as? [String] ?? []) == ["sh", "-euc"]
                return isScript ? [mapping] : mapping.values.flatMap(steps)
            }
            return (value as? [Any] ?? []).flatMap(steps)
        }
        let found = try documents(file).flatMap(steps)
        try #require(found.count == 1, "\(file)")
        let arguments = try #require(found[0]["args"] as? [String])
        try #require(arguments.count == 1)
        let variables = try #require(found[0]["env"] as? [[String: Any]]).compactMap { $0["name"] as? String }
        return (arguments[0], Set(variables))
    }

    @Test func everyExampleAsksAlikeAndOfAGeneration() throws {
        let scripts = try Self.scripted.map(Self.script)
        #expect(Set(scripts.map { $0.text }).count == 1)
        for script in scripts {
            #expect(
                script.variables == [
                    "GATE", "ENVIRONMENT", "LIST", "GENERATION", "TIMEOUT", "TOKEN", "CURL_CA_BUNDLE",
                ])
            #expect(script.text.contains("?generation=$GENERATION\""))
        }
    }

    /// Runs the script as a pipeline does.
    private static func ask(
        _ origin: String, _ generation: Digest, in workplace: Workplace, _ changes: [String: String] = [:]
    ) async throws -> CommandResult {
        try await runCommand(
            ["sh", "-euc", try script(scripted[0]).text],
            environment: [
                "GATE": origin, "ENVIRONMENT": "lab", "LIST": "platform", "GENERATION": "\(generation)",
                "TIMEOUT": "0", "TOKEN": workplace.directory.file("token"), "http_proxy": "", "no_proxy": "*",
                "HOME": workplace.directory.path,
            ].merging(changes) { $1 }, directory: workplace.directory.path)
    }

    /// A workplace, and its gate, which asks for a token that is in the file `token`.
    private static func withGate(_ body: (Workplace, GateProcess) async throws -> Void) async throws {
        try await Workplace.with { workplace in
            let token = String(repeating: "t", count: 40)
            try workplace.directory.write("tokens", "\(token)\n")
            try workplace.directory.write("token", token)
            let gate = try await GateProcess(workplace, "--tokens", "tokens")
            try await body(workplace, gate)
            await gate.end()
        }
    }

    @Test func theScriptEndsAsTheGateAnswers() async throws {
        try await Self.withGate { workplace, gate in
            func status(_ list: ImageList, _ changes: [String: String] = [:]) async throws -> Int {
                try await Self.ask(gate.origin, list.generation, in: workplace, changes).status
            }
            let (one, two) = (try workplace.write(Workplace.list()), try Workplace.list(tag: "2"))
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            #expect(try await status(one) == 3)
            for site in ["lab-1", "lab-2"] { try await workplace.prove(one, at: site) }
            #expect(try await status(one) == 0)
            let other = try await Self.ask(gate.origin, two.generation, in: workplace)
            #expect(other.status == 3)
            #expect(other.text.contains("another-staged"))

            // What is asked of what runs, while the next release is staged, is answered about what runs.
            #expect(try await workplace.run("promote", "platform", "--environment", "lab").status == 0)
            try workplace.write(two)
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            let again = try await Self.ask(gate.origin, one.generation, in: workplace)
            #expect(again.status == 0)
            #expect(again.text.contains("\"of\" : \"promoted\""))
            #expect(try await status(two) == 3)
            let lost = one.closure.entries.filter { $0.kind == .manifest }
            try await workplace.prove([one, two], missing: lost, at: "lab-1")
            try await workplace.prove([one, two], at: "lab-2")
            #expect(try await status(one) == 3)
            #expect(try await status(two) == 0)

            // What nobody knows opens nothing.
            try workplace.directory.write("wrong", String(repeating: "w", count: 40))
            for changes in [
                ["TOKEN": workplace.directory.file("wrong")], ["TOKEN": workplace.directory.file("nowhere")],
                ["LIST": "-"], ["ENVIRONMENT": "moon"], ["GENERATION": "latest"], ["GATE": "http://127.0.0.1:1"],
            ] {
                #expect(try await status(two, changes) == 1, "\(changes)")
            }
        }
    }

    /// Whatever else says 200, a proxy's page for one, is not the gate.
    @Test func theScriptTakesNoOthersWord() async throws {
        try await withScriptedServer({ _ in .init(200, [:], text: "<html>Log in first.</html>") }) { server in
            try await Workplace.with { workplace in
                try workplace.directory.write("token", "t")
                let result = try await Self.ask(server.origin, Workplace.list().generation, in: workplace)
                #expect(result.status == 1)
            }
        }
    }

    /// What is blocked now may be ready when it is asked again. Nothing waits here: what would sleep brings the proof.
    @Test func theScriptAsksAgain() async throws {
        try await Self.withGate { workplace, gate in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            for site in ["lab-1", "lab-2"] { try await workplace.prove(list, at: site) }
            let (place, away) = (
                workplace.directory.file("store/environments/lab/sites/lab-2.json"),
                workplace.directory.file("away.json")
            )
            try FileManager.default.moveItem(atPath: place, toPath: away)
            let sleep = try workplace.directory.write("bin/sleep", "#!/bin/sh\nexec mv '\(away)' '\(place)'\n")
            try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: sleep)
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            let result = try await Self.ask(
                gate.origin, list.generation, in: workplace,
                ["TIMEOUT": "1800", "PATH": "\(workplace.directory.file("bin")):\(path)"])
            #expect(result.status == 0, "\(result.errorText)")
            #expect(!FileManager.default.fileExists(atPath: away))
        }
    }

    /// The step asks a path that the server knows, of names that are names.
    @Test func kargosStepAsksAGate() throws {
        let text = String(
            decoding: try Data(contentsOf: URL(filePath: "\(Self.directory)/pipelines/kargo-stage.yaml")), as: UTF8.self
        )
        let line = try #require(text.split(separator: "\n").first { $0.contains("url: ") })
        let target = try #require(line.split(separator: ":8480").last).split(separator: "?").map(String.init)
        #expect(target.last == "generation=${{ vars.generation }}")
        let parts = target[0].split(separator: "/").map(String.init)
        #expect(parts == ["v1", "gate", "production", "platform-4.17.3"])
        #expect(text.contains("response.status == 200 && response.body.ready == true"))
        // What is blocked or unknown now may be ready later.
        #expect(text.contains("failureExpression: response.status in [400, 401, 404, 405]"))
    }
}
