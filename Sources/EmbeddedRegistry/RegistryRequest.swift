import HTTPTypes
import HummingbirdCore
import ImageLayout
import NIOCore
import OCI
import Synchronization

/// One request, read as far as answering it needs.
struct RegistryRequest: Sendable {
    let method: HTTPRequest.Method
    /// The path with its query, as it was sent.
    let target: String
    let headers: HTTPFields
    let body: RequestBytes

    /// The path.
    var path: Substring { target.prefix { $0 != "?" } }
    /// What follows `?`.
    var query: Substring? {
        target.firstIndex(of: "?").map { target[target.index(after: $0)...] }
    }
    /// The length of the body in bytes, where it is said.
    var contentLength: Int64? { headers[.contentLength].flatMap { Int64($0) } }
    /// Whether there is a body.
    var hasBody: Bool { (contentLength ?? 0) > 0 || headers[.transferEncoding] != nil }
}

/// A request's body, read once, by its request's task.
final class RequestBytes: @unchecked Sendable {
    private let body: RequestBody
    /// Where reading has stopped; the task's own.
    private var iterator: RequestBody.AsyncIterator?
    private let length: Int64?
    private let finished = Atomic(false)
    /// Asks the client for the body, where it waits for that.
    private let ask: @Sendable () async throws -> Void
    /// Ends the request from another one: its connection is closed.
    let interrupt: @Sendable () -> Void

    /// - Parameters:
    ///   - body: the bytes
    ///   - length: how many they must be, where it is known
    ///   - ask: asks the client for them, where it waits for that: called before they are read, and only if they are
    ///   - interrupt: closes the connection that they come from
    init(
        _ body: RequestBody, length: Int64?, ask: @escaping @Sendable () async throws -> Void,
        interrupt: @escaping @Sendable () -> Void
    ) {
        self.body = body
        self.length = length
        self.ask = ask
        self.interrupt = interrupt
    }

    /// Whether somebody read it to its end.
    var isFinished: Bool { finished.load(ordering: .relaxed) }

    /// The buffers as they arrive.
    ///
    /// - Throws: also where the connection ends before the body does
    func forEach(_ take: (ByteBuffer) async throws -> Void) async throws {
        try await ask()
        var count: Int64 = 0
        while let buffer = try await next() {
            count += Int64(buffer.readableBytes)
            try await take(buffer)
        }
        guard count == length ?? count else {
            throw RegistryProblem(.sizeInvalid, "\(count) of \(length ?? 0) bytes arrived")
        }
        finished.store(true, ordering: .relaxed)
    }

    /// A body has one iterator in all: it goes on where it stopped.
    private func next() async throws -> ByteBuffer? {
        // One task has it, and waits here.
        nonisolated(unsafe) var iterator = self.iterator ?? body.makeAsyncIterator()
        defer { self.iterator = iterator }
        return try await iterator.next()
    }

    /// Reads what is left, and drops it: to the end of the body or of the connection, or up to so many bytes.
    func drain(limit: Int64) async {
        var count: Int64 = 0
        while count < limit, let buffer = try? await next() { count += Int64(buffer.readableBytes) }
    }

    /// All of it, in memory.
    ///
    /// - Parameter limit: the most bytes
    func collect(limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await forEach { buffer in
            guard bytes.count + buffer.readableBytes <= limit else {
                throw RegistryProblem(.manifestTooLarge, "a manifest has at most \(limit) bytes here")
            }
            bytes += buffer.readableBytesView
        }
        return bytes
    }
}

/// What is answered.
struct RegistryAnswer: Sendable {
    /// What follows the head.
    enum Body: Sendable {
        /// Nothing; for HEAD, `Content-Length` tells what GET would send.
        case none
        /// Bytes that are in memory.
        case bytes([UInt8])
        /// A part of a file.
        case file(OpenBlob, Range<Int64>)
    }

    var status: Int
    var headers: HTTPFields
    var body: Body

    init(_ status: Int, _ headers: HTTPFields = [:], _ body: Body = .none) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// JSON.
    init(_ status: Int = 200, json: some Encodable, type: String = "application/json") {
        self.init(status, [.contentType: type], .bytes(JSON.encode(json)))
    }

    init(_ problem: RegistryProblem) {
        var headers = problem.headers
        headers[.contentType] = "application/json"
        self.init(problem.code.status, headers, .bytes(problem.body))
    }
}

extension HTTPField.Name {
    // Valid names, all of them: the initializer fails for others only.
    static let contentDigest = HTTPField.Name("Docker-Content-Digest") ?? .eTag
    static let apiVersion = HTTPField.Name("Docker-Distribution-API-Version") ?? .server
    static let uploadUUID = HTTPField.Name("Docker-Upload-UUID") ?? .location
    static let link = HTTPField.Name("Link") ?? .location
    static let filtersApplied = HTTPField.Name("OCI-Filters-Applied") ?? .vary
    static let subject = HTTPField.Name("OCI-Subject") ?? .eTag
}
