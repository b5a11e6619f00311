import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing
import Trust

/// A fleet on this machine: an object store in a directory, a real registry at each site, the files that operators
/// write, and the two executables.
final class TestFleet: Sendable {
    /// One site.
    struct Site: Sendable {
        let environment: String
        let name: String
        let registry: RealRegistry
        /// The agent's file.
        var config: String { "\(name).yaml" }
    }

    let directory: TemporaryDirectory
    let sites: [Site]
    /// The source registry's URL.
    let source: String

    /// Runs `body` with a fleet; how many fleets there are at once is bounded.
    ///
    /// - Parameters:
    ///   - ladder: the environments in order, with their sites
    ///   - source: the source registry's URL
    ///   - configuration: how every site's registry is started
    static func with(
        _ ladder: KeyValuePairs<String, [String]> = ["lab": ["lab-1"]], source: String,
        registries configuration: RealRegistry.Configuration = .init(),
        _ body: (TestFleet) async throws -> Void
    ) async throws {
        try await Turnstile.fleets.withTurn {
            var sites: [Site] = []
            let directory = try TemporaryDirectory("fleet")
            let result: Result<Void, any Error>
            do {
                for (environment, names) in ladder {
                    for name in names {
                        sites.append(
                            Site(environment: environment, name: name, registry: try await RealRegistry(configuration)))
                    }
                }
                let fleet = try TestFleet(directory, source, ladder, sites)
                result = .success(try await body(fleet))
            } catch {
                result = .failure(error)
            }
            for site in sites { await site.registry.stop() }
            directory.remove()
            try result.get()
        }
    }

    private init(
        _ directory: TemporaryDirectory, _ source: String, _ ladder: KeyValuePairs<String, [String]>, _ sites: [Site]
    ) throws {
        (self.directory, self.source, self.sites) = (directory, source, sites)
        try FileManager.default.createDirectory(
            atPath: directory.file("store"), withIntermediateDirectories: true)
        var fleet = "objectStore:\n  url: file://\(directory.file("store"))\nenvironments:\n"
        for (environment, names) in ladder {
            fleet += "  - name: \(environment)\n    sites:\n"
            for site in sites where site.environment == environment && names.contains(site.name) {
                let key = try PrivateKey.generate()
                try key.write(to: directory.file("\(site.name).key"))
                fleet += "      - name: \(site.name)\n        registry: \(site.registry.origin)\n"
                fleet += "        publicKey: \"\(key.publicKey)\"\n"
            }
        }
        try directory.write("fleet.yaml", fleet)
        for site in sites { try writeAgentFile(of: site) }
    }

    /// A site by its name.
    func site(_ name: String) throws -> Site {
        guard let site = sites.first(where: { $0.name == name }) else { throw TestSupportError("no site \(name)") }
        return site
    }

    // MARK: Files

    /// Writes a site's agent file.
    ///
    /// - Parameters:
    ///   - site: the site
    ///   - registry: the regional registry's URL; the site's own unless said
    ///   - settings: further keys
    func writeAgentFile(of site: Site, registry: String? = nil, settings: String = "") throws {
        try directory.write(
            site.config,
            """
            site: \(site.name)
            environment: \(site.environment)
            sources:
              - url: \(source)
            registry:
              url: \(registry ?? site.registry.origin)
            objectStore:
              url: file://\(directory.file("store"))
            state: \(directory.file("state-\(site.name)"))
            signingKey: \(site.name).key
            \(settings)

            """)
    }

    /// The list of these images as NAME.json, resolved by the executable.
    ///
    /// - Parameters:
    ///   - name: the list's name
    ///   - images: each as `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, then its platforms after blanks
    ///   - arguments: further arguments
    @discardableResult
    func resolve(_ name: String, _ images: String..., arguments: [String] = []) async throws -> ListDocument {
        var text = "name: \(name)\nsource: \(source)\nimages:\n"
        for image in images {
            let words = image.split(separator: " ").map(String.init)
            if let at = words[0].firstIndex(of: "@") {
                text += "  - repository: \(words[0][..<at])\n    digest: \(words[0][words[0].index(after: at)...])\n"
            } else if let colon = words[0].lastIndex(of: ":") {
                text +=
                    "  - repository: \(words[0][..<colon])\n    tag: \"\(words[0][words[0].index(after: colon)...])\"\n"
            }
            if words.count > 1 { text += "    platforms: [\(words.dropFirst().joined(separator: ", "))]\n" }
        }
        try directory.write("\(name).yaml", text)
        try await expect(
            0, .rollcall, ["list", "resolve", "\(name).yaml", "--output", "\(name).json"] + arguments)
        return try JSONDecoder().decode(ListDocument.self, from: Data(try directory.read("\(name).json")))
    }

