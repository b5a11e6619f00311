import HTTP
import Serving
import TestSupport
import Testing

@testable import GateServer

/// What the server bears of those who ask.
@Suite(.timeLimit(.minutes(5))) struct BoundsTests {
    /// Connects, sends some bytes, and prints what comes until the server closes.
    private func talk(to origin: String, sending bytes: String) async throws -> String {
        let port = origin.split(separator: ":").last ?? ""
        let script = """
            import socket, sys
            s = socket.create_connection(("127.0.0.1", \(port)))
            s.settimeout(240)
            data = b""
            try:
                s.sendall(sys.stdin.buffer.read())
                while chunk := s.recv(65536): data += chunk
            except (ConnectionResetError, BrokenPipeError): pass
            sys.stdout.buffer.write(data)
            """
        let result = try await runCommand(["python3", "-c", script], input: Array(bytes.utf8), timeout: 270)
        #expect(result.status == 0, "\(result.errorText)")
        return result.text
    }

    /// Who connects and says nothing, or not enough, is let go: with TLS also before the handshake.
    @Test(arguments: [false, true]) func silenceEnds(isTLS: Bool) async throws {
        try await withTemporaryDirectory { directory in
            let certificates = try await Certificates(in: directory)
            let log = Lines()
            try await LiveServer.with(configuration: { configuration in
                configuration.idleTimeout = .milliseconds(300)
                if isTLS {
                    configuration.certificate = try CertificateFiles(
                        certificate: certificates.serverCertificateFile, key: certificates.serverKeyFile,
                        logger: log.logger)
                }
            }) { server in
                // Twice, so that the server is seen to live on. It returns when the server closes.
                for bytes in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
                    let answer = try await talk(to: server.origin, sending: isTLS ? "" : bytes)
                    #expect(!answer.contains("200 OK"))
                }
            }
        }
    }

    @Test func largeHeadersAreRefused() async throws {
        try await LiveServer.with { server in
            let header = String(repeating: "x", count: 40_000)
            let answer = try await talk(
                to: server.origin, sending: "GET /healthz HTTP/1.1\r\nHost: x\r\nX: \(header)\r\n\r\n")
            #expect(!answer.contains("200 OK"))
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    /// More than there is room for wait their turn, and get it.
    @Test func connectionsWaitTheirTurn() async throws {
        try await LiveServer.with(configuration: { $0.maximumConnections = 2 }) { server in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<12 {
                    group.addTask {
                        // Each on a connection of its own, which ends with it.
                        let answer = try await talk(
                            to: server.origin,
                            sending: "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        return answer.contains("200 OK") ? 200 : 0
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses == Array(repeating: 200, count: 12))
        }
    }

    /// However many ask, the store is read for one after the other; and everybody gets an answer.
    @Test func manyAskAtOnce() async throws {
        try await LiveServer.with { server in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<200 { group.addTask { try await server.get("/v1/gate/lab/platform").status } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(statuses == Array(repeating: 200, count: 200))
            #expect(server.gate.reads <= 200)
        }
    }
}
