import HTTP
import OCI
import TestSupport
import Testing

/// What a client makes of servers and networks that fail.
@Suite(.timeLimit(.minutes(5)))
struct FailureTests {
    typealias Response = ScriptedServer.Response

    static let body = GeneratedBytes(count: 1 << 20, seed: 5)
    static let answer = Response(200, body: .generated(body, 0..<body.count))

    @Test(arguments: [
        (answer.failing(.reset, .requestHead), HTTPError.Code.connectionReset),
        (answer.failing(.close, .requestHead), .connectionReset),
        (answer.failing(.reset, .answer), .connectionReset),
        (answer.failing(.close, .answer), .connectionReset),
        (answer.failing(.reset, .answerHead), .connectionReset),
        (answer.failing(.close, .answerHead), .truncatedBody),
        (answer.failing(.reset, .answerBody(100_000)), .connectionReset),
        (answer.failing(.close, .answerBody(100_000)), .truncatedBody),
        (answer.failing(.close, .answerBody(body.count - 1)), .truncatedBody),
        (answer.failing(.reset, .answerBody(body.count - 1)), .connectionReset),
    ])
    func aBrokenAnswerIsAnError(response: Response, code: HTTPError.Code) async throws {
        try await withScriptedServer({ _ in response }) { server in
            try await withClient { client in
                for sink in [nil, RecordingSink()] {
                    let error = await failure(client, try server.request(.get, "/x?token=secret"), into: sink)
                    #expect(error?.code == code, "\(error?.description ?? "no error")")
                    #expect(error?.isTransient == true)
                    #expect(error?.description.contains("secret") == false)
                    #expect(error?.description.contains("\(server.authority)/x") == true)
                }
            }
        }
    }

    /// libcurl quotes the URL of a proxy that it cannot use.
    @Test(arguments: ["ftp://user:secret@127.0.0.1:1", "http://user:se cret@127.0.0.1:1", "http://user:secret@[::1"])
    func noPasswordOfAProxyIsShown(proxy: String) async throws {
        try await withClient { client in
            var request = HTTPRequest(.get, try HTTPURL("http://registry.invalid/"))
            request.proxy = proxy
            let words = try #require(await failure(client, request)).description
            #expect(!words.contains("user:"), "\(words)")
            #expect(!words.contains("cret"), "\(words)")
        }
    }

    @Test(arguments: [Int64(0), 1, 100_000, body.count - 1])
    func aChunkedAnswerThatEndsEarlyIsAnError(offset: Int64) async throws {
        for action in [ScriptedServer.Fault.Action.close, .reset] {
            var response = Self.answer.failing(action, .answerBody(offset))
            response.framing = .chunked
            try await withScriptedServer({ [response] _ in response }) { server in
                try await withClient { client in
                    let error = await failure(client, try server.request(.get), into: RecordingSink())
                    #expect(error?.code == .truncatedBody || error?.code == .connectionReset)
                }
            }
        }
    }

    @Test func aLengthThatPromisesMoreIsTruncation() async throws {
        var response = Response(200, [:], text: "abc")
        response.framing = .falseContentLength(4)
        try await withScriptedServer({ [response] _ in response }) { server in
            try await withClient { client in
                let error = try await failure(client, server.request(.get))
                #expect(error?.code == .truncatedBody)
            }
        }
    }

