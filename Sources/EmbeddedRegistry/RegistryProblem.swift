import FoundationEssentials
import HTTPTypes
import ImageLayout
import OCI

/// A request that is refused, in the form of the distribution-spec (v1.1.1, Error Codes).
struct RegistryProblem: Error, CustomStringConvertible {
    /// A code of the spec with the status that it is sent with.
    struct Code: Hashable {
        let name: String
        let status: Int

        static let blobUnknown = Code(name: "BLOB_UNKNOWN", status: 404)
        static let blobUploadInvalid = Code(name: "BLOB_UPLOAD_INVALID", status: 400)
        /// Bytes that do not follow on what an upload holds (spec, Pushing a blob in chunks: 416), or that are not there.
        /// distribution's code: the spec has none for it.
        static let rangeInvalid = Code(name: "RANGE_INVALID", status: 416)
        static let blobUploadUnknown = Code(name: "BLOB_UPLOAD_UNKNOWN", status: 404)
        static let digestInvalid = Code(name: "DIGEST_INVALID", status: 400)
        static let manifestBlobUnknown = Code(name: "MANIFEST_BLOB_UNKNOWN", status: 400)
        static let manifestInvalid = Code(name: "MANIFEST_INVALID", status: 400)
        static let manifestTooLarge = Code(name: "MANIFEST_INVALID", status: 413)
        static let manifestUnknown = Code(name: "MANIFEST_UNKNOWN", status: 404)
        static let nameInvalid = Code(name: "NAME_INVALID", status: 400)
        static let nameUnknown = Code(name: "NAME_UNKNOWN", status: 404)
        static let sizeInvalid = Code(name: "SIZE_INVALID", status: 400)
        static let unauthorized = Code(name: "UNAUTHORIZED", status: 401)
        static let denied = Code(name: "DENIED", status: 403)
        /// Content that a manifest names.
        static let inUse = Code(name: "DENIED", status: 409)
        static let unsupported = Code(name: "UNSUPPORTED", status: 405)
        static let tooManyRequests = Code(name: "TOOMANYREQUESTS", status: 429)
        // Beyond the spec's list, in its form.
        static let notFound = Code(name: "UNSUPPORTED", status: 404)
        static let full = Code(name: "UNKNOWN", status: 507)
        static let unavailable = Code(name: "UNKNOWN", status: 503)
        static let failed = Code(name: "UNKNOWN", status: 500)
    }

    let code: Code
    /// What is wrong and what to do, for the client's user.
    let message: String
    /// The content that it is about.
    let digests: [Digest]
    /// What the server's log says of it; `nil` where the fault is the client's.
    let cause: String?
    /// Header fields to send with it.
    var headers: HTTPFields = [:]

    init(_ code: Code, _ message: String, digests: [Digest] = [], cause: String? = nil) {
        self.code = code
        self.message = message
        self.digests = digests
        self.cause = cause
    }

    /// What a layout did not do. Paths of this machine stay in its log.
    init(_ error: LayoutError) {
        switch error.code {
        case .blobUnknown: self.init(.blobUnknown, error.message, digests: error.digests)
        case .manifestUnknown: self.init(.manifestUnknown, error.message, digests: error.digests)
        case .uploadUnknown: self.init(.blobUploadUnknown, error.message)
        case .uploadBusy, .offsetMismatch: self.init(.rangeInvalid, error.message)
        case .digestMismatch: self.init(.digestInvalid, error.message, digests: error.digests)
        case .invalidManifest: self.init(.manifestInvalid, error.message)
        case .missingContent: self.init(.manifestBlobUnknown, error.message, digests: error.digests)
        case .sizeMismatch: self.init(.sizeInvalid, error.message, digests: error.digests)
        case .inUse: self.init(.inUse, error.message)
        case .tooMany: self.init(.tooManyRequests, error.message)
        case .full: self.init(.full, "the registry's disk is full", cause: "\(error)")
        case .busy: self.init(.unavailable, "the registry is busy: try again", cause: "\(error)")
        default: self.init(.failed, "the registry's storage failed: its log says more", cause: "\(error)")
        }
    }

    var description: String { cause ?? message }

    private struct Document: Encodable {
        struct Entry: Encodable {
            let code: String
            let message: String
            let detail: [String: [String]]?
        }
        let errors: [Entry]
    }

    /// The response's body.
    var body: [UInt8] {
        // Ten digests tell enough.
        let detail = digests.isEmpty ? nil : ["digests": digests.prefix(10).map(\.description)]
        return JSON.encode(Document(errors: [.init(code: code.name, message: message, detail: detail)]))
    }
}

/// JSON as it is sent.
enum JSON {
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // What is encoded here is made of strings and numbers, which always encode.
        return [UInt8]((try? encoder.encode(value)) ?? Data())
    }
}
