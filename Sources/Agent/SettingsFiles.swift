import ConfigurationFiles
import HTTP
import Registry
import Serving
import Trust

/// The files that an agent's settings are made of, as they are on the disk at one moment.
struct SettingsFiles: Equatable, Sendable {
    private let identities: [String: FileIdentity?]
    /// Those of the files that are read once: keys and certificates.
    let material: [String: FileIdentity?]

    /// The agent's file, and all that the settings in use name.
    init(config: String, _ file: AgentFile?) {
        var paths = file?.signingKey.map { [$0] } ?? []
        for host in file?.hosts.values.map(\.tls) ?? [] {
            paths += [host.caFile, host.certificateFile, host.keyFile].compactMap { $0 }
        }
        material = Self.identities(of: paths)
        identities = Self.identities(of: paths + [config] + (file?.authFile.map { [$0] } ?? []))
    }

    private static func identities(of paths: [String]) -> [String: FileIdentity?] {
        Dictionary(paths.map { ($0, FileIdentity(of: $0)) }) { first, _ in first }
    }

    /// Reads the settings and everything that they name, so that what is wrong shows before anything depends on it.
    ///
    /// - Throws: what is wrong, with the file, and the line where there is one
    static func read(_ config: String) throws -> AgentFile {
        let file = try AgentFile(path: config)
        if let key = file.signingKey { _ = try PrivateKey(path: key) }
        if let path = file.authFile { try CredentialStore.check(path) }
        for host in file.hosts.values {
            if let path = host.tls.caFile { try PEMFiles.checkAuthorities(path) }
            if let certificate = host.tls.certificateFile, let key = host.tls.keyFile {
                try PEMFiles.checkIdentity(certificate: certificate, key: key)
            }
        }
        return file
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
