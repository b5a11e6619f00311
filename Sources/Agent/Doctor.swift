import ConfigurationFiles
import Console
import FoundationEssentials
import HTTP
import OCI
import ObjectStore
import Readiness
import Registry
import Serving
import Trust

/// The examination: one step after the other, each of which says what it found and lets the next one go on.
struct Doctor: Sendable {
    private let options: SiteOptions
    private let ledger = HostLedger()

    init(_ options: SiteOptions) { self.options = options }

    func examine() async -> Checkup {
        var checkup = Checkup()
        let file: AgentFile
        do {
            file = try AgentFile(path: options.config)
        } catch {
            checkup.add(.init("configuration", of: options.config, .failed, "\(error)"))
            checkup.fileFault = error
            return checkup
        }
        configuration(file, &checkup)
        state(file, &checkup)
        let lists = await store(file, &checkup)
        await registries(file, lists, &checkup)
        clocks(&checkup)
        return checkup
    }

    // MARK: What is on this machine

    private func configuration(_ file: AgentFile, _ checkup: inout Checkup) {
        do {
            _ = try SettingsFiles.readAll(options.config)
            checkup.add(
                .init("configuration", of: options.config, .ok, "it can be read, and so can the files that it names"))
        } catch {
            checkup.add(.init("configuration", of: options.config, .failed, "\(error)"))
            checkup.fileFault = error
        }
        if file.signingKey == nil {
            checkup.add(
                .init(
                    "configuration", of: "signingKey", .warning,
                    "there is none, so cache manifests are not signed, and block every gate that does not accept that",
                    advice: "run 'rollcall-agent keygen'"))
        }
        for (host, settings) in file.hosts.sorted(by: { $0.key < $1.key }) {
            if settings.tls.skipsVerification {
                checkup.add(
                    .init(
                        "configuration", of: host, .warning, "any certificate is trusted",
                        advice: "set 'ca' instead of 'insecure'"))
            }
            if let path = settings.tls.certificateFile { expiry(of: path, &checkup) }
        }
        for path in file.servedIdentities.map(\.certificate) { expiry(of: path, &checkup) }
    }

    private func expiry(of certificate: String, _ checkup: inout Checkup) {
        guard let expiry = PEMFiles.expiry(of: certificate) else { return }
        let days = Timestamp(seconds: expiry).since(Timestamp(.system)).components.seconds / 86_400
        if days < 0 {
            checkup.add(
                .init("configuration", of: certificate, .failed, "the certificate has expired", advice: "renew it"))
        } else if days < 14 {
            checkup.add(
                .init(
                    "configuration", of: certificate, .warning, "the certificate expires in \(days) days",
                    advice: "renew it"))
        }
    }

    private func state(_ file: AgentFile, _ checkup: inout Checkup) {
        var isInUse = false
        do throws(AgentError) {
            do throws(AgentError) {
                _ = try StateDirectory(path: file.state)
            } catch {
                guard error.code == .stateLocked else { throw error }
                isInUse = true
            }
            try StateDirectory.requireUsableFiles(in: file.state)
            checkup.add(
                .init(
                    "state", of: file.state, .ok,
                    isInUse ? "an agent uses it" : "it can be written, and no agent uses it now"))
        } catch {
            checkup.add(.init("state", of: file.state, .failed, error.message))
        }
        // An agent that runs listens there itself.
        for (name, address) in isInUse ? [] : file.listenAddresses {
            if let fault = address.fault {
                checkup.add(
                    .init(
                        name, of: "\(address)", .failed, "nobody can listen there now: \(fault)",
                        advice: "name an address of this machine and a port that is free, or end what listens there"))
            } else {
                checkup.add(.init(name, of: "\(address)", .ok, "the agent can listen there"))
            }
        }
        var directories = [file.state]
        if case .embedded(let settings) = file.registry { directories.append(settings.layout) }
        for path in directories {
            guard let disk = DiskSpace(of: path) else {
                checkup.add(.init("disk", of: path, .warning, "nothing is there yet, so its free space is not known"))
                continue
            }
            checkup.add(
                disk.isShort
                    ? .init(
                        "disk", of: path, .warning, "only \(Quantity.bytes(disk.available)) are free",
                        advice: "free space, or move the directory")
                    : .init("disk", of: path, .ok, "\(Quantity.bytes(disk.available)) are free"))
        }
    }

    // MARK: What is not

