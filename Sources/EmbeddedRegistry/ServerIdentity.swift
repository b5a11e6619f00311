import Glibc
import NIOCore
import NIOSSL
import Synchronization

/// The certificate and key that a server shows, read again when their files change.
final class ServerIdentity: Sendable {
    private struct Pair: Sendable {
        let chain: [NIOSSLCertificateSource]
        let key: NIOSSLPrivateKeySource
    }

    private let files: RegistryConfiguration.TLS
    private let current: Mutex<Pair>
    private let version: Mutex<[FileVersion]>

    init(_ files: RegistryConfiguration.TLS) throws(ServeError) {
        self.files = files
        version = Mutex(Self.versions(files))
        current = Mutex(try Self.read(files))
    }

    /// What a connection is set up with. Handshakes take the pair that is current then.
    var configuration: TLSConfiguration {
        let pair = current.withLock { $0 }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: pair.chain, privateKey: pair.key)
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        configuration.sslContextCallback = { [weak self] _, promise in
            var override = NIOSSLContextConfigurationOverride()
            if let pair = self?.current.withLock({ $0 }) {
                override.certificateChain = pair.chain
                override.privateKey = pair.key
            }
            promise.succeed(override)
        }
        return configuration
    }

    /// Reads the files again if they have changed.
    ///
    /// - Returns: whether a new pair is shown from now on
    /// - Throws: where the new files cannot be used: the pair before stays, and a later change is tried again
    func reload() throws(ServeError) -> Bool {
        let versions = Self.versions(files)
        let hasChanged = version.withLock { known in
            defer { known = versions }
            return known != versions
        }
        guard hasChanged else { return false }
        let pair = try Self.read(files)
        current.withLock { $0 = pair }
        return true
    }

    private static func versions(_ files: RegistryConfiguration.TLS) -> [FileVersion] {
        [FileVersion(files.certificateFile), FileVersion(files.keyFile)]
    }

    private static func read(_ files: RegistryConfiguration.TLS) throws(ServeError) -> Pair {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(files.certificateFile)
        } catch {
            throw ServeError(
                .identity, "\(files.certificateFile): cannot read the certificate (\(error)): it must be a PEM file")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: files.keyFile, format: .pem)
        } catch {
            throw ServeError(
                .identity,
                "\(files.keyFile): cannot read the key (\(error)): it must be a PEM file without a passphrase")
        }
        let pair = Pair(chain: chain.map { .certificate($0) }, key: .privateKey(key))
        do {
            // It compares the two.
            _ = try NIOSSLContext(
                configuration: .makeServerConfiguration(certificateChain: pair.chain, privateKey: pair.key))
        } catch {
            throw ServeError(
                .identity, "\(files.certificateFile) and \(files.keyFile) do not belong together (\(error))")
        }
        return pair
    }
}

/// What tells one version of a file from another, through symbolic links; equal for files that are not there.
struct FileVersion: Hashable, Sendable {
    private let numbers: [Int64]

    init(_ path: String) {
        var status = stat()
        numbers =
            stat(path, &status) == 0
            ? [
                Int64(status.st_dev), Int64(bitPattern: UInt64(status.st_ino)), Int64(status.st_size),
                Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec), Int64(status.st_ctim.tv_sec),
                Int64(status.st_ctim.tv_nsec),
            ] : []
    }
}
