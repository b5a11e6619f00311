import ConfigurationFiles
import Console
import HTTP
import OCI
import Registry

/// Whether the registry that an images file names as its source has what the file asks for.
enum SourceChecks {
    private enum Answer: Sendable {
        case there
        case absent(String)
        case failed(String)
    }

    /// Asks for the manifest of each image; for the first one alone, since the others of a registry that does not answer
    /// need not be waited for.
    static func finding(of file: ImagesFile, _ client: RegistryClient) async -> Checkup.Finding {
        let host = file.source.authority
        guard let first = file.images.first else { return .init("source", of: host, .skipped, "no image is named") }
        var answers = [await ask(first, client)]
        if case .failed(let reason) = answers[0] {
            return .init(
                "source", of: host, .failed, reason,
                advice: "see that it runs, and which credentials reach it: 'list resolve' asks it in the same way")
        }
        answers += await withTaskGroup(of: Answer.self) { group in
            var waiting = file.images.dropFirst().makeIterator()
            func addNext() {
                guard let image = waiting.next() else { return }
                group.addTask { await ask(image, client) }
            }
            for _ in 0..<ListResolution.imagesAtOnce { addNext() }
            var answers: [Answer] = []
            while let answer = await group.next() {
                answers.append(answer)
                addNext()
            }
            return answers
        }
        let absent = answers.compactMap { answer -> String? in
            if case .absent(let image) = answer { image } else { nil }
        }
        let failures = answers.compactMap { answer -> String? in
            if case .failed(let reason) = answer { reason } else { nil }
        }
        if let reason = failures.first {
            return .init(
                "source", of: host, .failed,
                "\(failures.count) of \(answers.count) images cannot be asked for: \(reason)",
                advice: "see which credentials reach them: 'list resolve' asks in the same way")
        }
        guard absent.isEmpty else {
            return .init(
                "source", of: host, .failed, "it does not have \(FleetChecks.named(absent.sorted()))",
                advice: "push them there, or correct \(file.path)")
        }
        return .init(
            "source", of: host, .ok, "it has \(answers.count == 1 ? "the image" : "all \(answers.count) images")")
    }

    private static func ask(_ image: ImagesFile.Image, _ client: RegistryClient) async -> Answer {
        let separator = if case .digest = image.reference { "@" } else { ":" }
        let name = "\(image.repository)\(separator)\(image.reference)"
        do {
            return try await client.manifestHead(image.repository, image.reference) == nil ? .absent(name) : .there
        } catch {
            return .failed("\(name): \(error)")
        }
    }
}
