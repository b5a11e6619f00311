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
