import HTTP
import OCI
import TestSupport
import Testing

/// What a client does on servers that behave.
@Suite(.timeLimit(.minutes(5)))
struct ClientTests {
    @Test func getCollectsTheBody() async throws {
        try await withScriptedServer { _ in
            .init(200, ["X-A": "1", "x-a": " 2 "], text: "hello")
        } _: { server in
            try await withClient { client in
                let response = try await client.send(try server.request(.get, "/a/b?c=%2F+d"))
                #expect(response.status == 200)
                #expect(response.body == Array("hello".utf8))
                #expect(response.receivedBytes == 5)
                #expect(response.head.contentLength == 5)
                #expect(response.headers.all("X-A") == ["1", "2"])
                #expect(response.openedConnection)
                let request = try #require(server.requests.first)
                #expect(request.method == "GET")
                #expect(request.target == "/a/b?c=%2F+d")
                #expect(request.header("Host") == server.authority)
                #expect(request.header("Expect") == nil)
                #expect(request.header("Authorization") == nil)
                #expect(request.header("User-Agent") == "rollcall")
                #expect(request.header("Accept-Encoding") == nil)
            }
        }
    }

    @Test func sendsHeadersAsTheyAre() async throws {
        try await withScriptedServer { _ in
            .init(200)
        } _: { server in
            try await withClient { client in
                var request = try server.request(.get)
                request.headers = ["Accept": "a/b, c/d", "Range": "bytes=0-9", "X-Empty": "", "X-Two": "1"]
                request.headers.add("X-Two", "2\r\nX-Smuggled: 1")
                _ = try await client.send(request)
                let sent = try #require(server.requests.first)
                #expect(sent.values("Accept") == ["a/b, c/d"])
                #expect(sent.header("Range") == "bytes=0-9")
                #expect(sent.header("X-Empty") == "")
                #expect(sent.values("X-Two").count == 2)
                #expect(sent.header("X-Smuggled") == nil)
            }
        }
    }

    @Test(arguments: [HTTPMethod.post, .put, .patch], [0, 1, 1000, 3 << 20])
    func sendsBodies(method: HTTPMethod, count: Int) async throws {
        let content = GeneratedBytes(count: Int64(count), seed: 1)
        try await withScriptedServer { _ in
            .init(201)
        } _: { server in
            try await withClient { client in
                let bodies: [HTTPRequestBody] = [
                    .bytes(content.all), .source(GeneratedSource(content), length: content.count),
                ]
                for body in count == 0 ? bodies + [.none] : bodies {
                    let response = try await client.send(try server.request(method, body: body))
                    #expect(response.status == 201)
                    let sent = try #require(server.requests.last)
                    #expect(sent.method == method.rawValue)
                    #expect(sent.values("Content-Length") == ["\(count)"])
                    #expect(sent.header("Transfer-Encoding") == nil)
                    #expect(sent.header("Expect") == nil)
                    #expect(sent.bodyDigest == content.digest())
                }
                #expect(server.connectionCount == 1)
            }
        }
    }

    @Test func aSourceContinuesWhereItPaused() async throws {
        let source = GeneratedSource(GeneratedBytes(count: 5 << 20, seed: 2), stopAt: 1 << 20)
        try await withScriptedServer { _ in
            .init(201)
        } _: { server in
            try await withClient { client in
                async let response = client.send(
                    try server.request(.put, body: .source(source, length: source.content.count)))
                try await source.paused.opened()
                try await server.until { $0.first?.bodyLength == 1 << 20 }
                source.release()
                #expect(try await response.status == 201)
                #expect(server.requests.first?.bodyDigest == source.content.digest())
            }
        }
    }

    @Test(arguments: [GeneratedSource.Fault.fail, .empty, .overlong], [Int64(0), 100_000])
    func aSourceThatFailsFailsTheRequest(fault: GeneratedSource.Fault, stopAt: Int64) async throws {
        let source = GeneratedSource(GeneratedBytes(count: 1 << 20, seed: 2), stopAt: stopAt, fault: fault)
        try await withScriptedServer { _ in
            .init(201)
        } _: { server in
            try await withClient { client in
                let request = try server.request(.put, body: .source(source, length: source.content.count))
                #expect(await failure(client, request)?.code == .sourceFailed)
                // The server must never take the part for the whole.
                try await server.until { $0.allSatisfy { $0.outcome != nil } }
                #expect(server.requests.allSatisfy { $0.bodyDigest == nil })
            }
        }
    }