    /// Writes as the agent does: whoever may only read must not be told that all is well.
    ///
    /// - Returns: what is staged or promoted, the smallest list first; empty where that is not known
    private func store(_ file: AgentFile, _ checkup: inout Checkup) async -> [ImageList] {
        let name = "\(file.objectStore)"
        do {
            var access = SiteAgent.access(to: file, options)
            access.ledger = ledger
            let objects = try file.objectStore.open(access)
            try await objects.prepare()
            let central = CentralStore(objects)
            let record = try await central.record(of: file.environment).record
            let generations = SitePass.generations(of: record)
            if let fault = try await objects.faultOfExclusion(at: .ofDoctor()) {
                checkup.add(
                    .init(
                        "objectStore", of: name, .failed, "its conditional writes cannot be relied on: \(fault)",
                        advice: "use a store whose conditional writes hold (docs/object-store.md names some)"))
            } else {
                try await central.requireRights(
                    ofAgentOf: file.site, in: file.environment, shard: try? file.shardOfThisHost)
                checkup.add(
                    .init(
                        "objectStore", of: name, .ok,
                        "it can be written, and its conditional writes exclude each other; \(generations.count)"
                            + " \(generations.count == 1 ? "list is" : "lists are") staged or promoted in"
                            + " '\(file.environment)'"))
            }
            if generations.isEmpty {
                checkup.add(
                    .init(
                        "objectStore", of: file.environment.text, .warning, "nothing is staged there",
                        advice: "see that 'environment' is spelt as in the fleet file"))
            }
            // One is enough to ask with.
            for generation in generations {
                if let list = try await central.list(generation) { return [list] }
            }
        } catch {
            checkup.add(.init("objectStore", of: name, .failed, "\(error)"))
        }
        return []
    }

    private func registries(_ file: AgentFile, _ lists: [ImageList], _ checkup: inout Checkup) async {
        var configuration = HTTPClient.Configuration()
        configuration.ledger = ledger
        let http = HTTPClient(configuration: configuration)
        defer { http.shutdown() }
        let access = RegistryAccess(
            http: http, authFile: file.authFile, connections: file.limits.connections, plainHTTP: options.plainHTTP,
            hosts: { file.host(of: $0) })
        // A blob that says something about ranges, and the repository to ask in.
        let blob = lists.first?.closure.entries.first { $0.kind == .blob && $0.size > 1 }
        for source in file.sources {
            do {
                let client = try access.client(of: source.url)
                let name = try Self.repository(blob, mapping: source.repositories)
                let answers = await client.readingCapabilities(name, blob: blob.map { ($0.digest, $0.size) })
                for answer in answers { checkup.add(.init("source", source.url.authority, answer)) }
            } catch {
                checkup.add(.init("source", of: source.url.authority, .failed, "\(error)"))
            }
        }
        switch file.registry {
        case .embedded(let settings):
            checkup.add(
                .init("registry", of: settings.layout, .ok, "the agent's own: it needs nothing of anybody else"))
        case .url(let url):
            do {
                let client = try access.client(of: url)
                let name = try Self.repository(blob, mapping: file.repositories)
                var held: Digest?
                if let blob, try await client.blobSize(name, blob.digest) != nil { held = blob.digest }
                for answer in await client.writingCapabilities(name, blob: held) {
                    checkup.add(.init("registry", url.authority, answer))
                }
            } catch {
                checkup.add(.init("registry", of: url.authority, .failed, "\(error)"))
            }
        }
    }

    /// Where to ask: where content will lie anyway, or, where nothing is staged, under a name of the doctor's own.
    private static func repository(_ blob: ClosureEntry?, mapping: RepositoryMapping) throws -> Repository {
        try mapping.destination(of: try blob?.repository ?? Repository("rollcall/doctor"))
    }

    private func clocks(_ checkup: inout Checkup) {
        let hosts = ledger.hosts
        if let fault = Surroundings.faultOfOwnClock(hosts.values.map(\.clockLead)) {
            checkup.add(
                .init("clock", of: "this machine", .failed, fault, advice: "set this machine's clock by a time server"))
        }
        for (host, standing) in hosts.sorted(by: { $0.key < $1.key }) {
            guard let lead = standing.clockLead else { continue }
            let isRight = abs(lead) <= Surroundings.clockTolerance
            checkup.add(
                .init(
                    "clock", of: host, isRight ? .ok : .warning,
                    isRight ? "it agrees with this machine's" : Surroundings.advice(host, lead: lead)))
        }
    }
}

extension Checkup.Finding {
    fileprivate init(_ check: String, _ host: String, _ answer: CapabilityAnswer) {
        let state: Checkup.State =
            switch answer.standing {
            case .yes: .ok
            // The agent does without; what it costs is in the words.
            case .no: .warning
            case .failed: .failed
            case .unknown: .skipped
            }
        self.init(check, of: "\(host) \(answer.capability.rawValue)", state, answer.text)
    }
}
