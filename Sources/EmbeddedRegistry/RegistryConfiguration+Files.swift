public import Serving

extension RegistryConfiguration {
    /// Reads the files that it names, so that what is wrong shows before anything depends on it.
    ///
    /// - Throws: `FileFault`
    public func checkFiles() throws(FileFault) {
        if let tls { try PEMFiles.checkIdentity(certificate: tls.certificateFile, key: tls.keyFile) }
        if let usersFile { _ = try PasswordFile(path: usersFile) }
    }
}
