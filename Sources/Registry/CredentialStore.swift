import FoundationEssentials
import Glibc
public import HTTP
public import OCI

/// Finds credentials in the files that container tools share.
///
/// An explicit file, or `REGISTRY_AUTH_FILE`, is used alone, as podman does. Otherwise, in this order, the first that
/// knows the registry: `${XDG_RUNTIME_DIR}/containers/auth.json` (without that variable, `/run/containers/UID/`),
/// `${XDG_CONFIG_HOME:-~/.config}/containers/auth.json`, `${DOCKER_CONFIG:-~/.docker}/config.json`, `~/.dockercfg`.
/// Within a file: `credHelpers`, then `auths`, each by the longest namespace, then `credsStore`. Files are read again
/// when they change, since tokens rotate; one that became unreadable is used as it was before.
public actor CredentialStore {
    private let paths: [String]
    private let requiresFile: Bool
    private let helper: CredentialHelper
    private let timing: Timing
    private var files: [String: (stamp: CredentialFile.Stamp, file: CredentialFile)] = [:]
    private var helperAnswers: [String: (answer: CredentialHelper.Answer?, until: ContinuousClock.Instant)] = [:]
    /// How long a helper's answer is used: each answer costs a process, and cloud registries' tokens live for hours.
    private static let helperLifetime = Duration.seconds(300)
    private static let keptHelperAnswers = 256

    /// - Parameters:
    ///   - authFile: a credentials file to use alone; `nil` takes the documented places
    ///   - environment: the process's environment; `nil` reads it
    ///   - timing: the clock by which helpers' answers age
    public init(
        authFile: String? = nil, environment: [String: String]? = nil, timing: Timing = .system
    ) {
        let environment = environment ?? ProcessInfo.processInfo.environment
        let explicit = authFile ?? environment["REGISTRY_AUTH_FILE"].flatMap { $0.isEmpty ? nil : $0 }
        paths = explicit.map { [$0] } ?? Self.defaultPaths(environment)
        requiresFile = explicit != nil
        helper = CredentialHelper(searchPath: environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin")
        self.timing = timing
    }

    /// The places to look in, in order.
    static func defaultPaths(_ environment: [String: String]) -> [String] {
        let value = { (name: String) in environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let runtime = value("XDG_RUNTIME_DIR").map { "\($0)/containers" } ?? "/run/containers/\(getuid())"
        var paths = ["\(runtime)/auth.json"]
        let home = value("HOME")
        if let config = value("XDG_CONFIG_HOME") ?? home.map({ "\($0)/.config" }) {
            paths.append("\(config)/containers/auth.json")
        }
        if let docker = value("DOCKER_CONFIG") ?? home.map({ "\($0)/.docker" }) {
            paths.append("\(docker)/config.json")
        }
        if let home { paths.append("\(home)/.dockercfg") }
        return paths
    }

    /// The places looked in, for messages.
    nonisolated var searched: String { paths.joined(separator: ", ") }

    /// The credential for a registry, or for one of its repositories; `nil` where no file knows one.
    ///
    /// - Parameters:
    ///   - endpoint: the registry
    ///   - repository: the repository; a more specific entry wins
    /// - Throws: `RegistryError.credentialsUnreadable` for a file that exists but cannot be used, and for a helper
    ///   that fails.
    public func credential(for endpoint: RegistryEndpoint, repository: Repository? = nil) async throws(RegistryError)
        -> Credential?
    {
        var hosts = [endpoint.name]
        if endpoint.name == endpoint.url.authority, !endpoint.name.hasSuffix(":\(endpoint.url.port)") {
            hosts.append("\(endpoint.url.host):\(endpoint.url.port)")
        }
        let keys = CredentialFile.keys(hosts: hosts, repository: repository?.name)
        for path in paths {
            guard let file = try current(path) else {
                if requiresFile {
                    throw Self.missing(path)
                }
                continue
            }
            if let credential = try await credential(in: file, path: path, keys: keys, host: endpoint.name) {
                return credential
            }
        }
        return nil
    }

    /// Forgets helpers' answers, after the registry refused one.
    func forget() { helperAnswers = [:] }

    private func credential(in file: CredentialFile, path: String, keys: [String], host: String)
        async throws(RegistryError)
        -> Credential?
    {
        for key in keys {
            if let name = file.helpers[key], let found = try await ask(name, for: key, path: path) { return found }
        }
        for key in keys {
            if let entry = file.entries[key] {
                return Credential(kind: entry.kind, username: entry.username, secret: entry.secret, origin: path)
            }
        }
        guard let store = file.store else { return nil }
        return try await ask(store, for: host, path: path)
    }

    private func current(_ path: String) throws(RegistryError) -> CredentialFile? {
        guard let stamp = try CredentialFile.stamp(path: path) else {
            files[path] = nil
            return nil
        }
        if let known = files[path], known.stamp == stamp { return known.file }
        do {
            let file = try CredentialFile(parsing: try CredentialFile.read(path: path), path: path)
            files[path] = (stamp, file)
            return file
        } catch {
            // Half written, or wrong: what was good before goes on to be used until it is right.
            guard let known = files[path] else { throw error }
            return known.file
        }
    }

    private static func missing(_ path: String) -> RegistryError {
        RegistryError(
            .credentialsUnreadable,
            "there is no such credentials file: write one with 'podman login --authfile', or name another", url: path)
    }

    /// Reads a credentials file, to find out whether it can be used.
    ///
    /// - Throws: `RegistryError.credentialsUnreadable`
    public static func check(_ path: String) throws(RegistryError) {
        guard try CredentialFile.stamp(path: path) != nil else {
            throw Self.missing(path)
        }
        _ = try CredentialFile(parsing: try CredentialFile.read(path: path), path: path)
    }

    private func ask(_ name: String, for key: String, path: String) async throws(RegistryError) -> Credential? {
        // Docker Hub's helpers know it by the URL that docker logs in to.
        let server = key == "docker.io" ? "https://index.docker.io/v1/" : key
        let cacheKey = "\(name) \(server)"
        let answer: CredentialHelper.Answer?
        if let known = helperAnswers[cacheKey], known.until > timing.now() {
            answer = known.answer
        } else {
            answer = try await helper.get(name, server: server, path: path)
            if helperAnswers.count >= Self.keptHelperAnswers { helperAnswers = [:] }
            helperAnswers[cacheKey] = (answer, timing.now() + Self.helperLifetime)
        }
        return answer.map { answer in
            Credential(
                kind: answer.username == "<token>" ? .identityToken : .password, username: answer.username,
                secret: answer.secret, origin: "docker-credential-\(name), named in \(path)")
        }
    }
}
