import HTTP
import Synchronization

/// A complete response of an S3 store.
struct S3Answer: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let body: [UInt8]
    /// Whether an earlier attempt of the same request may have been carried out although its reply never came.
    var followsLostReply = false

    /// The version of the object that the answer is about; `nil` where the store does not say.
    var etag: ETag? { headers["ETag"].flatMap(ETag.init(header:)) }

    /// The error document, for a status that is a refusal.
    var fault: S3Fault { S3Fault(self) }

    /// Whether there is no such object. Only an error document tells that from a server that is no S3 store, or a bucket
    /// that is not there.
    var isAbsent: Bool { status == 404 && fault.code == "NoSuchKey" }
}

extension ETag {
    /// Reads the header: in quotes, as RFC 9110 section 8.8.3 has it, or without. A weak tag (`W/`, which proxies make
    /// where they compress) counts as the tag that it was made of.
    init?(header: String) {
        var text = header.trimmed[...]
        if text.hasPrefix("W/") { text = text.dropFirst(2) }
        if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = text.dropFirst().dropLast() }
        guard !text.isEmpty else { return nil }
        self.init(String(text))
    }
}

/// How an ETag is written in `If-Match`.
enum ETagForm: Hashable, Sendable, CaseIterable {
    /// As RFC 9110 has it.
    case quoted
    /// As Ceph RGW 16 wants it in a PUT: it compares with its own tag, which has no quotes, and answers 412 to the quoted
    /// one (measured with 16.2.15).
    case bare

    func write(_ etag: ETag) -> String {
        switch self {
        case .quoted: "\"\(etag)\""
        case .bare: etag.text
        }
    }
}

/// The error document of a refusal: "REST error responses" in the Amazon S3 API reference.
struct S3Fault: Hashable, Sendable {
    /// The error's name, such as `NoSuchKey`; empty where the body is no error document.
    var code = ""
    /// The server's sentence, of printable characters only, at most 200.
    var message = ""
    /// The region that the bucket is in, where the server says so.
    var region: String?
    /// The host to ask instead, where the server says so.
    var endpoint: String?

    init(_ answer: S3Answer) {
        var reader = XMLReader(answer.body)
        var path: [String] = []
        // An incomplete or malformed document leaves what was read until then.
        while let event = try? reader.next() {
            switch event {
            case .start(let name): path.append(name)
            case .end: path.removeLast()
            case .text(let text) where path.count == 2 && path[0] == "Error":
                switch path[1] {
                case "Code": code += text.prefix(64)
                case "Message": message += text.printable
                case "Region": region = (region ?? "") + text.printable
                case "Endpoint": endpoint = (endpoint ?? "") + text.printable
                default: break
                }
            case .text: break
            }
        }
        if code.contains(where: { !$0.isASCII || !($0.isLetter || $0.isNumber) }) { code = "" }
        region = answer.headers["x-amz-bucket-region"]?.printable ?? region
    }

    /// Whether other credentials may be accepted.
    var concernsCredentials: Bool {
        [
            "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch",
            "AccessDenied", "InvalidSecurity", "",
        ].contains(code)
    }

    /// Whether the request was certainly not carried out, and may be sent again.
    var refusesForNow: Bool {
        ["SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestTimeout"].contains(code)
            || isConflictOfRequests
    }

    /// Two conditional writes met: "ConditionalRequestConflict", 409, in the description of PutObject.
    var isConflictOfRequests: Bool { code == "ConditionalRequestConflict" || code == "OperationAborted" }
}

extension StringProtocol {
    fileprivate var printable: String {
        String(unicodeScalars.prefix(200).map { $0.value >= 0x20 && $0.value != 0x7F ? Character($0) : " " })
    }
}

/// Collects a response's body in memory: objects and listings up to their limit, error documents up to 64 KiB.
final class S3BodySink: BodySink {
    static let errorLimit = 64 << 10

    private struct State {
        var head: HTTPResponseHead?
        var body: [UInt8] = []
        var overflowed = false
    }

    private let limit: Int
    private let state = Mutex(State())

    /// - Parameter limit: the most bytes of a body of status 200
    init(limit: Int) { self.limit = limit }

    /// The head; `nil` as long as there is none.
    var head: HTTPResponseHead? { state.withLock { $0.head } }
    /// Whether the body was longer than its limit, and is cut off there.
    var overflowed: Bool { state.withLock { $0.overflowed } }
    /// What has come of the body.
    var body: [UInt8] { state.withLock { $0.body } }

    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition {
        state.withLock { state -> BodyDisposition in
            state.head = head
            state.body = []
            guard head.status == 200, let length = head.contentLength else { return .stream }
            guard length <= Int64(limit) else {
                state.overflowed = true
                return .abandon
            }
            state.body.reserveCapacity(Int(length))
            return .stream
        }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
        state.withLock { state in
            let limit = state.head?.status == 200 ? limit : min(limit, Self.errorLimit)
            guard bytes.count <= limit - state.body.count else {
                state.overflowed = true
                return .refuse
            }
            state.body.append(contentsOf: bytes)
            return .consumed
        }
    }
}
