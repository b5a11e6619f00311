import ConfigurationFiles
import Console
import EmbeddedRegistry
import HTTP
import OCI
import Registry
import Serving
import Trust

/// The files that an agent's settings are made of, as they are on the disk at one moment.
struct SettingsFiles: Equatable, Sendable {
    private let identities: [String: FileIdentity?]
    /// Those of the files that are read once: keys and certificates.
    let material: [String: FileIdentity?]

    /// The agent's file, and all that settings name.
    init(config: String, _ file: AgentFile?) {
        self.init(config: config, FileIdentity(of: config), file)
    }

    /// - Parameter identity: the agent's file as it was before the settings were read from it
    init(config: String, _ identity: FileIdentity?, _ file: AgentFile?) {
        var paths = file?.signingKey.map { [$0] } ?? []
        for host in file?.hosts.values.map(\.tls) ?? [] {
            paths += [host.caFile, host.certificateFile, host.keyFile].compactMap { $0 }
        }
        material = Self.identities(of: paths)
        identities = material.merging(Self.identities(of: file?.authFile.map { [$0] } ?? [])) { first, _ in first }
            .merging([config: identity]) { $1 }
    }

    private static func identities(of paths: [String]) -> [String: FileIdentity?] {
        Dictionary(paths.map { ($0, FileIdentity(of: $0)) }) { first, _ in first }
    }

    /// Reads the settings and everything that they name, so that what is wrong shows before anything depends on it.
    ///
    /// - Throws: `ConfigurationError`, with file and line; `AgentError.settings` for a file that it names
    static func read(_ config: String) throws -> AgentFile {
        let file = try AgentFile(path: config)
        try check(file)
        return file
    }

    /// Reads everything that settings name.
    ///
    /// - Throws: `AgentError.settings`
    static func check(_ file: AgentFile) throws(AgentError) {
        try check {
            _ = try file.shardOfThisHost
            if let key = file.signingKey { _ = try PrivateKey(path: key) }
            if let path = file.authFile { try CredentialStore.check(path) }
            for host in file.hosts.values {
                if let path = host.tls.caFile { try PEMFiles.checkAuthorities(path) }
                if let certificate = host.tls.certificateFile, let key = host.tls.keyFile {
                    try PEMFiles.checkIdentity(certificate: certificate, key: key)
                }
            }
        }
    }

    /// Reads what `read` does, and what the agent's own servers need. Not for settings that are read again: servers follow
    /// their files by themselves, and a pair of which one half has been replaced is no reason to refuse the rest.
    ///
    /// - Throws: as `read`
    static func readAll(_ config: String) throws -> AgentFile {
        let file = try AgentFile(path: config)
        try checkAll(file)
        return file
    }

    /// Reads everything that settings name, and what the agent's own servers need.
    ///
    /// - Throws: `AgentError.settings`
    static func checkAll(_ file: AgentFile) throws(AgentError) {
        try check(file)
        try check {
            if let tls = file.http?.tls { try PEMFiles.checkIdentity(certificate: tls.certificate, key: tls.key) }
            if case .embedded(let settings) = file.registry { try RegistryConfiguration(settings).checkFiles() }
        }
    }

    /// Whatever is wrong with a file that the settings name is wrong with the settings.
    private static func check(_ body: () throws -> Void) throws(AgentError) {
        do {
            try body()
        } catch let error as AgentError {
            throw error
        } catch {
            throw AgentError(.settings, "\(error)")
        }
    }
}

/// Settings, and the files that they are made of as these were before they were read: what is written meanwhile, or later,
/// makes them others.
struct ReadSettings: Sendable {
    let file: AgentFile
    let files: SettingsFiles

    /// Reads the agent's file alone.
    ///
    /// - Throws: `ConfigurationError`
    init(_ config: String) throws(ConfigurationError) {
        let identity = FileIdentity(of: config)
        file = try AgentFile(path: config)
        // Before anything that it names is read.
        files = SettingsFiles(config: config, identity, file)
    }

    /// Reads the settings that the process begins with, and everything that they and its servers need.
    ///
    /// - Throws: as `SettingsFiles.readAll`
    static func all(_ config: String) throws -> ReadSettings {
        let settings = try ReadSettings(config)
        try SettingsFiles.checkAll(settings.file)
        return settings
    }
}

extension AgentFile {
    /// Which of the site's agents this host's is; `nil` where there is one.
    ///
    /// - Throws: `AgentError.settings` where the host's name does not say it
    var shardOfThisHost: Shard? {
        get throws(AgentError) {
            guard let shard else { return nil }
            let hostname = String(Product.processOwner.split(separator: "@").last ?? "")
            if let own = shard.shard(hostname: hostname) { return own }
            throw AgentError(
                .settings,
                "'shard.index' is hostname, and the host's name '\(hostname)' does not end in a number below \(shard.of):"
                    + " write the number, or run it in a StatefulSet of \(shard.of) replicas")
        }
    }

    /// Where the agent's own servers listen, each with what it is for.
    var listenAddresses: [(name: String, address: ListenAddress)] {
        var addresses = http.map { [("http", $0.listen)] } ?? []
        if case .embedded(let settings) = registry { addresses.append(("registry", settings.listen)) }
        return addresses
    }

    /// The identities of the agent's own servers.
    var servedIdentities: [RegistrySettings.Identity] {
        var identities = [http?.tls].compactMap { $0 }
        if case .embedded(let settings) = registry, let tls = settings.tls { identities.append(tls) }
        return identities
    }
}

extension AgentFile {
    /// What cannot change while the process lives: where it is, who it is, and where it listens.
    ///
    /// - Throws: `AgentError.needsRestart`
    func requireSameProcess(as before: AgentFile, path: String) throws(AgentError) {
        var changed: [String] = []
        if site != before.site { changed.append("site") }
        if environment != before.environment { changed.append("environment") }
        if state != before.state { changed.append("state") }
        if http != before.http { changed.append("http") }
        switch (registry, before.registry) {
        case (.url, .url): break
        default: if registry != before.registry { changed.append("registry") }
        }
        guard !changed.isEmpty else { return }
        let names = changed.map { "'\($0)'" }.joined(separator: ", ")
        throw AgentError(
            .needsRestart, "\(path): \(names) cannot change while the agent runs: restart it, or take the change back")
    }

    /// Whether it differs from another in what is logged, and in nothing else.
    func differsInLogOnly(from other: AgentFile) -> Bool {
        var same = self
        same.log = other.log
        return same == other && log != other.log
    }
}
