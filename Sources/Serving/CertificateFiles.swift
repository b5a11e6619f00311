public import Logging
import NIOCore
public import NIOSSL
import Synchronization

/// The server's certificate chain and key, in PEM files that may be replaced while it serves.
///
/// The files are looked at with each handshake, and read again when one has changed. While they cannot be used, as between
/// the replacement of the one and of the other, the pair before goes on to be used.
public final class CertificateFiles: Sendable {
    struct Pair {
        var identity: [FileIdentity?]
        var chain: [NIOSSLCertificateSource]
        var key: NIOSSLPrivateKeySource
    }

    private let paths: (certificate: String, key: String)
    private let logger: Logger
    private let pair: Mutex<Pair>

    /// - Parameters:
    ///   - certificate: the PEM file with the chain, the server's own certificate first
    ///   - key: the PEM file with its private key
    ///   - logger: where it says that changed files cannot be used
    /// - Throws: `FileFault`
    public init(certificate: String, key: String, logger: Logger) throws(FileFault) {
        paths = (certificate, key)
        self.logger = logger
        pair = Mutex(try Self.load(certificate, key))
    }

    /// TLS 1.2 and newer; each handshake is made with the files as they are then.
    public func tlsConfiguration() -> TLSConfiguration {
        let first = pair.withLock { $0 }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: first.chain, privateKey: first.key)
        configuration.minimumTLSVersion = .tlsv12
        configuration.sslContextCallback = { _, promise in
            // On another thread than the handshake's: reading blocks, and what BoringSSL finds wrong with the files stays
            // in the thread's queue of errors, where the handshake would take it for its own.
            promise.completeWithTask {
                let current = self.current()
                var override = NIOSSLContextConfigurationOverride()
                override.certificateChain = current.chain
                override.privateKey = current.key
                return override
            }
        }
        return configuration
    }

    /// Reads the files now, whether they have changed or not. What they hold is used from now on, or the log says why not.
    public func readAgain() { pair.withLock { refresh(&$0, isAsked: true) } }

    private func current() -> Pair {
        pair.withLock { pair in
            refresh(&pair)
            return pair
        }
    }

    private func refresh(_ pair: inout Pair, isAsked: Bool = false) {
        let identity = [FileIdentity(of: paths.certificate), FileIdentity(of: paths.key)]
        guard isAsked || identity != pair.identity else { return }
        do throws(FileFault) {
            pair = try Self.load(paths.certificate, paths.key)
            logger.info("read the certificate again")
        } catch {
            logger.error("the certificate before is still used", metadata: ["reason": "\(error)"])
            pair.identity = identity
        }
    }

    static func load(_ certificate: String, _ key: String) throws(FileFault) -> Pair {
        let identity = [FileIdentity(of: certificate), FileIdentity(of: key)]
        // Read here, so that a file that is not there, or not ours to read, is told from one with the wrong content.
        let chainBytes = try smallFile(certificate, limit: PEMFiles.limit)
        let keyBytes = try smallFile(key, limit: PEMFiles.limit)
        do {
            let chain = try NIOSSLCertificate.fromPEMBytes(chainBytes).map { NIOSSLCertificateSource.certificate($0) }
            let privateKey = NIOSSLPrivateKeySource.privateKey(try NIOSSLPrivateKey(bytes: keyBytes, format: .pem))
            // A context is made only of a key that belongs to the certificate.
            _ = try NIOSSLContext(
                configuration: .makeServerConfiguration(certificateChain: chain, privateKey: privateKey))
            return Pair(identity: identity, chain: chain, key: privateKey)
        } catch {
            throw FileFault(
                "\(certificate), \(key): cannot be used as certificate and key (\(error)): give PEM files of a certificate"
                    + " and of the private key that belongs to it")
        }
    }
}
