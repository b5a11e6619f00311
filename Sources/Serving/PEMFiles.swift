import NIOSSL

/// Checks that certificate and key files can be used, before anything is made to depend on them.
public enum PEMFiles {
    /// The most bytes of a file of certificates, or of a key: the authorities that Debian trusts are 220 KiB.
    static let limit = 4 << 20

    /// A file of certificate authorities to trust.
    ///
    /// - Throws: `FileFault`
    public static func checkAuthorities(_ path: String) throws(FileFault) {
        let bytes = try smallFile(path, limit: limit)
        guard let authorities = try? NIOSSLCertificate.fromPEMBytes(bytes), !authorities.isEmpty else {
            throw FileFault("\(path): has no certificates: give a PEM file of the authorities to trust")
        }
    }

    /// A certificate chain and the private key that belongs to it.
    ///
    /// - Throws: `FileFault`
    public static func checkIdentity(certificate: String, key: String) throws(FileFault) {
        _ = try CertificateFiles.load(certificate, key)
    }

    /// When the first certificate of a file stops to be valid, in seconds since 1970; `nil` where that cannot be read.
    public static func expiry(of certificate: String) -> Int64? {
        guard let first = try? NIOSSLCertificate.fromPEMFile(certificate).first else { return nil }
        return Int64(first.notValidAfter)
    }
}
