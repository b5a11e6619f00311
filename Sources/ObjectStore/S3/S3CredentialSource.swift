import Glibc
import Synchronization

/// Where the credentials for an S3 store come from. Files are read again when they have changed.
///
/// A named file or directory is the only source where there is one. Otherwise, as AWS's own tools have it: the
/// environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), then the shared credentials file, then
/// the shared configuration file, both with the profile that `AWS_PROFILE` names.
final class S3CredentialSource: Sendable {
    private let environment: [String: String]
    /// A file in the form of the shared credentials file, or a directory with a file for each variable: what Kubernetes
    /// mounts for a Secret.
    private let path: String?
    private let cache = Mutex<(files: [FileIdentity?], credentials: S3Credentials)?>(nil)

    /// - Parameters:
    ///   - path: the file or directory that the store's URL names
    ///   - environment: the process environment
    init(path: String?, environment: [String: String]) {
        self.path = path
        self.environment = environment
    }

    /// The credentials now.
    ///
    /// - Parameter rereading: reads the files even if they seem not to have changed
    /// - Throws: `ObjectStoreError.noCredentials` where none are found; an error where a file cannot be read
    func credentials(rereading: Bool = false) throws(ObjectStoreError) -> S3Credentials {
        let paths = watchedPaths
        let identities = paths.map(FileIdentity.init(of:))
        if !rereading, let cached = cache.withLock({ $0 }), cached.files == identities { return cached.credentials }
        let credentials = try read()
        cache.withLock { $0 = (identities, credentials) }
        return credentials
    }

    /// The region that the environment or the shared configuration file names.
    static func region(environment: [String: String]) -> String? {
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let region = environment[variable], !region.isEmpty { return region }
        }
        let source = S3CredentialSource(path: nil, environment: environment)
        // A file that cannot be read is complained about when credentials are looked for.
        guard let path = source.configurationPath, let file = try? SharedFile(path: path) else { return nil }
        return file.setting("region", profile: source.profile, isConfiguration: true)
    }

    private func value(_ variable: String) -> String? { environment[variable].flatMap { $0.isEmpty ? nil : $0 } }

    private var profile: String { value("AWS_PROFILE") ?? "default" }
    private var sharedPath: String? {
        value("AWS_SHARED_CREDENTIALS_FILE") ?? value("HOME").map { "\($0)/.aws/credentials" }
    }
    private var configurationPath: String? { value("AWS_CONFIG_FILE") ?? value("HOME").map { "\($0)/.aws/config" } }

    private static let variables = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]

    private var watchedPaths: [String] {
        if let path { return [path] + Self.variables.map { "\(path)/\($0)" } }
        return [sharedPath, configurationPath].compactMap { $0 }
    }

    private func read() throws(ObjectStoreError) -> S3Credentials {
        if let path { return try read(named: path) }
        if let found = S3Credentials(
            accessKeyID: value(Self.variables[0]), secretAccessKey: value(Self.variables[1]),
            sessionToken: value(Self.variables[2]), origin: "the environment")
        {
            return found
        }
        if let path = sharedPath, let file = try SharedFile(path: path),
            let found = file.credentials(profile: profile, origin: path)
        {
            return found
        }
        if let path = configurationPath, let file = try SharedFile(path: path),
            let found = file.credentials(profile: profile, isConfiguration: true, origin: path)
        {
            return found
        }
        let files = [sharedPath, configurationPath].compactMap { $0 }.map { "'\($0)'" }.joined(separator: " or ")
        throw ObjectStoreError(
            .noCredentials,
            "no credentials for the S3 store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give them to the profile"
                + " '\(profile)' in \(files.isEmpty ? "~/.aws/credentials" : files), or name a file in the store's URL with"
                + " credentials=FILE",
            at: "credentials")
    }

    private func read(named path: String) throws(ObjectStoreError) -> S3Credentials {
        var status = stat()
        if stat(path, &status) == 0, status.isDirectory {
            var values: [String?] = []
            for variable in Self.variables {
                let text = try SharedFile.text(path: "\(path)/\(variable)")
                values.append(text.map { String($0.filter { !$0.isWhitespace }) })
            }
            if let found = S3Credentials(
                accessKeyID: values[0], secretAccessKey: values[1], sessionToken: values[2], origin: path)
            {
                return found
            }
            throw ObjectStoreError(
                .noCredentials,
                "the directory has no files AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: mount the Secret that holds them",
                at: path)
        }
        guard let file = try SharedFile(path: path) else {
            throw ObjectStoreError(
                .noCredentials, "the credentials file does not exist: check credentials= in the store's URL", at: path)
        }
        guard let found = file.credentials(profile: profile, origin: path) else {
            throw ObjectStoreError(
                .noCredentials,
                "the file has no aws_access_key_id and aws_secret_access_key in its profile '\(profile)': add them, or name"
                    + " another profile in AWS_PROFILE",
                at: path)
        }
        return found
    }
}

/// What tells one version of a file from the next: replacing a file, or the link to it, changes it.
private struct FileIdentity: Equatable {
    let device: UInt64
    let inode: UInt64
    let size: Int64
    let seconds: Int
    let nanoseconds: Int

    init?(of path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}

extension SharedFile {
    /// - Returns: `nil` where the file does not exist
    /// - Throws: `ObjectStoreError`
    init?(path: String) throws(ObjectStoreError) {
        guard let text = try Self.text(path: path) else { return nil }
        self.init(text)
    }

    /// A file's text, at most `limit` bytes; `nil` where it does not exist.
    static func text(path: String) throws(ObjectStoreError) -> String? {
        guard let file = try OpenFile(path, O_RDONLY | O_NONBLOCK, doing: "read") else { return nil }
        let status = try file.status()
        guard status.isRegular, status.size <= limit else {
            throw ObjectStoreError(
                .tooLarge, "not a credentials file: it must be a regular file of at most \(limit) bytes", at: path)
        }
        return String(decoding: try file.read(count: Int(status.size)), as: UTF8.self)
    }
}