    @Test(arguments: [ScriptedServer.Framing.contentLength, .chunked, .untilClose])
    func streamsIntoASink(framing: ScriptedServer.Framing) async throws {
        let content = GeneratedBytes(count: (8 << 20) + 1, seed: 3)
        try await withScriptedServer { _ in
            var response = ScriptedServer.Response(200, body: .generated(content, 0..<content.count))
            response.framing = framing
            return response
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink()
                let response = try await client.send(try server.request(.get), into: sink)
                #expect(response.body.isEmpty)
                #expect(response.receivedBytes == content.count)
                #expect(Digest(of: sink.bytes) == content.digest())
                #expect(sink.largestPiece <= 16 << 10)
                #expect(sink.head?.status == 200)
            }
        }
    }

    @Test func aSinkMayChooseToCollect() async throws {
        try await withScriptedServer { _ in
            .init(404, [:], text: "{}")
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink(.collect)
                let response = try await client.send(try server.request(.get), into: sink)
                #expect(response.status == 404 && response.body == Array("{}".utf8) && sink.bytes.isEmpty)
            }
        }
    }

    @Test func anAbandonedBodyIsNoError() async throws {
        let gate = Gate()
        try await withScriptedServer { _ in
            .init(200, body: .written(length: 1 << 30) { try $0.wait(gate) })
        } _: { server in
            try await withClient { client in
                let response = try await client.send(try server.request(.get), into: RecordingSink(.abandon))
                #expect(response.status == 200 && response.body.isEmpty && response.receivedBytes == 0)
                #expect(response.head.contentLength == 1 << 30)
            }
        }
    }

    @Test(arguments: [
        (HTTPMethod.head, 200, ScriptedServer.Framing.contentLength, String?("1234")), (.get, 204, .none, nil),
        (.get, 304, .none, "1234"), (.delete, 202, .contentLength, "0"), (.get, 200, .contentLength, "0"),
    ])
    func endsWithoutABody(method: HTTPMethod, status: Int, framing: ScriptedServer.Framing, length: String?)
        async throws
    {
        try await withScriptedServer { _ in
            var response = ScriptedServer.Response(status)
            response.framing = framing
            if let length { response.setHeader("Content-Length", length) }
            return response
        } _: { server in
            try await withClient { client in
                for round in 0..<2 {
                    let response = try await client.send(try server.request(method))
                    #expect(response.status == status)
                    #expect(response.body.isEmpty)
                    #expect(response.headers["Content-Length"] == length)
                    #expect(response.openedConnection == (round == 0))
                }
                #expect(server.requests.allSatisfy { $0.method == method.rawValue })
            }
        }
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func redirectsAreNotFollowed(status: Int) async throws {
        try await withScriptedServer { _ in
            .redirect(to: "/elsewhere", status: status)
        } _: { server in
            try await withClient { client in
                for method in [HTTPMethod.get, .put] {
                    var request = try server.request(method)
                    request.headers["Authorization"] = "Basic x"
                    let response = try await client.send(request)
                    #expect(response.status == status)
                    #expect(response.headers["Location"] == "/elsewhere")
                }
                #expect(server.requests.map(\.path) == ["/", "/"])
            }
        }
    }

    @Test func interimHeadsAreSkipped() async throws {
        try await withScriptedServer { _ in
            var response = ScriptedServer.Response(201, [:], text: "x")
            response.interim = [100, 103, 102]
            return response
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink()
                let response = try await client.send(try server.request(.put, body: .bytes([1])), into: sink)
                #expect(response.status == 201)
                #expect(sink.head?.status == 201)
            }
        }
    }

    @Test func connectionsAreReusedUntilTheServerDropsThem() async throws {
        try await withScriptedServer { _ in
            .init(200, [:], text: "x")
        } _: { server in
            try await withClient { client in
                for round in 0..<5 {
                    let response = try await client.send(try server.request(.get))
                    #expect(response.openedConnection == (round == 0))
                }
                #expect(server.requests.map(\.numberOnConnection) == [0, 1, 2, 3, 4])
                for body in [HTTPRequestBody.none, .bytes(Array(repeating: 1, count: 100_000))] {
                    server.dropConnections()
                    try await server.untilOpenConnections(0)
                    let response = try await client.send(try server.request(.put, body: body))
                    #expect(response.openedConnection && response.status == 200)
                }
            }
        }
    }

    /// A server that closes a kept connection at the moment a request arrives: bytes in memory are sent again, from their
    /// beginning; a source that was read from is not.
    @Test(arguments: [true, false])
    func aRequestOnADyingConnectionStartsAgainWhereItsBodyCan(isSource: Bool) async throws {
        let content = GeneratedBytes(count: 300_000, seed: 3)
        try await withScriptedServer { exchange in
            exchange.request.numberOnConnection == 0
                ? .init(201) : .init(201).failing(.close, .requestBody(100_000))
        } _: { server in
            try await withClient { client in
                _ = try await client.send(try server.request(.get))
                let source = GeneratedSource(content)
                let body = isSource ? HTTPRequestBody.source(source, length: content.count) : .bytes(content.all)
                let request = try server.request(.put, body: body)
                if isSource {
                    #expect(await failure(client, request)?.code == .connectionReset)
                    #expect(server.requests.map(\.method) == ["GET", "PUT"])
                } else {
                    let response = try await client.send(request)
                    #expect(response.status == 201 && response.openedConnection)
                    #expect(server.requests.map(\.bodyLength) == [0, 100_000, content.count])
                    #expect(server.requests.last?.bodyDigest == content.digest())
                }
            }
        }
    }

    @Test func aRequestThatOpensItsConnectionIsSentOnce() async throws {
        try await withScriptedServer { exchange in
            exchange.request.method == "GET" ? .init(200) : .init(201).failing(.close, .answer)
        } _: { server in
            try await withClient { client in
                _ = try await client.send(try server.request(.get))
                var request = try server.request(.put, body: .bytes([1]))
                request.opensConnection = true
                #expect(await failure(client, request)?.code == .connectionReset)
                #expect(server.requests.map(\.method) == ["GET", "PUT"])
                #expect(server.requests.map(\.connection) == [0, 1])
            }
        }
    }

    @Test func aHundredRequestsAtOnce() async throws {
        try await withScriptedServer { exchange in
            .init(200, ["X-Path": exchange.request.path], text: exchange.request.path)
        } _: { server in
            // The server answers nobody before all are there.
            let all = Gate()
            server.handle { exchange in
                try exchange.wait(all)
                return .init(200, [:], text: exchange.request.path)
            }
            try await withClient { client in
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<100 {
                        let request = try server.request(.get, "/\(number)")
                        group.addTask { try await client.send(request).body == Array("/\(number)".utf8) }
                    }
                    try await server.until { $0.count == 100 }
                    all.open()
                    for try await isRight in group { #expect(isRight) }
                }
                #expect(server.connectionCount == 100)
                // Idle connections are bounded by the configuration: 64.
                try await server.untilOpenConnections(64)
            }
        }
    }

    @Test func shutdownEndsWhatIsInFlight() async throws {
        let gate = Gate()
        try await withScriptedServer { exchange in
            try exchange.wait(gate)
            return .init(200)
        } _: { server in
            let client = HTTPClient()
            try await withThrowingTaskGroup(of: HTTPError.Code?.self) { group in
                for _ in 0..<10 {
                    let request = try server.request(.get)
                    group.addTask { await failure(client, request)?.code }
                }
                try await server.until { $0.count == 10 }
                client.shutdown()
                for try await code in group { #expect(code == .cancelled) }
            }
            client.shutdown()
            #expect(try await failure(client, server.request(.get))?.code == .cancelled)
        }
    }
}