    /// Every file of the object store with the digest of its content, `~lock` and what is under way excepted.
    var storedObjects: [String: Digest] {
        get throws {
            var objects: [String: Digest] = [:]
            for name in try FileManager.default.subpathsOfDirectory(atPath: directory.file("store"))
            where !name.hasPrefix("~") {
                var status = stat()
                guard stat(directory.file("store/\(name)"), &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                    continue
                }
                objects[name] = Digest(of: try directory.read("store/\(name)"))
            }
            return objects
        }
    }

    /// The name of a site's cache manifest, below the fleet's directory.
    static func manifest(of site: String, in environment: String = "lab") -> String {
        "store/environments/\(environment)/sites/\(site).json"
    }

    // MARK: Commands

    /// Runs `rollcall`.
    func rollcall(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws
        -> CommandResult
    {
        try await Executable.rollcall.run(arguments, in: directory, sourceLocation: sourceLocation)
    }

    /// Runs `rollcall-agent` for a site.
    func agent(
        _ command: String, _ site: String, _ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> CommandResult {
        try await Executable.agent.run(
            [command, "--config", try self.site(site).config] + arguments, in: directory,
            sourceLocation: sourceLocation)
    }

    /// Runs an executable and expects its exit code.
    @discardableResult
    func expect(
        _ status: Int, _ executable: Executable, _ arguments: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> CommandResult {
        let result = try await executable.run(arguments, in: directory, sourceLocation: sourceLocation)
        #expect(
            result.status == status, "\(executable.rawValue) \(arguments)\n\(result.text)\(result.errorText)",
            sourceLocation: sourceLocation)
        return result
    }

    /// Stages NAME.json, and expects it to work.
    func stage(_ name: String, to environment: String = "lab", sourceLocation: SourceLocation = #_sourceLocation)
        async throws
    {
        try await expect(
            0, .rollcall, ["stage", "\(name).json", "--environment", environment], sourceLocation: sourceLocation)
    }

    /// Runs `sync` at sites, one after another, and expects each to be complete.
    func sync(_ sites: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws {
        for name in sites {
            try await expect(0, .agent, ["sync", "--config", site(name).config], sourceLocation: sourceLocation)
        }
    }

    /// The verdict as `check` gives it, whose exit code is the verdict's.
    func check(
        _ name: String, in environment: String = "lab", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> VerdictDocument {
        let result = try await rollcall(
            "check", name, "--environment", environment, "--output", "json", sourceLocation: sourceLocation)
        let verdict = try result.decoded(VerdictDocument.self)
        #expect(result.status == (verdict.ready ? 0 : 3), sourceLocation: sourceLocation)
        #expect(verdict.ready || !verdict.reasons.isEmpty || verdict.sites.contains { !$0.ready })
        return verdict
    }

    /// What came of `promote`, whose exit code is the outcome's.
    func promote(
        _ name: String, in environment: String = "lab", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> PromotionDocument {
        let result = try await rollcall(
            "promote", name, "--environment", environment, "--output", "json", sourceLocation: sourceLocation)
        let promotion = try result.decoded(PromotionDocument.self)
        #expect(result.status == (promotion.outcome == "refused" ? 3 : 0), sourceLocation: sourceLocation)
        return promotion
    }
}

/// Bounds how many go through at once, in the order they came.
actor Turnstile {
    /// Fleets at once, each with some processes: few enough for two cores.
    static let fleets = Turnstile(4)
    /// Bad input at once: it spends its time on the waits between attempts.
    static let badInput = Turnstile(12)

    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ width: Int) { free = width }

    nonisolated func withTurn<Result>(_ body: () async throws -> Result) async throws -> Result {
        await enter()
        do {
            let result = try await body()
            await leave()
            return result
        } catch {
            await leave()
            throw error
        }
    }

    private func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}
