import HTTPTypes
import HummingbirdCore
import ImageLayout
import Logging
import NIOCore
import NIOHTTPTypes
import OCI

/// Carries requests to the service and its answers to the connection.
struct RegistryResponder: Sendable {
    let service: RegistryService
    let disk: DiskThreads
    let logger: Logger
    private let budget = PieceBudget()

    init(service: RegistryService, disk: DiskThreads, logger: Logger) {
        self.service = service
        self.disk = disk
        self.logger = logger
    }

    /// A body that a refusal leaves unread is read to its end up to this many bytes, so that the connection stays; the
    /// connection of a longer one is closed.
    static let drained: Int64 = 64 << 10
    /// How long, and up to how many bytes, what still comes of such a body is read and dropped, before the connection is
    /// closed: as nginx does (`lingering_time`).
    static let lingering = (time: TimeAmount.seconds(30), bytes: Int64(64 << 20))

    @concurrent
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let length = request.headers[.contentLength].flatMap { Int64($0) }
        // The client sends its body when it is told to (RFC 9110 section 10.1.1).
        let waits = request.headers[.expect]?.lowercased() == "100-continue"
        let body = RequestBytes(
            request.body, length: length,
            ask: {
                guard waits else { return }
                try await channel.writeAndFlush(HTTPResponsePart.head(HTTPResponse(status: .continue))).get()
            },
            interrupt: { channel.close(promise: nil) })
        let asked = RegistryRequest(
            method: request.method, target: request.head.path ?? "", headers: request.headers, body: body)
        var answer: RegistryAnswer
        do {
            let admission = try await service.admit(asked)
            answer = try await service.answer(asked, admission)
        } catch let problem as RegistryProblem {
            answer = RegistryAnswer(problem)
            if let cause = problem.cause {
                logger.error("request failed", metadata: ["request": "\(asked)", "reason": "\(cause)"])
            }
        } catch {
            // The connection is gone, or the server is going.
            logger.debug("request ended early", metadata: ["request": "\(asked)", "reason": "\(error)"])
            throw error
        }
        logger.debug("request", metadata: ["request": "\(asked)", "status": "\(answer.status)"])
        let isCutShort = asked.hasBody && !body.isFinished && (length ?? .max) > Self.drained
        if isCutShort { answer.headers[.connection] = "close" }
        do {
            try await write(answer, isHead: request.method == .head, writer, channel)
        } catch let problem as RegistryProblem {
            // The head is sent: all that the client sees of it is that the connection ends.
            if let cause = problem.cause {
                logger.error("download broke off", metadata: ["request": "\(asked)", "reason": "\(cause)"])
            }
            throw problem
        }
        if isCutShort { await linger(body, channel) }
    }

    /// Lets a client that is still sending read why it was refused, and ends the connection.
    ///
    /// Bytes that arrive at a closed socket reset the connection, and with it go the answers that the client has not read
    /// yet. So only our half ends at first, and the rest of the request is read.
    private func linger(_ body: RequestBytes, _ channel: any Channel) async {
        channel.close(mode: .output, promise: nil)
        let timer = channel.eventLoop.scheduleTask(in: Self.lingering.time) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in timer.cancel() }
        await body.drain(limit: Self.lingering.bytes)
        channel.close(promise: nil)
    }

    @concurrent
    private func write(
        _ answer: RegistryAnswer, isHead: Bool, _ writer: consuming ResponseWriter, _ channel: any Channel
    ) async throws {
        var head = HTTPResponse(status: .init(code: answer.status), headerFields: answer.headers)
        head.headerFields[.apiVersion] = "registry/2.0"
        switch answer.body {
        case .none:
            if !isHead, answer.status != 204 { head.headerFields[.contentLength] = "0" }
            try await writer.writeResponse(head)
        case .bytes(let bytes):
            head.headerFields[.contentLength] = "\(bytes.count)"
            guard !isHead else { return try await writer.writeResponse(head) }
            var body = try await writer.writeHead(head)
            try await body.write(ByteBuffer(bytes: bytes))
            try await body.finish(nil)
        case .file(let blob, let range):
            head.headerFields[.contentLength] = "\(range.count)"
            let body = try await writer.writeHead(head)
            // A client that takes little would hold up the end of a cancelled server.
            try await withTaskCancellationHandler {
                try await send(blob, range, to: channel)
            } onCancel: {
                channel.close(promise: nil)
            }
            try await body.finish(nil)
        }
    }

    /// Sends a part of a file: while one piece is on its way to the socket, the next is read.
    ///
    /// Each piece is waited for until the socket has taken it. The writer of Hummingbird's answers does not wait for that,
    /// but for the channel to be writable, which it is told of by an event loop that may be busy: with 64 downloads, a
    /// gigabyte was found waiting.
    private func send(_ blob: OpenBlob, _ range: Range<Int64>, to channel: any Channel) async throws {
        budget.begin()
        defer { budget.end() }
        // They take turns: a piece that was sent has its memory for itself again.
        var (piece, other) = (Piece(), Piece())
        var sending: EventLoopFuture<Void>?
        var offset = range.lowerBound
        while offset < range.upperBound {
            let next = offset..<min(offset + budget.pieceSize, range.upperBound)
            try await disk.run { [piece] () throws(LayoutError) in try piece.fill(from: blob, next) }
            try await sending?.get()
            sending = channel.writeAndFlush(HTTPResponsePart.body(piece.buffer))
            swap(&piece, &other)
            offset = next.upperBound
        }
        try await sending?.get()
    }
}

extension RegistryRequest: CustomStringConvertible {
    /// Method and path; a query may hold what is nobody's business.
    var description: String { "\(method.rawValue) \(path)" }
}
