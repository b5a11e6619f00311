import HTTP
import TestSupport
import Testing

/// Trust, on a real server.
@Suite(.timeLimit(.minutes(5)))
struct TLSTests {
    @Test func trustIsWhatTheRequestSays() async throws {
        try await withTemporaryDirectory { directory in
            let certificates = try await Certificates(in: directory)
            var configuration = RealRegistry.Configuration()
            configuration.certificates = certificates
            try await withRealRegistry(configuration) { registry in
                try await withClient { client in
                    var request = HTTPRequest(.get, try HTTPURL("\(registry.origin)/v2/?token=secret"))
                    request.proxy = ""
                    // Twice around: no kept connection and no kept session carries trust from one request to another.
                    for _ in 0..<2 {
                        request.tls = TLSConfiguration(caFile: certificates.caFile)
                        #expect(try await client.send(request).status == 200)
                        for tls in [
                            TLSConfiguration(), TLSConfiguration(caFile: certificates.otherCAFile),
                            TLSConfiguration(caFile: directory.file("missing.crt")),
                            TLSConfiguration(caFile: certificates.serverKeyFile),
                        ] {
                            request.tls = tls
                            let error = await failure(client, request)
                            #expect(error?.code == .untrustedCertificate, "\(error?.description ?? "")")
                            #expect(error?.isTransient == false)
                            #expect(error?.description.contains("secret") == false)
                        }
                        request.tls = TLSConfiguration(skipsVerification: true)
                        #expect(try await client.send(request).status == 200)
                    }
                }
            }
        }
    }

    @Test func aCertificateForAnotherNameIsNotTrusted() async throws {
        try await withTemporaryDirectory { directory in
            let certificates = try await Certificates(in: directory)
            var configuration = RealRegistry.Configuration()
            configuration.certificates = certificates
            try await withRealRegistry(configuration) { registry in
                try await withClient { client in
                    var request = HTTPRequest(.get, try HTTPURL("https://localhost:\(registry.port)/v2/"))
                    request.proxy = ""
                    request.tls = TLSConfiguration(caFile: certificates.caFile)
                    #expect(try await client.send(request).status == 200)
                    // A name that leads here too, but that the certificate does not hold.
                    request.url = try HTTPURL("https://other.localhost:\(registry.port)/v2/")
                    #expect(await failure(client, request)?.code == .untrustedCertificate)
                }
            }
        }
    }

    @Test func aClientCertificateIsShownWhereTheRequestNamesIt() async throws {
        try await withTemporaryDirectory { directory in
            let certificates = try await Certificates(in: directory)
            var configuration = RealRegistry.Configuration()
            configuration.certificates = certificates
            configuration.demandsClientCertificate = true
            try await withRealRegistry(configuration) { registry in
                try await withClient { client in
                    var request = HTTPRequest(.get, try HTTPURL("\(registry.origin)/v2/"))
                    request.proxy = ""
                    for _ in 0..<2 {
                        request.tls = TLSConfiguration(
                            caFile: certificates.caFile, certificateFile: certificates.clientCertificateFile,
                            keyFile: certificates.clientKeyFile)
                        #expect(try await client.send(request).status == 200)
                        request.tls = TLSConfiguration(caFile: certificates.caFile)
                        #expect(await failure(client, request) != nil)
                    }
                    for (certificate, key) in [
                        (certificates.clientCertificateFile, certificates.serverKeyFile),
                        (directory.file("missing.crt"), certificates.clientKeyFile),
                        (certificates.clientCertificateFile, directory.file("missing.key")),
                    ] {
                        request.tls = TLSConfiguration(
                            caFile: certificates.caFile, certificateFile: certificate, keyFile: key)
                        // A kept connection is one for the same certificate, whichever file holds its key.
                        let error = try await withClient { await failure($0, request) }
                        #expect(error?.code == .untrustedCertificate, "\(error?.description ?? "")")
                    }
                }
            }
        }
    }

    @Test func tlsOnAPlainPortFails() async throws {
        try await withScriptedServer({ _ in .init(200) }) { server in
            try await withClient { client in
                var request = HTTPRequest(.get, try HTTPURL("https://\(server.authority)/"))
                request.proxy = ""
                #expect(await failure(client, request)?.code == .tlsFailed)
                #expect(server.requests.isEmpty)
            }
        }
    }
}
