import FoundationEssentials
import Glibc
import HTTP

/// One containers-auth.json, docker `config.json` or legacy `.dockercfg`, as parsed.
struct CredentialFile: Sendable {
    /// The largest file that is read, in bytes.
    static let maximumSize = 1 << 20

    /// One entry of `auths`.
    struct Entry: Sendable {
        let username: String
        let secret: Secret
        let kind: Credential.Kind
    }

    /// By normalised key: `HOST[:PORT][/NAMESPACE…]`.
    let entries: [String: Entry]
    /// Helper names by normalised key.
    let helpers: [String: String]
    /// The helper for all other registries.
    let store: String?

    /// - Throws: `RegistryError.credentialsUnreadable` naming the file; nothing of its content.
    init(parsing bytes: [UInt8], path: String) throws(RegistryError) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(bytes))
        } catch {
            throw RegistryError(
                .credentialsUnreadable, "not a credentials file: expected JSON with 'auths' or 'credHelpers'", url: path
            )
        }
        var auths = document.auths ?? [:]
        if path.hasSuffix(".dockercfg"), document.auths == nil {
            auths = (try? JSONDecoder().decode([String: RawEntry].self, from: Data(bytes))) ?? [:]
        }
        entries = Self.normalised(auths.compactMapValues(\.entry))
        helpers = Self.normalised(document.credHelpers ?? [:])
        store = document.credsStore.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The keys under which a repository's credential may stand, most specific first: the longest namespace, down to
    /// the host alone (containers-auth.json(5)).
    ///
    /// - Parameters:
    ///   - hosts: the names of the registry, preferred first
    ///   - repository: the repository's name; `nil` for the registry itself
    static func keys(hosts: [String], repository: String?) -> [String] {
        var parts = (repository ?? "").split(separator: "/").prefix(32)
        var keys: [String] = []
        while !parts.isEmpty {
            keys += hosts.map { "\($0)/\(parts.joined(separator: "/"))" }
            parts.removeLast()
        }
        return keys + hosts
    }

    /// `https://host/v1/` is the form that `docker login` wrote; a key without a scheme may carry a namespace.
    static func normalised(key: String) -> String {
        var rest = key[...]
        if let scheme = rest.firstRange(of: "://") {
            rest = rest[scheme.upperBound...].prefix { $0 != "/" }
        }
        while rest.hasSuffix("/") { rest.removeLast() }
        for version in ["/v1", "/v2"] where rest.hasSuffix(version) && !rest.dropLast(3).contains("/") {
            rest.removeLast(3)
        }
        let host = rest.prefix { $0 != "/" }
        if RegistryEndpoint.dockerHub.contains(host.lowercased()) { return "docker.io" + rest[host.endIndex...] }
        return host.lowercased() + rest[host.endIndex...]
    }

    /// Of several keys for the same registry, the one written in the plain form wins.
    private static func normalised<Value>(_ values: [String: Value]) -> [String: Value] {
        var result: [String: Value] = [:]
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            let plain = normalised(key: key)
            if plain == key || result[plain] == nil { result[plain] = value }
        }
        return result
    }

    private struct Document: Decodable {
        let auths: [String: RawEntry]?
        let credHelpers: [String: String]?
        let credsStore: String?
    }

    private struct RawEntry: Decodable {
        let auth: String?
        let username: String?
        let password: String?
        let identitytoken: String?

        /// `nil` for the empty entries that `docker login` leaves where a helper holds the secret.
        var entry: Entry? {
            var user = username ?? ""
            var secret = password ?? ""
            if let auth, let decoded = Data(base64Encoded: auth.trimmed) {
                // docker pads with zero bytes; only the first colon separates.
                let text = String(decoding: decoded.prefix { $0 != 0 }, as: UTF8.self)
                if let colon = text.firstIndex(of: ":") {
                    user = String(text[..<colon])
                    secret = String(text[text.index(after: colon)...])
                }
            }
            if let identitytoken, !identitytoken.isEmpty {
                return Entry(username: user, secret: Secret(identitytoken), kind: .identityToken)
            }
            return secret.isEmpty ? nil : Entry(username: user, secret: Secret(secret), kind: .password)
        }
    }
}

extension CredentialFile {
    /// What changes when a file is rewritten or, as in a Kubernetes secret, replaced behind a link.
    struct Stamp: Equatable {
        let device: UInt
        let inode: UInt
        let size: Int
        let seconds: Int
        let nanoseconds: Int
    }

    /// - Returns: `nil` where there is no such file.
    static func stamp(path: String) throws(RegistryError) -> Stamp? {
        var status = Glibc.stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(path, errno)
        }
        guard status.st_size <= maximumSize else {
            throw RegistryError(
                .credentialsUnreadable, "larger than \(maximumSize) bytes: not a credentials file", url: path)
        }
        return Stamp(
            device: UInt(status.st_dev), inode: UInt(status.st_ino), size: Int(status.st_size),
            seconds: Int(status.st_mtim.tv_sec), nanoseconds: Int(status.st_mtim.tv_nsec))
    }

    /// Reads at most `maximumSize` bytes.
    static func read(path: String) throws(RegistryError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while bytes.count <= maximumSize {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw unreadable(path, errno)
            }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }

    private static func unreadable(_ path: String, _ number: Int32) -> RegistryError {
        RegistryError(
            .credentialsUnreadable,
            "cannot read the credentials file: \(String(cString: strerror(number))); correct its permissions or remove it",
            url: path)
    }
}
