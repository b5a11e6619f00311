/// A certificate authority with a server's and a client's certificate, as PEM files, made with the `openssl` command.
public struct Certificates: Sendable {
    /// The authority that signed the others.
    public let caFile: String
    /// The server's certificate for 127.0.0.1, ::1 and localhost.
    public let serverCertificateFile: String
    /// The server's private key.
    public let serverKeyFile: String
    /// A client's certificate.
    public let clientCertificateFile: String
    /// The client's private key.
    public let clientKeyFile: String
    /// An authority that signed none of them.
    public let otherCAFile: String

    /// Makes keys and certificates, valid for one day.
    ///
    /// - Parameter directory: where the files go
    public init(in directory: TemporaryDirectory) async throws {
        for authority in ["ca", "other-ca"] {
            try await Self.openssl(
                in: directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "1", "-keyout", "\(authority).key", "-out", "\(authority).crt", "-subj", "/CN=\(authority)",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        }
        try directory.write(
            "server.ext", "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        try directory.write("client.ext", "extendedKeyUsage=clientAuth\n")
        for name in ["server", "client"] {
            try await Self.openssl(
                in: directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                "\(name).key", "-out", "\(name).csr", "-subj", "/CN=\(name)")
            try await Self.openssl(
                in: directory, "x509", "-req", "-in", "\(name).csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "1", "-out", "\(name).crt", "-extfile", "\(name).ext")
        }
        caFile = directory.file("ca.crt")
        serverCertificateFile = directory.file("server.crt")
        serverKeyFile = directory.file("server.key")
        clientCertificateFile = directory.file("client.crt")
        clientKeyFile = directory.file("client.key")
        otherCAFile = directory.file("other-ca.crt")
    }

    private static func openssl(in directory: TemporaryDirectory, _ arguments: String...) async throws {
        let result = try await runCommand(["openssl"] + arguments, directory: directory.path)
        guard result.status == 0 else {
            throw TestSupportError("openssl \(arguments.joined(separator: " ")): \(result.errorText)")
        }
    }
}
