import ConfigurationFiles
import Console
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

    func examine() async -> DoctorReport {
        var report = DoctorReport()
        let file: AgentFile
        do {
            file = try AgentFile(path: options.config)
        } catch {
            report.add("configuration", options.config, .failed, "\(error)")
            report.configurationFault = error
            return report
        }
        configuration(file, &report)
        state(file, &report)
        let lists = await store(file, &report)
        await registries(file, lists, &report)
        clocks(&report)
        return report
    }

    // MARK: What is on this machine

    private func configuration(_ file: AgentFile, _ report: inout DoctorReport) {
        do {
            _ = try SettingsFiles.read(options.config)
            report.add("configuration", options.config, .ok, "it can be read, and so can the files that it names")
        } catch {
            report.add("configuration", options.config, .failed, "\(error)")
        }
        if file.signingKey == nil {
            report.add(
                "configuration", "signingKey", .warning,
                "there is none, so cache manifests are not signed, and block every gate that does not accept that: run"
                    + " 'rollcall-agent keygen'")
        }
        for (host, settings) in file.hosts.sorted(by: { $0.key < $1.key }) {
            if settings.tls.skipsVerification {
                report.add(
                    "configuration", host, .warning, "any certificate is trusted: set 'ca' instead of 'insecure'")
            }
            guard let path = settings.tls.certificateFile, let expiry = PEMFiles.expiry(of: path) else { continue }
            let days = Timestamp(seconds: expiry).since(Timestamp(.system)).components.seconds / 86_400
            if days < 0 {
                report.add("configuration", path, .failed, "the client certificate has expired: renew it")
            } else if days < 14 {
                report.add("configuration", path, .warning, "the client certificate expires in \(days) days: renew it")
            }
        }
    }

    private func state(_ file: AgentFile, _ report: inout DoctorReport) {
        do throws(AgentError) {
            _ = try StateDirectory(path: file.state)
            report.add("state", file.state, .ok, "it can be written, and no agent uses it now")
        } catch {
            report.add(
                "state", file.state, error.code == .stateLocked ? .ok : .failed,
                error.code == .stateLocked ? "an agent uses it" : error.message)
        }
        var directories = [file.state]
        if case .embedded(let settings) = file.registry { directories.append(settings.layout) }
        for path in directories {
            guard let disk = DiskSpace(of: path) else {
                report.add("disk", path, .warning, "nothing is there yet, so its free space is not known")
                continue
            }
            report.add(
                "disk", path, disk.isShort ? .warning : .ok,
                disk.isShort
                    ? "only \(Quantity.bytes(disk.available)) are free: free space, or move the directory"
                    : "\(Quantity.bytes(disk.available)) are free")
        }
    }

    // MARK: What is not

    /// - Returns: what is staged or promoted, the smallest list first; empty where that is not known
    private func store(_ file: AgentFile, _ report: inout DoctorReport) async -> [ImageList] {
        let name = "\(file.objectStore)"
        do {
            var access = SiteAgent.access(to: file, options)
            access.ledger = ledger
            let objects = try file.objectStore.open(access)
            try await objects.prepare()
            let central = CentralStore(objects)
            let record = try await central.record(of: file.environment).record
            let generations = SitePass.generations(of: record)
            report.add(
                "objectStore", name, .ok,
                "it answers, and its conditional writes exclude each other; \(generations.count)"
                    + " \(generations.count == 1 ? "list is" : "lists are") staged or promoted in '\(file.environment)'"
            )
            if generations.isEmpty {
                report.add(
                    "objectStore", file.environment.text, .warning,
                    "nothing is staged there: see that 'environment' is spelt as in the fleet file")
            }
            var lists: [ImageList] = []
            // One is enough to ask with.
            for generation in generations {
                guard let list = try await central.list(generation) else { continue }
                lists.append(list)
                break
            }
            return lists
        } catch {
            report.add("objectStore", name, .failed, "\(error)")
            return []
        }
    }

    private func registries(_ file: AgentFile, _ lists: [ImageList], _ report: inout DoctorReport) async {
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
                for answer in answers { report.add("source", source.url.authority, answer) }
            } catch {
                report.add("source", source.url.authority, .failed, "\(error)")
            }
        }
        switch file.registry {
        case .embedded(let settings):
            report.add("registry", settings.layout, .ok, "the agent's own: it needs nothing of anybody else")
        case .url(let url):
            do {
                let client = try access.client(of: url)
                let name = try Self.repository(blob, mapping: file.repositories)
                var held: Digest?
                if let blob, try await client.blobSize(name, blob.digest) != nil { held = blob.digest }
                for answer in await client.writingCapabilities(name, blob: held) {
                    report.add("registry", url.authority, answer)
                }
            } catch {
                report.add("registry", url.authority, .failed, "\(error)")
            }
        }
    }

    /// Where to ask: where content will lie anyway, or, where nothing is staged, under a name of the doctor's own.
    private static func repository(_ blob: ClosureEntry?, mapping: RepositoryMapping) throws -> Repository {
        try mapping.destination(of: try blob?.repository ?? Repository("rollcall/doctor"))
    }

    private func clocks(_ report: inout DoctorReport) {
        for (host, standing) in ledger.hosts.sorted(by: { $0.key < $1.key }) {
            guard let lead = standing.clockLead else { continue }
            let isRight = abs(lead) <= Surroundings.clockTolerance
            report.add(
                "clock", host, isRight ? .ok : .warning,
                isRight ? "it agrees with this machine's" : Surroundings.advice(host, lead: lead))
        }
    }
}

extension DoctorReport {
    mutating func add(_ check: String, _ host: String, _ answer: CapabilityAnswer) {
        let standing: Standing =
            switch answer.standing {
            case .yes: .ok
            // The agent does without; what it costs is in the words.
            case .no: .warning
            case .failed: .failed
            case .unknown: .skipped
            }
        add(check, "\(host) \(answer.capability.rawValue)", standing, answer.text)
    }
}
