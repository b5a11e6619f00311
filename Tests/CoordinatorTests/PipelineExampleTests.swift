import ArgumentParser
import FoundationEssentials
import Testing
import Yams

@testable import Coordinator

/// The examples for pipelines and for Kubernetes are documentation: they are YAML, and every command line in them is one
/// of ours.
@Suite struct PipelineExampleTests {
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

    @Test(
        arguments: files.filter {
            $0 != "pipelines/kargo-stage.yaml" && !$0.hasPrefix("kubernetes") || $0.hasSuffix("deployment.yaml")
        })
    func everyCommandLineIsOurs(_ file: String) throws {
        let ours = try Self.documents(file).flatMap(Self.commandLines).filter { $0.first == "rollcall" }
        #expect(!ours.isEmpty)
        for line in ours {
            // Tekton puts values in where parameters stand.
            let arguments = line.dropFirst().map { argument in
                switch argument {
                case "$(params.list)": "platform"
                case "$(params.environment)": "production"
                case "$(params.timeout)": "30m"
                default: argument
                }
            }
            #expect(!arguments.contains { $0.contains("$(") }, "\(line)")
            let command = try Rollcall.parseAsRoot(Array(arguments))
            #expect(command is CheckCommand || command is ServeCommand, "\(line)")
        }
    }

    /// The step asks a path that the server knows, of names that are names.
    @Test func kargosStepAsksAGate() throws {
        let text = String(
            decoding: try Data(contentsOf: URL(filePath: "\(Self.directory)/pipelines/kargo-stage.yaml")), as: UTF8.self
        )
        let line = try #require(text.split(separator: "\n").first { $0.contains("url: ") })
        let path = try #require(line.split(separator: ":8480").last)
        let parts = path.split(separator: "/").map(String.init)
        #expect(parts == ["v1", "gate", "production", "platform-4.17.3"])
        #expect(text.contains("response.status == 200 && response.body.ready == true"))
        // What is blocked or unknown now may be ready later.
        #expect(text.contains("failureExpression: response.status in [400, 401, 404, 405]"))
    }
}
