import FoundationEssentials
import OCI
import Trust

/// The form of a document, with its version: `rollcall.image-list/v1`.
///
/// Every document of the central object store carries it. A version is raised when an older reader would misread the
/// document; a reader refuses versions that it does not know, since what it cannot read it must not count as proof.
struct Schema: Sendable {
    let name: String
    let version: Int

    static let imageList = Schema(name: "rollcall.image-list", version: 1)
    static let environmentRecord = Schema(name: "rollcall.environment-record", version: 1)
    static let cacheManifest = Schema(name: "rollcall.cache-manifest", version: 1)
    static let auditRecord = Schema(name: "rollcall.audit-record", version: 1)
    static let auditStatement = Schema(name: "rollcall.audit-statement", version: 1)
    static let auditHead = Schema(name: "rollcall.audit-head", version: 1)
    static let waiver = Schema(name: "rollcall.waiver", version: 1)
    static let waiverRevocation = Schema(name: "rollcall.waiver-revocation", version: 1)
    static let gateMemory = Schema(name: "rollcall.gate-memory", version: 1)

    var id: String { "\(name)/v\(version)" }
    /// What a signed document of this form is called in its envelope.
    var payloadType: String { "application/vnd.\(name).v\(version)+json" }

    /// - Throws: `ReadinessError.unknownSchema` for any other form or version.
    func require(_ found: String) throws(ReadinessError) {
        guard found != id else { return }
        let shown = found.prefix(100)
        guard let newer = found.hasPrefix("\(name)/v") ? Int(found.dropFirst(name.count + 2)) : nil, newer > version
        else {
            throw ReadinessError(
                .unknownSchema, "its schema is '\(shown)', not '\(id)': this is another kind of document")
        }
        throw ReadinessError(
            .unknownSchema, "its schema '\(shown)' is newer than the '\(id)' that this version reads: upgrade Rollcall")
    }
}

extension Schema {
    /// A document of this form in an envelope that a key signed.
    ///
    /// - Throws: `ReadinessError.signing`.
    func sign(_ document: [UInt8], with key: PrivateKey) throws(ReadinessError) -> [UInt8] {
        do {
            return try Envelope(signing: document, as: payloadType, with: [key]).documentBytes()
        } catch {
            throw ReadinessError(.signing, error.message)
        }
    }

    /// Opens what may be a signed document of this form.
    ///
    /// - Returns: `nil` for a document that is not signed
    /// - Throws: `ReadinessError.unknownSchema` for an envelope of something else; with the code that is given for one that
    ///   is malformed.
    func envelope(
        _ bytes: [UInt8], _ code: ReadinessError.Code, in origin: String? = nil
    ) throws(ReadinessError) -> Envelope? {
        let envelope: Envelope?
        do {
            envelope = try Envelope(ifEnvelope: bytes)
        } catch {
            throw ReadinessError(code, error.message, in: origin)
        }
        guard let envelope, envelope.payloadType != payloadType else { return envelope }
        throw ReadinessError(
            .unknownSchema,
            "it is a signed document of the type '\(envelope.payloadType.prefix(100))', not '\(payloadType)': upgrade"
                + " Rollcall, or look for who put it there", in: origin)
    }
}

/// Reads and writes the documents of the central object store.
enum Document {
    /// - Parameter code: what a malformed document is
    /// - Throws: `ReadinessError` saying where in the document and what.
    static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], _ code: ReadinessError.Code, in origin: String?
    ) throws(ReadinessError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let error as ReadinessError {
            throw ReadinessError(error.code, error.message, in: origin)
        } catch let error as OCIError {
            throw ReadinessError(code, error.message, in: origin)
        } catch let error as DecodingError {
            let fault = JSONFault(in: bytes).map { "line \($0.line): not valid JSON" }
            throw ReadinessError(code, (fault ?? error.explanation) + code.remedy, in: origin)
        } catch {
            throw ReadinessError(code, "it is not readable: \(error)", in: origin)
        }
    }

    /// Indented JSON with sorted keys and a line feed at the end, so that equal documents are equal bytes.
    static func encode(_ value: some Encodable, _ code: ReadinessError.Code) throws(ReadinessError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            throw ReadinessError(code, "it cannot be written: \(error)")
        }
    }
}

extension ReadinessError.Code {
    /// What to do about a document that cannot be read. A cache manifest's reader knows better: which agent it is of.
    fileprivate var remedy: String {
        switch self {
        case .invalidList: ": make it anew with 'rollcall list resolve'"
        case .invalidRecord: ": restore the object from a backup"
        default: ""
        }
    }
}

extension DecodingError {
    /// Where in the document and what, in one line.
    fileprivate var explanation: String {
        func at(_ context: Context, _ message: String) -> String {
            let path = context.codingPath.reduce(into: "") { path, key in
                path += key.intValue.map { "[\($0)]" } ?? (path.isEmpty ? key.stringValue : ".\(key.stringValue)")
            }
            return path.isEmpty ? message : "\(path): \(message)"
        }
        func firstLine(_ text: String) -> String { String(text.prefix { $0 != "\n" }.prefix(300)) }
        switch self {
        case .keyNotFound(let key, let context): return at(context, "the key '\(key.stringValue)' is missing")
        case .typeMismatch(_, let context): return at(context, firstLine(context.debugDescription))
        case .valueNotFound(_, let context): return at(context, "the value is null")
        case .dataCorrupted(let context):
            let cause = context.underlyingError.map { ": \(firstLine("\($0)"))" } ?? ""
            return at(context, firstLine(context.debugDescription) + cause)
        @unknown default: return "it is malformed"
        }
    }
}
