import FoundationEssentials
import OCI

/// A signed document: DSSE v1, the Dead Simple Signing Envelope of in-toto
/// (https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md).
///
/// ```json
/// {"payload": BASE64, "payloadType": TYPE, "signatures": [{"keyid": ID, "sig": BASE64}, …]}
/// ```
///
/// What is signed is the payload together with its type, so a document of one kind never passes for one of another. The
/// payload is read only after a signature was verified; `keyid` is a hint and decides nothing.
public struct Envelope: Hashable, Sendable {
    /// The most signatures of one envelope: eight, so that rotating keys can overlap.
    public static let maximumSignatures = 8
    /// The longest payload type and key ID, in bytes.
    public static let maximumNameLength = 200

    /// One signature.
    public struct Signature: Hashable, Sendable {
        /// Which key made it, as the signer says; empty where it does not.
        public let keyID: String
        let bytes: [UInt8]
    }

    /// What kind of document the payload is, such as `application/vnd.rollcall.cache-manifest.v1+json`.
    public let payloadType: String
    /// The document.
    public let payload: [UInt8]
    /// At least one.
    public let signatures: [Signature]

    init(payloadType: String, payload: [UInt8], signatures: [Signature]) {
        self.payloadType = payloadType
        self.payload = payload
        self.signatures = signatures
    }

    /// Signs a document.
    ///
    /// - Parameters:
    ///   - payload: the document
    ///   - payloadType: what kind of document it is
    ///   - keys: whose signatures it gets, one of each
    /// - Throws: `TrustError.invalidEnvelope` without keys or with more than eight; `.cryptography`
    public init(signing payload: [UInt8], as payloadType: String, with keys: [PrivateKey]) throws(TrustError) {
        guard (1...Self.maximumSignatures).contains(keys.count) else {
            throw TrustError(.invalidEnvelope, "\(keys.count) keys cannot sign: 1 to \(Self.maximumSignatures) can")
        }
        self.payloadType = payloadType
        self.payload = payload
        let message = Self.preAuthenticationEncoding(payloadType, payload)
        var signatures: [Signature] = []
        for key in keys {
            signatures.append(Signature(keyID: key.publicKey.id.description, bytes: try key.sign(message)))
        }
        self.signatures = signatures
    }

    /// The first of some keys that signed the document; `nil` where none did.
    ///
    /// - Parameter keys: the keys that are trusted to sign this
    public func signer(among keys: [PublicKey]) -> PublicKey? {
        let message = Self.preAuthenticationEncoding(payloadType, payload)
        return keys.first { key in
            let id = key.id.description
            // A signature that names another key is looked at last: names may be wrong.
            return signatures.sorted { ($0.keyID == id ? 0 : 1) < ($1.keyID == id ? 0 : 1) }
                .contains { key.verifies($0.bytes, of: message) }
        }
    }

    /// What is signed: DSSE's pre-authentication encoding,
    /// `DSSEv1 LENGTH(type) type LENGTH(payload) payload`, with lengths in bytes as decimal numbers.
    static func preAuthenticationEncoding(_ payloadType: String, _ payload: [UInt8]) -> [UInt8] {
        Array("DSSEv1 \(payloadType.utf8.count) \(payloadType) \(payload.count) ".utf8) + payload
    }
}

extension Envelope {
    private struct Fields: Codable {
        struct Signature: Codable {
            let keyid: String?
            let sig: String
        }
        let payload: String
        let payloadType: String
        let signatures: [Signature]
    }

    /// What tells an envelope from a document that is not signed.
    private struct Mark: Decodable { let payloadType: String? }

    /// The envelope as a JSON document, with a line feed at the end.
    ///
    /// - Throws: `TrustError.invalidEnvelope` where it cannot be written as JSON
    public func documentBytes() throws(TrustError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        } catch {
            throw TrustError(.invalidEnvelope, "the envelope cannot be written: \(error)")
        }
    }

    /// Reads a document that may be an envelope.
    ///
    /// - Parameter bytes: the document; its length is its reader's to bound
    /// - Returns: `nil` for a document that has no `payloadType`, or is not JSON: whatever it is, it is not signed
    /// - Throws: `TrustError.invalidEnvelope` for an envelope that is malformed or over its bounds
    public init?(ifEnvelope bytes: [UInt8]) throws(TrustError) {
        let data = Data(bytes)
        guard (try? JSONDecoder().decode(Mark.self, from: data))?.payloadType != nil else { return nil }
        guard let fields = try? JSONDecoder().decode(Fields.self, from: data) else {
            throw TrustError(.invalidEnvelope, "the signed envelope has not the keys of DSSE v1")
        }
        try self.init(fields)
    }

    private init(_ fields: Fields) throws(TrustError) {
        guard (1...Self.maximumSignatures).contains(fields.signatures.count) else {
            throw TrustError(
                .invalidEnvelope,
                "the envelope has \(fields.signatures.count) signatures: 1 to \(Self.maximumSignatures) are read")
        }
        guard fields.payloadType.utf8.count <= Self.maximumNameLength,
            fields.signatures.allSatisfy({ ($0.keyid ?? "").utf8.count <= Self.maximumNameLength })
        else { throw TrustError(.invalidEnvelope, "the envelope's payload type or a key ID is too long") }
        guard let payload = Self.decode(fields.payload) else {
            throw TrustError(.invalidEnvelope, "the envelope's payload is not Base64")
        }
        payloadType = fields.payloadType
        self.payload = payload
        var signatures: [Signature] = []
        for signature in fields.signatures {
            guard let bytes = Self.decode(signature.sig) else {
                throw TrustError(.invalidEnvelope, "a signature of the envelope is not Base64")
            }
            signatures.append(Signature(keyID: signature.keyid ?? "", bytes: bytes))
        }
        self.signatures = signatures
    }

    /// Decodes Base64 with the standard or the URL-safe alphabet: DSSE has readers take both.
    private static func decode(_ text: String) -> [UInt8]? {
        if let data = Data(base64Encoded: text) { return Array(data) }
        var standard = text.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "-"): UInt8(ascii: "+")
            case UInt8(ascii: "_"): UInt8(ascii: "/")
            default: byte
            }
        }
        while standard.count % 4 != 0 { standard.append(UInt8(ascii: "=")) }
        return Data(base64Encoded: Data(standard)).map { Array($0) }
    }
}

/// As a part of another document, with the same keys; what is read is held to the same bounds.
extension Envelope: Codable {
    /// - Throws: `TrustError.invalidEnvelope` for one that is over its bounds
    public init(from decoder: any Decoder) throws { try self.init(try Fields(from: decoder)) }

    public func encode(to encoder: any Encoder) throws {
        try Fields(
            payload: Data(payload).base64EncodedString(), payloadType: payloadType,
            signatures: signatures.map { .init(keyid: $0.keyID, sig: Data($0.bytes).base64EncodedString()) }
        ).encode(to: encoder)
    }
}
