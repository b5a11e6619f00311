import FoundationEssentials
import HTTP
import OCI
import Serving
import TestSupport
import Testing

@testable import EmbeddedRegistry

/// The registry over TLS.
@Suite(.timeLimit(.minutes(5)))
struct TLSTests {
    @Test func aCertificateOfOurAuthority() async throws {
        try await withTemporaryDirectory { files in
            let certificates = try await Certificates(in: files)
            try await withEmbeddedRegistry(configure: { configuration, _ in
                configuration.tls = .init(
                    certificateFile: certificates.serverCertificateFile, keyFile: certificates.serverKeyFile)
            }) { registry in
                var registry = registry
                registry.tls.caFile = certificates.caFile
                let bytes = GeneratedBytes(count: 5_000_000, seed: 1).all
                let digest = try await registry.push(bytes, to: "a")
                #expect(try await registry.send(.get, "/v2/a/blobs/\(digest)").body == bytes)
                registry.tls.caFile = certificates.otherCAFile
                await #expect(throws: HTTPError.self) { try await registry.send(.get, "/v2/") }
            }
        }
    }

    /// The pair is replaced while connections live: new ones get the new certificate. Between the two files' replacement,
    /// the pair before goes on.
    @Test func theCertificateIsReadAgain() async throws {
        try await withTemporaryDirectory { files in
            let first = try await Certificates(in: files)
            try await withTemporaryDirectory { others in
                let second = try await Certificates(in: others)
                try await withEmbeddedRegistry(configure: { configuration, _ in
                    configuration.tls = .init(
                        certificateFile: first.serverCertificateFile, keyFile: first.serverKeyFile)
                }) { registry in
                    func works(with authority: String) async -> Bool {
                        // Each of its own connection.
                        let http = HTTPClient()
                        defer { http.shutdown() }
                        var request = try? HTTPRequest(.get, HTTPURL("\(registry.origin)/v2/"))
                        request?.tls.caFile = authority
                        request?.proxy = ""
                        guard let request else { return false }
                        return (try? await http.send(request))?.status == 200
                    }
                    #expect(await works(with: first.caFile))
                    #expect(await !works(with: second.caFile))
                    try Data(try others.read("server.crt")).write(to: URL(filePath: first.serverCertificateFile))
                    #expect(await works(with: first.caFile))
                    try Data(try others.read("server.key")).write(to: URL(filePath: first.serverKeyFile))
                    #expect(await works(with: second.caFile))
                    #expect(await !works(with: first.caFile))
                }
            }
        }
    }

    /// A client that reads only when it has sent all gets the refusal: our end of the stream, which TLS has too, does not end
    /// the reading of its bytes.
    @Test(arguments: ["", "Connection: close\r\n"])
    func aClientThatReadsOnlyWhenItHasSentAllGetsTheRefusal(header: String) async throws {
        let script = """
            import socket, ssl, sys
            context = ssl.create_default_context(cafile=sys.argv[1])
            plain = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                connection.sendall(sys.argv[3].encode() + bytes(int(sys.argv[4])))
                while answer := connection.recv(65536):
                    sys.stdout.write(answer.decode())
            """
        try await withTemporaryDirectory { files in
            let certificates = try await Certificates(in: files)
            try await withEmbeddedRegistry(configure: { configuration, _ in
                configuration.tls = .init(
                    certificateFile: certificates.serverCertificateFile, keyFile: certificates.serverKeyFile)
            }) { registry in
                let length = 16 << 20
                let head = "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\n\(header)Content-Length: \(length)\r\n\r\n"
                let result = try await runCommand([
                    "python3", "-c", script, certificates.caFile, "\(registry.port)", head, "\(length)",
                ])
                #expect(result.status == 0, "\(result.errorText)")
                #expect(result.text.hasPrefix("HTTP/1.1 413 "))
            }
        }
    }

    @Test func filesThatAreNoIdentity() async throws {
        try await withTemporaryDirectory { files in
            let certificates = try await Certificates(in: files)
            let garbage = try files.write("garbage", "x")
            for (certificate, key) in [
                (files.file("nothing"), certificates.serverKeyFile), (certificates.serverCertificateFile, garbage),
                (garbage, certificates.serverKeyFile),
                (certificates.serverCertificateFile, certificates.clientKeyFile),
            ] {
                await #expect(throws: FileFault.self) {
                    try await withEmbeddedRegistry(configure: { configuration, _ in
                        configuration.tls = .init(certificateFile: certificate, keyFile: key)
                    }) { _ in }
                }
            }
        }
    }
}
