import CLibcrypto
import FoundationEssentials
public import OCI

/// The public half of an Ed25519 key (RFC 8032).
///
/// Written on one line as `ed25519:` and the Base64 form of its 32 bytes. OpenSSL makes the same of a key's file:
/// `openssl pkey -in site.key -pubout -outform DER | tail -c 32 | base64`.
public struct PublicKey: Hashable, Sendable {
    /// The length of the key in bytes.
    static let length = 32
    /// The length of a signature in bytes.
    static let signatureLength = 64
    private static let prefix = "ed25519:"
    /// What precedes the key in its SubjectPublicKeyInfo (RFC 8410, section 4).
    private static let subjectPublicKeyInfo: [UInt8] = [
        0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00,
    ]

    /// The key's 32 bytes.
    let bytes: [UInt8]

    /// - Throws: `TrustError.invalidKey` unless there are 32 bytes
    init(bytes: [UInt8]) throws(TrustError) {
        guard bytes.count == Self.length else {
            throw TrustError(.invalidKey, "a public key has \(Self.length) bytes, not \(bytes.count)")
        }
        self.bytes = bytes
    }

    /// Parses `ed25519:BASE64`.
    ///
    /// - Throws: `TrustError.invalidKey` for any other form
    public init(_ text: String) throws(TrustError) {
        guard text.hasPrefix(Self.prefix), text.utf8.count < 100,
            let bytes = Data(base64Encoded: String(text.dropFirst(Self.prefix.count))), bytes.count == Self.length
        else {
            let advice =
                text.contains("PRIVATE")
                ? "this is a private key, which must stay at its site"
                : "write the line that 'rollcall-agent keygen' printed, ed25519:BASE64"
            throw TrustError(.invalidKey, "not a public key: \(advice)")
        }
        self.bytes = Array(bytes)
        // Base64 can write one key in several ways; keys are compared, and read by people.
        guard description == text else {
            throw TrustError(.invalidKey, "not a public key: its last characters are not those of Base64")
        }
    }

    /// What names the key: the SHA-256 of its SubjectPublicKeyInfo, which
    /// `openssl pkey -in site.key -pubout -outform DER | sha256sum` prints.
    public var id: Digest { Digest(of: Self.subjectPublicKeyInfo + bytes) }

    /// Whether a signature over a message is this key's (RFC 8032, section 5.1.7). What libcrypto cannot check is not.
    func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        guard signature.count == Self.signatureLength,
            let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count)
        else { return false }
        defer { EVP_PKEY_free(key) }
        guard let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        // Refusals leave entries in the thread's error queue, which a later caller would take for its own.
        defer { ERR_clear_error() }
        return EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1
            && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }
}

extension PublicKey: CustomStringConvertible, Codable {
    /// `ed25519:BASE64`.
    public var description: String { Self.prefix + Data(bytes).base64EncodedString() }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