    @Test func bytesBeyondTheLengthAreNeitherBodyNorNextAnswer() async throws {
        var response = Response(200, [:], text: "abcHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        response.framing = .falseContentLength(3)
        try await withScriptedServer({ [response] _ in response }) { server in
            try await withClient { client in
                for _ in 0..<3 {
                    let answer = try await client.send(try server.request(.get))
                    #expect(answer.body == Array("abc".utf8))
                    #expect(answer.openedConnection)
                }
            }
        }
    }

    @Test(arguments: [
        "", "\r\n", "garbage\r\n\r\n", "HTTP/0.9 200\r\n\r\nx", "<html></html>", "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "HTTP/1.1 100 Continue\r\n\r\n",
        "\u{15}\u{3}\u{1}", "220 smtp.example ESMTP\r\n",
    ])
    func whatIsNotHTTPIsTheServersFault(text: String) async throws {
        try await withScriptedServer({ _ in .raw(text) }) { server in
            try await withClient { client in
                let error = await failure(client, try server.request(.get))
                #expect(error != nil)
                // The URL was right.
                #expect(error?.code != .invalidURL, "\(error?.description ?? "")")
            }
        }
    }

    @Test func aHeadWithoutEndIsBounded() async throws {
        let line = "X-Filler: \(String(repeating: "x", count: 1000))\r\n"
        try await withScriptedServer({ _ in
            .raw("HTTP/1.1 200 OK\r\n\(String(repeating: line, count: 1 << 12))\r\n")
        }) { server in
            try await withClient { client in
                let error = try await failure(client, server.request(.get))
                #expect(error?.code == .responseTooLarge)
            }
        }
    }

    @Test func headsThatCannotBeMappedAreReadAsTheyAre() async throws {
        try await withScriptedServer({ _ in
            .raw(
                "HTTP/1.1 200 \r\nX-A:1\r\nX-B:\r\nX-A:\t 2 \t\r\nX-C: \u{e9}\r\nContent-Length: 0\r\n\r\n")
        }) { server in
            try await withClient { client in
                let head = try await client.send(try server.request(.get)).head
                #expect(head.headers.all("x-a") == ["1", "2"])
                #expect(head.headers["X-B"] == "")
                #expect(head.headers["X-C"] == "\u{e9}")
            }
        }
    }

    @Test(arguments: [ScriptedServer.Welcome.reset, .close])
    func aConnectionThatEndsAtOnceIsReset(welcome: ScriptedServer.Welcome) async throws {
        try await withScriptedServer({ _ in Self.answer }) { server in
            server.welcome { _ in welcome }
            try await withClient { client in
                let error = try await failure(client, server.request(.get))
                // A reset that is there before the client looks at its new connection is one that never stood.
                var expected: [HTTPError.Code?] = [.connectionReset]
                if case .reset = welcome { expected.append(.cannotConnect) }
                #expect(expected.contains(error?.code))
                #expect(error?.isTransient == true)
            }
        }
    }

    @Test func whereNothingListensIsCannotConnect() async throws {
        // A port that nobody is given: one that was free a moment ago may be another test's by now.
        var request = HTTPRequest(.get, try HTTPURL("http://127.0.0.1:1/"))
        request.proxy = ""
        try await withClient { client in
            #expect(await failure(client, request)?.code == .cannotConnect)
        }
    }

    @Test func aNameWithoutAddressCannotBeResolved() async throws {
        var request = HTTPRequest(.get, try HTTPURL("http://nowhere.invalid/"))
        request.proxy = ""
        try await withClient { client in
            let error = await failure(client, request)
            #expect(error?.code == .cannotResolve)
            #expect(error?.description.contains("nowhere.invalid") == true)
        }
    }

    @Test func aProxyThatIsNotThereIsNamed() async throws {
        try await withClient { client in
            var request = HTTPRequest(.get, try HTTPURL("http://registry.example.invalid/"))
            request.proxy = "http://127.0.0.1:1"
            let error = await failure(client, request)
            #expect(error?.code == .proxyFailed || error?.code == .cannotConnect)
            request.proxy = "http://proxy.invalid:3128"
            #expect(await failure(client, request)?.code == .proxyFailed)
        }
    }

    @Test func aProxyIsUsedWhereOneIsSaid() async throws {
        try await withScriptedServer({ _ in .init(200, [:], text: "by proxy") }) { proxy in
            try await withClient { client in
                var request = HTTPRequest(.get, try HTTPURL("http://registry.example.invalid/v2/"))
                request.proxy = proxy.origin
                let response = try await client.send(request)
                #expect(response.body == Array("by proxy".utf8))
                #expect(proxy.requests.first?.target == "http://registry.example.invalid/v2/")
            }
        }
    }

    @Test func aProxyThatRefusesTheTunnelIsProxyFailed() async throws {
        try await withScriptedServer({ _ in .init(407, ["Proxy-Authenticate": "Basic realm=\"p\""]) }) { proxy in
            try await withClient { client in
                var request = HTTPRequest(.get, try HTTPURL("https://registry.example.invalid/v2/"))
                request.headers["Authorization"] = "Bearer secret"
                request.proxy = proxy.origin
                #expect(await failure(client, request)?.code == .proxyFailed)
                let tunnel = try #require(proxy.requests.first)
                #expect(tunnel.method == "CONNECT")
                #expect(tunnel.header("Authorization") == nil)
            }
        }
    }

    /// Each phase in which a server can fall silent.
    @Test(arguments: [
        ScriptedServer.Fault.Stage.requestHead, .requestBody(100_000), .answer, .answerHead, .answerBody(100_000),
    ])
    func aStallTimesOut(stage: ScriptedServer.Fault.Stage) async throws {
        let gate = Gate()
        let response = Self.answer.failing(.stall(gate), stage)
        try await withScriptedServer({ _ in response }) { server in
            try await withClient { client in
                // Where the server stops to read, the upload must not vanish into buffers.
                let isRead = stage != .requestHead && stage != .requestBody(100_000)
                let source = GeneratedSource(GeneratedBytes(count: isRead ? 1000 : 64 << 20, seed: 1))
                var request = try server.request(.put, body: .source(source, length: source.content.count))
                request.timeouts = Timeouts(connect: 5, stall: 1, stallBytesPerSecond: 1)
                let error = await failure(client, request, into: RecordingSink())
                #expect(error?.code == .timedOut, "\(error?.description ?? "")")
                #expect(error?.isTransient == true)
            }
        }
    }

    @Test func aHandshakeThatStallsTimesOut() async throws {
        let gate = Gate()
        try await withScriptedServer({ _ in Self.answer }) { server in
            server.welcome { _ in .stall(gate) }
            try await withClient { client in
                var request = HTTPRequest(.get, try HTTPURL("https://\(server.authority)/"))
                request.proxy = ""
                request.timeouts = Timeouts(connect: 1)
                #expect(await failure(client, request)?.code == .timedOut)
            }
        }
    }

    @Test func theWholeRequestMayHaveABound() async throws {
        let gate = Gate()
        try await withScriptedServer({ _ in Self.answer.failing(.stall(gate), .answerBody(10)) }) { server in
            try await withClient { client in
                var request = try server.request(.get)
                request.timeouts = Timeouts(total: 1)
                #expect(await failure(client, request)?.code == .timedOut)
            }
        }
    }

    @Test(arguments: [0, 5, 100_000])
    func collectedBodiesAreBounded(limit: Int) async throws {
        for framing in [ScriptedServer.Framing.contentLength, .chunked] {
            for excess in [0, 1, 50_000] {
                let content = GeneratedBytes(count: Int64(limit + excess), seed: 1)
                var response = Response(200, body: .generated(content, 0..<content.count))
                response.framing = framing
                try await withScriptedServer({ [response] _ in response }) { server in
                    try await withClient { client in
                        var request = try server.request(.get)
                        request.responseLimit = limit
                        if excess == 0 {
                            let answer = try await client.send(request)
                            #expect(answer.body == content.all)
                        } else {
                            let error = await failure(client, request)
                            #expect(error?.code == .responseTooLarge)
                            #expect(error?.isTransient == false)
                        }
                    }
                }
            }
        }
    }

    @Test func aSinkThatRefusesFailsTheRequest() async throws {
        try await withScriptedServer({ _ in Self.answer }) { server in
            try await withClient { client in
                let sink = RecordingSink()
                sink.release(refusing: true)
                let error = try await failure(client, server.request(.get), into: sink)
                #expect(error?.code == .refusedBySink)
                #expect(sink.offers == 1)
                let next = try await client.send(try server.request(.get))
                #expect(next.body == Self.body.all)
            }
        }
    }

    /// The bytes that a paused sink gets again come outside of libcurl's usual calls; the last ones most of all.
    @Test(arguments: [3, 16 << 10, 1 << 20])
    func aSinkThatRefusesAfterAPauseFailsTheRequest(count: Int64) async throws {
        let content = GeneratedBytes(count: count, seed: 9)
        try await withScriptedServer({ _ in .init(200, body: .generated(content, 0..<content.count)) }) { server in
            try await withClient { client in
                let sink = RecordingSink(holdAfter: 0)
                let request = try server.request(.get)
                async let error = failure(client, request, into: sink)
                try await sink.paused.opened()
                sink.release(refusing: true)
                #expect(await error?.code == .refusedBySink)
            }
        }
    }

    /// Servers refuse an upload before they have read it: 401, 413, 429.
    @Test(arguments: [401, 413, 429, 503])
    func anEarlyRefusalOfAnUploadIsSeen(status: Int) async throws {
        let gate = Gate()
        try await withScriptedServer({ exchange in
            var response = Response(status, ["Retry-After": "1"], text: "no")
            response.bodyReading = .afterAnswer
            // What was sent so far is not read on, so the upload can never end.
            return response.failing(.stall(gate), .requestBody(1 << 20))
        }) { server in
            try await withClient { client in
                let source = GeneratedSource(GeneratedBytes(count: 256 << 20, seed: 1))
                let request = try server.request(.put, body: .source(source, length: source.content.count))
                let response = try await client.send(request)
                #expect(response.status == status)
                #expect(response.body == Array("no".utf8))
                gate.open()
                // The connection with half a body on it is not used again.
                server.handle { _ in .init(200) }
                let next = try await client.send(try server.request(.get))
                #expect(next.status == 200 && next.openedConnection)
            }
        }
    }

    @Test(arguments: [Int64(0), 100_000, 4 << 20])
    func aResetDuringAnUploadIsAReset(offset: Int64) async throws {
        let stage = offset == 0 ? ScriptedServer.Fault.Stage.requestHead : .requestBody(offset)
        try await withScriptedServer({ _ in Self.answer.failing(.reset, stage) }) { server in
            try await withClient { client in
                let source = GeneratedSource(GeneratedBytes(count: 64 << 20, seed: 1))
                let error = await failure(
                    client, try server.request(.put, body: .source(source, length: source.content.count)))
                #expect(error?.code == .connectionReset, "\(error?.description ?? "")")
            }
        }
    }
}
