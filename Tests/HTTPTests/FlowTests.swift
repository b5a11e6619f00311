import FoundationEssentials
import Glibc
import HTTP
import OCI
import Synchronization
import TestSupport
import Testing

/// Pausing, memory and cancellation.
@Suite(.timeLimit(.minutes(5)))
struct FlowTests {
    @Test func aPausedSinkHoldsTheServerBack() async throws {
        let content = GeneratedBytes(count: 256 << 20, seed: 4)
        let written = Mutex(Int64(0))
        try await withScriptedServer { exchange in
            guard exchange.request.path == "/large" else { return .init(200) }
            return .init(
                200,
                body: .written(length: content.count) { writer in
                    for start in stride(from: 0, to: content.count, by: 1 << 20) {
                        try writer.write(content.bytes(start..<start + (1 << 20)))
                        written.withLock { $0 = start + (1 << 20) }
                    }
                })
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink(holdAfter: 1 << 20)
                let request = try server.request(.get, "/large")
                let transfer = Task { try await client.send(request, into: sink) }
                try await sink.paused.opened()
                let taken = sink.bytes.count
                // The loop serves others meanwhile, and what the server could get rid of is bounded by buffers.
                for _ in 0..<200 { _ = try await client.send(try server.request(.get)) }
                #expect(sink.bytes.count == taken)
                #expect(written.withLock { $0 } < 32 << 20)
                transfer.cancel()
                await #expect(throws: HTTPError.self) { try await transfer.value }
            }
        }
    }

    /// What the kernel may receive ahead is asked for before the connection is made, and doubled by it (socket(7)).
    @Test(arguments: [nil, 20_000]) func theKernelReceivesNoMoreAheadThanIsSaid(size: Int?) async throws {
        try await withScriptedServer { _ in
            .init(200)
        } _: { server in
            let client = HTTPClient()
            defer { client.shutdown() }
            var request = try server.request(.get)
            request.receiveBuffer = size
            _ = try await client.send(request)
            // The connection is kept.
            let sizes = try receiveBuffers(ofConnectionsTo: server.port)
            #expect(sizes.count == 1)
            #expect(sizes.allSatisfy { size == nil ? $0 > 40_000 : $0 == 40_000 })
        }
    }

    @Test(arguments: [1, 2, 50])
    func everyByteComesOnceHoweverOftenTheSinkPauses(every: Int) async throws {
        let content = GeneratedBytes(count: 3 << 20, seed: 6)
        try await withScriptedServer { _ in
            .init(200, body: .generated(content, 0..<content.count))
        } _: { server in
            try await withClient { client in
                let sink = StutteringSink(every: every)
                let response = try await client.send(try server.request(.get), into: sink)
                #expect(response.receivedBytes == content.count)
                #expect(sink.digest == content.digest())
                #expect(sink.pauses > 0)
            }
        }
    }

    /// Both directions at once, each paused for itself.
    @Test func anUploadGoesOnWhileItsAnswerIsPaused() async throws {
        let source = GeneratedSource(GeneratedBytes(count: 4 << 20, seed: 7), stopAt: 2 << 20)
        let answer = GeneratedBytes(count: 1 << 20, seed: 8)
        try await withScriptedServer { _ in
            var response = ScriptedServer.Response(200, body: .generated(answer, 0..<answer.count))
            response.bodyReading = .afterAnswer
            return response
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink(holdAfter: 0)
                let request = try server.request(.put, body: .source(source, length: source.content.count))
                let transfer = Task { try await client.send(request, into: sink) }
                try await source.paused.opened()
                try await sink.paused.opened()
                source.release()
                sink.release()
                #expect(try await transfer.value.status == 200)
                #expect(Digest(of: sink.bytes) == answer.digest())
            }
        }
    }

    /// Time is told here by other requests that run into the same bound, one after the other.
    @Test(arguments: [true, false])
    func aPausedTransferDoesNotStall(isUpload: Bool) async throws {
        let content = GeneratedBytes(count: 2 << 20, seed: 7)
        let silence = Gate()
        try await withScriptedServer { exchange in
            if exchange.request.path == "/silent" { try exchange.wait(silence) }
            return .init(200, body: .generated(content, 0..<content.count))
        } _: { server in
            try await withClient { client in
                let source = GeneratedSource(content, stopAt: isUpload ? 1 << 20 : .max)
                let sink = RecordingSink(holdAfter: isUpload ? .max : 1 << 20)
                var request = try server.request(.put, body: .source(source, length: content.count))
                request.timeouts = Timeouts(stall: 1, stallBytesPerSecond: 1)
                let transfer = Task { [request] in try await client.send(request, into: sink) }
                try await (isUpload ? source.paused : sink.paused).opened()
                var silent = try server.request(.get, "/silent")
                silent.timeouts = request.timeouts
                for _ in 0..<3 { #expect(await failure(client, silent)?.code == .timedOut) }
                if isUpload { source.release() } else { sink.release() }
                #expect(try await transfer.value.receivedBytes == content.count)
                #expect(server.requests.first?.bodyDigest == content.digest())
            }
        }
    }

    @Test func resumingWhatIsNotPausedDoesNothing() async throws {
        try await withScriptedServer { _ in
            .init(200, [:], text: "x")
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink()
                for _ in 0..<2 {
                    sink.release()
                    _ = try await client.send(try server.request(.get), into: sink)
                    sink.release()
                }
                #expect(sink.bytes == Array("xx".utf8))
            }
        }
    }

    // MARK: Cancellation

    @Test func aCancelledTaskSendsNothing() async throws {
        try await withScriptedServer { _ in
            .init(200)
        } _: { server in
            try await withClient { client in
                let request = try server.request(.get)
                let ready = Gate()
                let task = Task {
                    try? await ready.opened()
                    return await failure(client, request)?.code
                }
                task.cancel()
                ready.open()
                #expect(await task.value == .cancelled)
                #expect(server.requests.isEmpty)
            }
        }
    }

    @Test(arguments: [
        ScriptedServer.Fault.Stage.requestHead, .requestBody(1 << 20), .answer, .answerHead, .answerBody(1 << 20),
    ])
    func cancellingEndsATransferInEveryPhase(stage: ScriptedServer.Fault.Stage) async throws {
        let content = GeneratedBytes(count: 64 << 20, seed: 7)
        let gate = Gate()
        try await withScriptedServer { exchange in
            guard exchange.request.path == "/" else { return .init(200) }
            return ScriptedServer.Response(200, body: .generated(content, 0..<content.count))
                .failing(.stall(gate), stage)
        } _: { server in
            try await withClient { client in
                // Where the server stops to read, the upload must not vanish into buffers.
                let isRead = stage != .requestHead && stage != .requestBody(1 << 20)
                let source = GeneratedSource(GeneratedBytes(count: isRead ? 1000 : 64 << 20, seed: 1))
                let sink = RecordingSink()
                let request = try server.request(.put, body: .source(source, length: source.content.count))
                let transfer = Task { await failure(client, request, into: sink)?.code }
                switch stage {
                case .requestHead, .answer, .requestBody:
                    try await server.until { $0.first.map { $0.bodyLength >= 0 && $0.outcome == nil } == true }
                case .answerHead: try await server.until { $0.first?.status == 200 }
                case .answerBody: try await sink.started.opened()
                }
                transfer.cancel()
                #expect(await transfer.value == .cancelled)
                gate.open()
                // The connection is closed, not left half read, and the client goes on.
                #expect(try await client.send(try server.request(.get, "/next")).openedConnection)
                try await server.until { $0.first?.outcome == .connectionEnded }
            }
        }
    }

    @Test func cancellingEndsPausedTransfers() async throws {
        let content = GeneratedBytes(count: 1 << 20, seed: 7)
        try await withScriptedServer { _ in
            .init(200, body: .generated(content, 0..<content.count))
        } _: { server in
            try await withClient { client in
                let sink = RecordingSink(holdAfter: 0)
                let get = try server.request(.get)
                let download = Task { await failure(client, get, into: sink)?.code }
                let source = GeneratedSource(content, stopAt: 10)
                let put = try server.request(.put, body: .source(source, length: content.count))
                let upload = Task { await failure(client, put)?.code }
                try await sink.paused.opened()
                try await source.paused.opened()
                download.cancel()
                upload.cancel()
                #expect(await download.value == .cancelled)
                #expect(await upload.value == .cancelled)
                // Too late, and so without effect.
                sink.release()
                source.release()
                #expect(try await client.send(try server.request(.get)).body == content.all)
            }
        }
    }

    @Test func cancellingEndsAHandshake() async throws {
        let gate = Gate()
        let arrived = Gate()
        try await withScriptedServer { _ in
            .init(200)
        } _: { server in
            server.welcome { _ in
                arrived.open()
                return .stall(gate)
            }
            try await withClient { client in
                var request = HTTPRequest(.get, try HTTPURL("https://\(server.authority)/"))
                request.proxy = ""
                let transfer = Task { [request] in await failure(client, request)?.code }
                try await arrived.opened()
                transfer.cancel()
                #expect(await transfer.value == .cancelled)
            }
        }
    }

    @Test func cancellingAtAnyMomentNeitherHangsNorLeaks() async throws {
        try await withScriptedServer { _ in
            .init(200, [:], text: "x")
        } _: { server in
            try await withClient { client in
                let request = try server.request(.get)
                for round in 0..<300 {
                    let task = Task { await failure(client, request)?.code }
                    for _ in 0..<round % 30 { await Task.yield() }
                    task.cancel()
                    let code = await task.value
                    #expect(code == nil || code == .cancelled)
                }
            }
            // The client is gone, and with it every connection.
            try await server.untilOpenConnections(0)
        }
    }
}

/// Pauses at every n-th offer, and is continued from another thread.
private final class StutteringSink: BodySink {
    private struct State {
        var bytes: [UInt8] = []
        var offers = 0
        var pauses = 0
        var control: TransferControl?
    }

    private let state = Mutex(State())
    private let every: Int

    init(every: Int) { self.every = every + 1 }

    var digest: Digest { Digest(of: state.withLock { $0.bytes }) }
    var pauses: Int { state.withLock { $0.pauses } }

    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition {
        state.withLock { $0.control = control }
        return .stream
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
        state.withLock { state in
            state.offers += 1
            guard state.offers % every == 0 else {
                state.bytes += bytes
                return .consumed
            }
            state.pauses += 1
            let control = state.control
            Task { control?.resume() }
            return .pause
        }
    }
}
