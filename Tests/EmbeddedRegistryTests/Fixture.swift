import EmbeddedRegistry
import FoundationEssentials
import HTTP
import ImageLayout
import Logging
import OCI
import Synchronization
import TestRegistry
import TestSupport

/// An embedded registry in this process, and a client that says exactly what it is told to.
struct EmbeddedFixture: Sendable {
    let layout: ImageLayout
    let origin: String
    let directory: TemporaryDirectory
    let http: HTTPClient
    let faults: FaultLayer
    var tls = TLSConfiguration()

    var authority: String { String(origin.drop { $0 != "/" }.dropFirst(2)) }
    var port: Int { authority.split(separator: ":").last.flatMap { Int($0) } ?? 0 }

    /// Sends one request.
    func send(
        _ method: HTTPMethod, _ target: String, _ headers: HTTPHeaders = [:], _ body: HTTPRequestBody = .none
    ) async throws -> HTTPResponse {
        let url = try HTTPURL(target.hasPrefix("http") ? target : origin + target)
        var request = HTTPRequest(method, url, headers: headers, body: body, responseLimit: 16 << 20)
        request.tls = tls
        request.proxy = ""
        return try await http.send(request)
    }

    /// Pushes a blob in one request.
    @discardableResult
    func push(_ bytes: [UInt8], to repository: String, algorithm: Digest.Algorithm = .sha256) async throws -> Digest {
        let digest = Digest(of: bytes, algorithm: algorithm)
        let answer = try await send(
            .post, "/v2/\(repository)/blobs/uploads/?digest=\(digest)",
            ["Content-Type": "application/octet-stream"], .bytes(bytes))
        guard answer.status == 201 else {
            throw TestSupportError("pushing a blob: \(answer.status) \(answer.text)")
        }
        return digest
    }

    /// Pushes an image with everything it needs.
    @discardableResult
    func push(_ image: TestImage, to repository: String, tag: String? = nil) async throws -> HTTPResponse {
        for blob in image.blobs { try await push(blob.content.all, to: repository) }
        for child in image.children { try await push(child, to: repository) }
        return try await put(image, to: repository, as: tag ?? "\(image.descriptor.digest)")
    }

    /// Pushes an image's manifest only.
    func put(_ image: TestImage, to repository: String, as reference: String) async throws -> HTTPResponse {
        try await send(
            .put, "/v2/\(repository)/manifests/\(reference)", ["Content-Type": image.descriptor.mediaType.name],
            .bytes(image.manifest))
    }
}

/// What a server logged: each line's message, and its metadata as `key=value`.
final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test", factory: { _ in Handler(lines: self) }) }

    private struct Handler: LogHandler {
        let lines: Lines
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            lines.lines.withLock { $0.append("\(event.message)\(fields.joined())") }
        }
    }
}

extension HTTPResponse {
    var text: String { String(decoding: body, as: UTF8.self) }

    /// The codes of a refusal in the specification's form.
    var errorCodes: [String] {
        struct Document: Decodable {
            struct Entry: Decodable {
                let code: String
                let message: String
            }
            let errors: [Entry]
        }
        return (try? JSONDecoder().decode(Document.self, from: Data(body)))?.errors.map(\.code) ?? []
    }
}

/// Runs `body` with an embedded registry that anyone may push to and delete from.
func withEmbeddedRegistry(layout path: String? = nil, _ body: (EmbeddedFixture) async throws -> Void) async throws {
    try await withEmbeddedRegistry(layout: path, configure: { _, _ in }, body)
}

/// Runs `body` with an embedded registry that anyone may push to and delete from, unless `configure` says otherwise.
func withEmbeddedRegistry<Result: Sendable>(
    layout path: String? = nil,
    configure: (inout RegistryConfiguration, TemporaryDirectory) async throws -> Void,
    adjust: (inout RegistryServer) -> Void = { _ in }, lines: Lines = Lines(),
    _ body: (EmbeddedFixture) async throws -> Result
) async throws -> Result {
    try await withTestRegistry(layout: path, configure: configure, adjust: adjust, logger: lines.logger) { registry in
        let http = HTTPClient()
        defer { http.shutdown() }
        return try await body(
            EmbeddedFixture(
                layout: registry.layout, origin: registry.origin, directory: registry.directory, http: http,
                faults: registry.faults))
    }
}
