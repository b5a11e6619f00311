import HTTP
import Logging
import OCI
import ObjectStore
import Readiness
import ServiceLifecycle
import Synchronization
import TestSupport

@testable import GateServer

/// A gate whose answers the test gives, and that counts the reads and what they were about.
final class ScriptedGate: ReadinessGate {
    private struct State {
        var reads = 0
        var subjects: [Verdict.Subject?] = []
        var answer: @Sendable (ListName, EnvironmentName) async throws -> Verdict = { list, environment in
            try madeVerdict(list.text, in: environment.text)
        }
    }
    private let state = Mutex(State())

    var reads: Int { state.withLock { $0.reads } }
    /// What each question about a gate was about, as it said itself.
    var subjects: [Verdict.Subject?] { state.withLock { $0.subjects } }

    func answer(_ body: @escaping @Sendable (ListName, EnvironmentName) async throws -> Verdict) {
        state.withLock { $0.answer = body }
    }

    func verdict(
        on list: ListName, in environment: EnvironmentName, about subject: Verdict.Subject?, generation: Digest?
    ) async throws -> Verdict {
        state.withLock { $0.subjects.append(subject) }
        let verdict = try await verdict(on: list, in: environment)
        return generation.map { verdict.bound(to: $0) } ?? verdict
    }

    private func verdict(on list: ListName, in environment: EnvironmentName) async throws -> Verdict {
        let answer = state.withLock { state in
            state.reads += 1
            return state.answer
        }
        return try await answer(list, environment)
    }

    func document(of verdict: Verdict) throws -> String {
        "{\"ready\":\(verdict.isReady),\"reasons\":\(verdict.reasons.map(\.code.text))}"
    }

    func standing() async throws -> FleetStanding {
        let verdict = try await verdict(on: ListName("platform"), in: EnvironmentName("lab"))
        let place = try Fleet.Environment(
            name: verdict.environment,
            sites: verdict.sites.map { .init(name: $0.name, registry: "https://\($0.name).example") })
        return FleetStanding(
            environments: [
                .init(
                    environment: place, lists: [.init(promoted: nil, verdict: verdict)],
                    evidence: Evidence(reports: [:], memory: GateMemory(environment: place.name)))
            ], decidedAt: verdict.decidedAt)
    }

    func document(of standing: FleetStanding) throws -> String { "{\"environments\":[]}" }

    func audit(_ filter: CentralStore.AuditFilter, before number: Int64?) async throws -> CentralStore.AuditPage {
        // As what cannot be read for the others.
        _ = try await verdict(on: ListName("platform"), in: EnvironmentName("lab"))
        return .init(records: [], older: number.map { $0 - 1 })
    }
}

/// A list of one image.
func imageList(_ name: String, tag: String = "1") throws -> ImageList {
    let repository = try Repository("platform/api")
    let manifest = ClosureEntry(
        repository: repository, digest: Digest(of: Array("manifest \(tag)".utf8)), size: 500, kind: .manifest,
        mediaType: .ociManifest)
    return try ImageList(
        name: ListName(name), source: "https://registry.central.example",
        images: [
            .init(
                repository: repository, tag: Tag(tag), digest: manifest.digest, mediaType: manifest.mediaType,
                size: manifest.size)
        ], closure: Closure([manifest]))
}

/// A verdict on an environment of two sites, of which some proved the list.
func madeVerdict(_ name: String = "platform", in environment: String = "lab", ready sites: [String] = ["a", "b"]) throws
    -> Verdict
{
    let list = try imageList(name)
    let now = Timestamp(seconds: 1_772_366_400)
    let place = try Fleet.Environment(
        name: EnvironmentName(environment),
        sites: ["a", "b"].map { .init(name: try SiteName($0), registry: "https://\($0).example") },
        acceptsUnsigned: true)
    var reports: [SiteName: SiteReport] = [:]
    for site in sites {
        let manifest = try CacheManifest(
            environment: place.name, site: SiteName(site), sequence: 1, issuedAt: now,
            expiresAt: now.advanced(by: .seconds(60)), agentVersion: "test",
            holdings: [.init(of: list, missing: [], verifiedAt: now, depth: .presence)])
        reports[manifest.site] = SiteReport(reading: try manifest.objectBytes(signedBy: nil), keys: [])
    }
    return compare(
        list: list.name, staged: .init(to: list, by: "a@b", at: now), environment: place,
        evidence: Evidence(reports: reports, memory: GateMemory(environment: place.name)), now: now)
}

/// Lines that were logged.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test", factory: { _ in Handler(lines: self) }) }

    private struct Handler: LogHandler {
        let lines: Lines
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let reason = event.metadata?["reason"].map { " \($0)" } ?? ""
            lines.lines.withLock { $0.append("\(event.message)\(reason)") }
        }
    }
}

/// A server on a free port of the loopback interface.
struct LiveServer: Sendable {
    let origin: String
    let gate: ScriptedGate
    let client: HTTPClient
    var tls = TLSConfiguration()

    /// Serves as long as `body` runs, and shuts down as on SIGTERM.
    static func with(
        _ gate: ScriptedGate = ScriptedGate(), log: Lines = Lines(),
        configuration change: (inout GateServer.Configuration) throws -> Void = { _ in },
        _ body: (LiveServer) async throws -> Void
    ) async throws {
        var configuration = GateServer.Configuration()
        // Not shorter than a busy machine takes for what else it tests: the tests of patience set their own.
        configuration.patience = .seconds(3600)
        configuration.scrapePatience = .seconds(3600)
        configuration.port = 0
        try change(&configuration)
        let server = GateServer(gate, version: "1.2.3", configuration: configuration, logger: log.logger)
        let (ports, announce) = AsyncStream<Int>.makeStream()
        let client = HTTPClient()
        defer { client.shutdown() }
        let group = ServiceGroup(
            configuration: .init(
                services: [
                    .init(service: Announcing(server: server, announce: announce))
                ], logger: log.logger))
        let scheme = configuration.certificate == nil ? "http" : "https"
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var port = 0
            for await number in ports {
                port = number
                break
            }
            let result: Result<Void, any Error>
            do {
                result = .success(
                    try await body(LiveServer(origin: "\(scheme)://127.0.0.1:\(port)", gate: gate, client: client)))
            } catch {
                result = .failure(error)
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
            try result.get()
        }
    }

    private struct Announcing: Service {
        let server: GateServer
        let announce: AsyncStream<Int>.Continuation
        func run() async throws {
            try await server.run { port in
                announce.yield(port)
                announce.finish()
            }
        }
    }

    func get(_ path: String, token: String? = nil, method: HTTPMethod = .get) async throws -> HTTPResponse {
        var request = HTTPRequest(method, try HTTPURL(origin + path))
        if let token { request.headers["Authorization"] = "Bearer \(token)" }
        request.tls = tls
        request.proxy = ""
        return try await client.send(request)
    }
}

extension HTTPResponse {
    var text: String { String(decoding: body, as: UTF8.self) }
}
