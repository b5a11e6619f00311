import NIOSSL

/// Checks that certificate and key files can be used, before anything is made to depend on them.
public enum PEMFiles {
    /// A file of certificate authorities to trust.
    ///
    /// - Throws: `FileFault`
    public static func checkAuthorities(_ path: String) throws(FileFault) {
        do {
            guard try !NIOSSLCertificate.fromPEMFile(path).isEmpty else {
                throw FileFault("\(path): has no certificate: give a PEM file of the authorities to trust")
            }
        } catch let fault as FileFault {
            throw fault
        } catch {
            throw FileFault("\(path): cannot be read as certificates (\(error)): give a PEM file")
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
