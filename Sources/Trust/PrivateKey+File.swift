import Glibc

extension PrivateKey {
    /// Reads a key's file.
    ///
    /// The file must be its owner's alone. Only where somebody else owns it may the group read it too: so Kubernetes gives
    /// Secrets to processes that are not root.
    ///
    /// - Throws: `TrustError.keyFile` where it cannot be read or others may read it; `.invalidKey` for other content
    public convenience init(path: String) throws(TrustError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.failure("cannot read the private key", at: path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("cannot read the private key", at: path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TrustError(.keyFile, "the private key is not a file", in: path)
        }
        let tolerated: mode_t = status.st_uid == geteuid() ? 0 : 0o040
        guard status.st_mode & 0o077 & ~tolerated == 0 else {
            throw TrustError(
                .keyFile,
                "others than its owner may read or change the private key (mode \(String(status.st_mode & 0o777, radix: 8))):"
                    + " run 'chmod 600', and make a new key if others could have read it", in: path)
        }
        var bytes = [UInt8](repeating: 0, count: Self.maximumFileSize + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw Self.failure("cannot read the private key", at: path) }
            if got == 0 { break }
            count += got
        }
        guard count <= Self.maximumFileSize else {
            throw TrustError(.invalidKey, "not a private key: it has more than \(Self.maximumFileSize) bytes", in: path)
        }
        try self.init(pem: String(decoding: bytes[..<count], as: UTF8.self), in: path)
    }

    /// Writes the key to a new file that its owner alone may read and write (mode 0600).
    ///
    /// - Throws: `TrustError.keyFile` where it cannot be written, or something is there already: a key that is lost
    ///   cannot be made again
    public func write(to path: String) throws(TrustError) {
        let text = Array(try pem().utf8)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            guard errno != EEXIST else {
                throw TrustError(.keyFile, "there is a file already: keys are not overwritten", in: path)
            }
            throw Self.failure("cannot write the private key", at: path)
        }
        // The umask may take rights away, never add any; it must not take the owner's.
        let written =
            fchmod(descriptor, 0o600) == 0 && Glibc.write(descriptor, text, text.count) == text.count
            && fsync(descriptor) == 0
        let failure = Self.failure("cannot write the private key", at: path)
        close(descriptor)
        guard written else {
            unlink(path)
            throw failure
        }
    }

    private static func failure(_ what: String, at path: String) -> TrustError {
        TrustError(.keyFile, "\(what): \(String(cString: strerror(errno)))", in: path)
    }
}
