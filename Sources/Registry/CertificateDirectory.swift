import FoundationEssentials
import Glibc
public import HTTP

/// Directories of certificates by registry, `DIRECTORY/HOST[:PORT]/` (containers-certs.d(5)): `*.crt` is a certificate
/// authority, `*.cert` with `*.key` is the client's own certificate.
public struct CertificateDirectory: Sendable, Hashable {
    /// The directories, in order; the first that has one for the host is used alone.
    public let paths: [String]

    /// - Parameter paths: the directories, in order
    public init(paths: [String]) { self.paths = paths }

    /// `~/.config/containers/certs.d`, `/etc/containers/certs.d`, `/etc/docker/certs.d`.
    ///
    /// - Parameter environment: the process's environment; `nil` reads it
    public static func standard(environment: [String: String]? = nil) -> CertificateDirectory {
        let home =
            (environment ?? ProcessInfo.processInfo.environment)["HOME"].map { ["\($0)/.config/containers/certs.d"] }
            ?? []
        return CertificateDirectory(paths: home + ["/etc/containers/certs.d", "/etc/docker/certs.d"])
    }

    /// What the directories hold for one host; the default where they hold nothing.
    ///
    /// Unlike in containers/image, an authority found here is trusted instead of the system's.
    ///
    /// - Parameter url: a URL at the host
    /// - Throws: `RegistryError.invalidConfiguration` for several authorities or several pairs, and for half a pair.
    public func configuration(for url: HTTPURL) throws(RegistryError) -> TLSConfiguration {
        for path in paths {
            for host in Set([url.authority, "\(url.host):\(url.port)"]).sorted() {
                if let names = Self.list("\(path)/\(host)") {
                    return try Self.configuration(directory: "\(path)/\(host)", names: names)
                }
            }
        }
        return TLSConfiguration()
    }

    static func configuration(directory: String, names: [String]) throws(RegistryError) -> TLSConfiguration {
        let authorities = names.filter { $0.hasSuffix(".crt") }.sorted()
        let certificates = names.filter { $0.hasSuffix(".cert") }.sorted()
        let keys = Set(names.filter { $0.hasSuffix(".key") })
        guard authorities.count <= 1 else {
            throw RegistryError(
                .invalidConfiguration, "several *.crt files: put the authorities into one file", url: directory)
        }
        guard certificates.count <= 1, keys.count <= 1 else {
            throw RegistryError(
                .invalidConfiguration, "several client certificates: keep one *.cert with its *.key", url: directory)
        }
        var configuration = TLSConfiguration(caFile: authorities.first.map { "\(directory)/\($0)" })
        if let certificate = certificates.first {
            let key = String(certificate.dropLast(".cert".count)) + ".key"
            guard keys.contains(key) else {
                throw RegistryError(
                    .invalidConfiguration,
                    "'\(certificate)' has no '\(key)' (a certificate authority's file ends in .crt)", url: directory)
            }
            configuration.certificateFile = "\(directory)/\(certificate)"
            configuration.keyFile = "\(directory)/\(key)"
        } else if let key = keys.first {
            throw RegistryError(.invalidConfiguration, "'\(key)' has no *.cert beside it", url: directory)
        }
        return configuration
    }

    private static func list(_ path: String) -> [String]? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var names: [String] = []
        while names.count < 256, let entry = readdir(directory) {
            names.append(
                withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names
    }
}
