import CLibcrypto
import FoundationEssentials

/// An Ed25519 key (RFC 8032) that signs. Its text form is PEM with PKCS #8 (RFC 5958, RFC 8410), as OpenSSL writes it.
public final class PrivateKey: Sendable {
    /// The most bytes that a key's file may have: 16 KiB, far more than any key.
    static let maximumFileSize = 16 << 10
    private static let label = "PRIVATE KEY"
    /// What precedes the 32 secret bytes in PKCS #8 (RFC 8410, section 7).
    private static let privateKeyInfo: [UInt8] = [
        0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ]

    /// The public half.
    public let publicKey: PublicKey
    /// Made in an initializer, read by libcrypto, freed at the end: libcrypto lets threads share a key that does not
    /// change.
    private nonisolated(unsafe) let key: OpaquePointer

    /// Takes the key over.
    private init(owning key: OpaquePointer) throws(TrustError) {
        var bytes = [UInt8](repeating: 0, count: PublicKey.length)
        var count = bytes.count
        guard EVP_PKEY_get_raw_public_key(key, &bytes, &count) == 1, count == PublicKey.length else {
            EVP_PKEY_free(key)
            ERR_clear_error()
            throw .cryptography(doing: "compute a public key")
        }
        self.key = key
        publicKey = try PublicKey(bytes: bytes)
    }

    deinit { EVP_PKEY_free(key) }

    /// Makes a new key of libcrypto's random numbers.
    ///
    /// - Throws: `TrustError.cryptography`
    public static func generate() throws(TrustError) -> PrivateKey {
        defer { ERR_clear_error() }
        let context = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard context != nil, EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_keygen(context, &key) == 1, let key else {
            throw .cryptography(doing: "make an Ed25519 key")
        }
        return try PrivateKey(owning: key)
    }

    /// - Parameter secret: the 32 bytes that RFC 8032 calls the private key
    /// - Throws: `TrustError.invalidKey` for another length
    convenience init(secret: [UInt8]) throws(TrustError) {
        guard secret.count == 32, let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, secret, secret.count)
        else {
            ERR_clear_error()
            throw TrustError(.invalidKey, "an Ed25519 key has 32 secret bytes, not \(secret.count)")
        }
        try self.init(owning: key)
    }

    /// Reads PEM text with PKCS #8.
    ///
    /// - Parameters:
    ///   - pem: the text
    ///   - origin: the file, for messages
    /// - Throws: `TrustError.invalidKey` for other text, an encrypted key, or a key of another kind
    public convenience init(pem: String, in origin: String? = nil) throws(TrustError) {
        func refuse(_ message: String) -> TrustError { TrustError(.invalidKey, message, in: origin) }
        guard !pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") else {
            throw refuse(
                "the key is encrypted, and an agent has nobody to ask for its password: store it in plain form")
        }
        let lines = pem.split(whereSeparator: \.isNewline).map { $0.trimming(while: \.isWhitespace) }
        guard let start = lines.firstIndex(of: "-----BEGIN \(Self.label)-----"),
            let end = lines[start...].firstIndex(of: "-----END \(Self.label)-----"),
            let der = Data(base64Encoded: lines[(start + 1)..<end].joined())
        else {
            throw refuse("not a private key in PEM form: make one with 'rollcall-agent keygen'")
        }
        let bytes = Array(der)
        let key = bytes.withUnsafeBufferPointer { buffer in
            var position = buffer.baseAddress
            return d2i_AutoPrivateKey(nil, &position, buffer.count)
        }
        guard let key else {
            ERR_clear_error()
            throw refuse("the private key is malformed: make a new one with 'rollcall-agent keygen'")
        }
        guard EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 else {
            EVP_PKEY_free(key)
            throw refuse("the key is not an Ed25519 key: make one with 'rollcall-agent keygen'")
        }
        try self.init(owning: key)
    }

    /// The key as PEM text. To be written to a file of its owner's alone, and nowhere else.
    ///
    /// - Throws: `TrustError.cryptography`
    func pem() throws(TrustError) -> String {
        var secret = [UInt8](repeating: 0, count: 32)
        var count = secret.count
        guard EVP_PKEY_get_raw_private_key(key, &secret, &count) == 1, count == secret.count else {
            ERR_clear_error()
            throw .cryptography(doing: "write a private key")
        }
        let text = Data(Self.privateKeyInfo + secret).base64EncodedString()
        return "-----BEGIN \(Self.label)-----\n\(text)\n-----END \(Self.label)-----\n"
    }

    /// Signs a message (RFC 8032, section 5.1.6).
    ///
    /// - Returns: 64 bytes
    /// - Throws: `TrustError.cryptography`
    func sign(_ message: [UInt8]) throws(TrustError) -> [UInt8] {
        defer { ERR_clear_error() }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: PublicKey.signatureLength)
        var count = signature.count
        guard context != nil, EVP_DigestSignInit(context, nil, nil, nil, key) == 1,
            EVP_DigestSign(context, &signature, &count, message, message.count) == 1, count == signature.count
        else { throw .cryptography(doing: "sign with Ed25519") }
        return signature
    }
}

extension Substring {
    fileprivate func trimming(while matches: (Character) -> Bool) -> String {
        var rest = drop(while: matches)
        while let last = rest.last, matches(last) { rest.removeLast() }
        return String(rest)
    }
}
