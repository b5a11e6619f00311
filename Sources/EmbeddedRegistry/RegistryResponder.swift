import HTTPTypes
import HummingbirdCore
import ImageLayout
import Logging
import NIOCore
import OCI
import Synchronization

/// Carries requests to the service and its answers to the connection.
struct RegistryResponder: Sendable {
    let service: RegistryService
    let disk: DiskThreads
    let logger: Logger
    private let readers = ReaderCount()

    init(service: RegistryService, disk: DiskThreads, logger: Logger) {
        self.service = service
        self.disk = disk
        self.logger = logger
    }

    /// A body that a refusal leaves unread is read to its end up to this many bytes, so that the connection stays; the
    /// connection of a longer one is closed.
    static let drained: Int64 = 64 << 10

    @concurrent
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let length = request.headers[.contentLength].flatMap { Int64($0) }
        let body = RequestBytes(request.body, length: length, interrupt: { channel.close(promise: nil) })
        let asked = RegistryRequest(
            method: request.method, target: request.head.path ?? "", headers: request.headers, body: body)
        var answer: RegistryAnswer
        do {
            let admission = try await service.admit(asked)
            if asked.hasBody, request.headers[.expect]?.lowercased() == "100-continue" {
                try await writer.writeInformationalHead(HTTPResponse(status: .continue))
            }
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
        try await write(answer, isHead: request.method == .head, writer)
        if isCutShort {
            // What the client still sends must not reset the connection before it has read the answer.
            channel.close(mode: .output, promise: nil)
            throw ConnectionCutShort()
        }
    }

    /// Ends a connection whose request was refused before its body had come.
    private struct ConnectionCutShort: Error {}

    @concurrent
    private func write(_ answer: RegistryAnswer, isHead: Bool, _ writer: consuming ResponseWriter) async throws {
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
            var body = try await writer.writeHead(head)
            try await send(blob, range, to: &body)
            try await body.finish(nil)
        }
    }

    /// Sends a part of a file: while one piece is on its way to the socket, the next is read.
    @concurrent
    private func send(
        _ blob: OpenBlob, _ range: Range<Int64>, to writer: inout some ResponseBodyWriter
    ) async throws {
        let pieceSize = readers.begin()
        defer { readers.end() }
        var offset = range.lowerBound
        var next = try await read(blob, offset..<min(offset + pieceSize, range.upperBound))
        while offset < range.upperBound {
            let piece = next
            offset += Int64(piece.readableBytes)
            let following = offset..<min(offset + pieceSize, range.upperBound)
            async let ahead = following.isEmpty ? ByteBuffer() : read(blob, following)
            try await writer.write(piece)
            next = try await ahead
        }
    }

    private func read(_ blob: OpenBlob, _ range: Range<Int64>) async throws -> ByteBuffer {
        try await disk.run { () throws(LayoutError) in
            var buffer = ByteBufferAllocator().buffer(capacity: range.count)
            var failure: LayoutError?
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: range.count) { bytes in
                do throws(LayoutError) {
                    return try blob.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<range.count]), at: range.lowerBound)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            guard buffer.readableBytes == range.count else {
                throw LayoutError(.damaged, "the blob became shorter while it was read", at: layoutPath)
            }
            return buffer
        }
    }

    private var layoutPath: String { service.layout.path }
}

/// How many downloads run, which divides the memory for their pieces.
private final class ReaderCount: Sendable {
    /// All pieces together: two for each download, the one being sent and the one being read.
    private static let memory: Int64 = 32 << 20
    private static let largest: Int64 = 512 << 10
    private static let smallest: Int64 = 64 << 10
    private let count = Atomic(0)

    /// - Returns: the size of the pieces that a download uses, in bytes
    func begin() -> Int64 {
        let readers = count.add(1, ordering: .relaxed).newValue
        return max(Self.smallest, min(Self.largest, Self.memory / 2 / Int64(max(1, readers))))
    }

    func end() { count.subtract(1, ordering: .relaxed) }
}

extension RegistryRequest: CustomStringConvertible {
    /// Method and path; a query may hold what is nobody's business.
    var description: String { "\(method.rawValue) \(path)" }
}
