import FoundationEssentials
import HTTP
import OCI
import ObjectStore
import Readiness
import Testing
import Transfer

@testable import ConfigurationFiles

/// The examples are documentation: they are valid. That they show every key: `ExampleCommentTests`.
@Suite struct ExampleTests {
    private static let directory = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/configs"

    private func path(_ name: String) -> String { "\(Self.directory)/\(name).example.yaml" }

    /// The files in the overlays for Kubernetes, which users change.
    @Test func theFilesOfTheOverlaysAreRead() throws {
        let overlays = Self.directory + "/kubernetes/overlays"
        #expect(try AgentFile(path: "\(overlays)/agent-site/agent.yaml").shard == nil)
        #expect(try AgentFile(path: "\(overlays)/agent-sharded/agent.yaml").shard?.index == .hostname)
        #expect(try FleetFile.read("\(overlays)/coordinator/fleet.yaml").environments.isEmpty == false)
    }

    @Test func theEmbeddedAgentsFileIsRead() throws {
        let file = try AgentFile(path: path("agent-embedded"))
        guard case .embedded(let registry) = file.registry else {
            Issue.record("\(file.registry)")
            return
        }
        #expect(registry.layout == "/var/lib/rollcall/registry")
        #expect(registry.listen == ListenAddress(host: "0.0.0.0", port: 5000))
        #expect(
            registry.tls == .init(certificate: "/etc/rollcall/registry.crt", key: "/etc/rollcall/registry.key"))
        #expect(registry.users == "/etc/rollcall/users")
        #expect(registry.anonymousPull)
        #expect(registry.writers == ["ci"])
        #expect(!registry.anonymousPush)
        #expect(!registry.allowDelete)
    }

    /// Read-only for anyone, unless said otherwise.
    @Test func theEmbeddedRegistrysDefaults() throws {
        let file = try AgentFile(
            text: """
                {site: a, environment: b, sources: [url: 'http://c'], objectStore: {url: 'file:///e'}, state: f,
                 registry: {embedded: {layout: l, listen: '[::1]:0'}}}
                """, path: "dir/agent.yaml")
        #expect(
            file.registry
                == .embedded(
                    .init(
                        layout: "dir/l", listen: ListenAddress(host: "::1", port: 0), tls: nil, users: nil,
                        anonymousPull: false, writers: [], anonymousPush: false, allowDelete: false)))
    }

    @Test func theFleetFileIsRead() throws {
        let fleet = try FleetFile.read(path("fleet"))
        #expect(fleet.objectStore == .directory("/srv/rollcall"))
        #expect(fleet.environments.map(\.name.text) == ["lab", "production"])
        #expect(fleet.environments.map(\.freshness) == [.seconds(86_400), .seconds(43_200)])
        #expect(fleet.environments.last?.sites.map(\.name.text) == ["east-1", "west-1"])
        #expect(fleet.environments.last?.sites.last?.registry == "http://registry.west-1.example:5000")
        #expect(fleet.environments.map(\.contentWithin) == [.seconds(30 * 86_400), nil])
        #expect(fleet.environments.map(\.acceptsUnsigned) == [false, false])
        #expect(fleet.environments.flatMap { $0.sites.map(\.keys.count) } == [1, 2, 1])
        // Those that are valid longest first.
        #expect(
            fleet.environments.last?.sites.first?.keys.map(\.notAfter) == [nil, try Timestamp("2027-01-31T00:00:00Z")])
    }

    @Test func theImagesFileIsRead() throws {
        let file = try ImagesFile(path: path("images"))
        #expect(file.name.text == "platform-4.17.3")
        #expect(file.source == (try HTTPURL("https://registry.central.example")))
        #expect(file.images.map(\.repository.name) == ["platform/api", "platform/db", "platform/web"])
        #expect(file.images[0].reference == .tag(try Tag("4.17.3")))
        #expect(file.images[0].platforms == nil)
        // With both, the digest is what is asked for, and the tag is kept.
        #expect(file.images[2].digest.map { .digest($0) } == file.images[2].reference)
        #expect(file.images[2].tag?.name == "stable")
        #expect(file.images[2].platforms?.map(\.description) == ["linux/amd64", "linux/arm64/v8"])
    }

    @Test func theAgentsFileIsRead() throws {
        let file = try AgentFile(path: path("agent"))
        #expect(file.site.text == "lab-1")
        #expect(file.environment.text == "lab")
        #expect(file.sources.map(\.url.redacted) == ["https://registry.central.example/"])
        #expect(file.sources.map(\.priority) == [1])
        #expect(file.sources.map(\.weight) == [1])
        #expect(
            try file.sources[0].repositories.destination(of: Repository("platform/api")).name == "release/platform/api")
        #expect(file.windows.timeZone.name == "Europe/Zurich")
        #expect(
            file.windows.windows == [
                .init(days: [.monday, .tuesday, .wednesday, .thursday, .friday], from: 20 * 60, to: 6 * 60),
                .init(days: [.saturday, .sunday], from: 0, to: 24 * 60),
            ])
        #expect(file.registry == .url(try HTTPURL("https://registry.lab-1.example")))
        #expect(file.signingKey == "/etc/rollcall/site.key")
        #expect(try file.repositories.destination(of: Repository("platform/api")).name == "mirror/platform/api")
        #expect(file.state == "/var/lib/rollcall")
        #expect(file.authFile == "/etc/rollcall/auth.json")
        let host = try #require(file.host(of: HTTPURL("https://REGISTRY.lab-1.example:443/v2/")))
        #expect(host.tls.caFile == "/etc/rollcall/lab-1-ca.pem")
        #expect(host.tls.keyFile == "/etc/rollcall/agent-key.pem")
        #expect(host.proxy?.isEmpty == true)
        #expect(file.host(of: try HTTPURL("https://registry.test.example:5000/"))?.tls.skipsVerification == true)
        #expect(file.host(of: try HTTPURL("https://registry.test.example/")) == nil)
    }

    /// What an example says is the default, is.
    @Test func theAgentsDefaultsAreThoseOfTheExample() throws {
        let shown = try AgentFile(path: path("agent"))
        let least = try AgentFile(
            text: """
                {site: a, environment: b, sources: [url: 'http://c'], registry: {url: 'http://d'},
                 objectStore: {url: 'file:///e'}, state: f}
                """, path: "dir/agent.yaml")
        #expect(least.limits == shown.limits)
        #expect(least.audit == shown.audit)
        #expect(least.windows == TransferWindows(timeZone: .utc, windows: []))
        #expect(least.sources.map(\.priority) == shown.sources.map(\.priority))
        #expect(least.sources.map(\.weight) == shown.sources.map(\.weight))
        #expect(least.sources[0].repositories == RepositoryMapping())
        #expect(least.interval == shown.interval)
        #expect(least.verifyInterval == shown.verifyInterval)
        #expect(least.validity == shown.validity)
        #expect(least.authFile == nil)
        #expect(least.hosts.isEmpty)
        #expect(least.repositories == RepositoryMapping())
        // Relative paths start at the file.
        #expect(least.state == "dir/f")
    }

    /// A plain list is one of preferences; numbers make equals, and windows without days open every day.
    @Test func theSitesLimitsAreRead() throws {
        let file = try AgentFile(
            text: """
                {site: a, environment: b, registry: {url: 'http://d'}, objectStore: {url: 'file:///e'}, state: f,
                 sources: [url: 'http://c', {url: 'http://d', priority: 1, weight: 3}, url: 'http://e'],
                 limits: {rate: 200Mbit/s, quotaPerDay: 20GiB, quotaPerMonth: 500GB},
                 audit: {period: none, rate: none, quotaPerDay: 1GiB},
                 timeZone: UTC, windows: [{from: 20:00, to: "06:30"}]}
                """, path: "agent.yaml")
        #expect(file.sources.map(\.priority) == [1, 1, 3])
        #expect(file.sources.map(\.weight) == [1, 3, 1])
        #expect(file.limits.rate == 25_000_000)
        #expect(file.limits.quotaPerDay == 20 << 30)
        #expect(file.limits.quotaPerMonth == 500_000_000_000)
        #expect(file.audit.period == nil)
        #expect(file.audit.rate == nil)
        #expect(file.audit.quotaPerDay == 1 << 30)
        #expect(
            file.windows
                == TransferWindows(
                    timeZone: .utc, windows: [.init(days: Set(Weekday.allCases), from: 20 * 60, to: 6 * 60 + 30)]))
    }

    @Test func aShortValidityShortensTheVerification() throws {
        let file = try AgentFile(
            text: """
                {site: a, environment: b, sources: [url: 'http://c'], registry: {url: 'http://d'},
                 objectStore: {url: 'file:///e'}, state: f, validity: 30m}
                """, path: "agent.yaml")
        #expect(file.verifyInterval == .seconds(900))
    }
}
