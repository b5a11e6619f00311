import FoundationEssentials
import OCI
import Testing

struct DigestTests {
    /// FIPS 180-2 appendices B and C, and the empty message.
    static let vectors: [(message: String, sha256: String, sha512: String)] = [
        (
            "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
                + "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
        ),
        (
            "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
        (
            String(repeating: "a", count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
                + "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"
        ),
    ]

    @Test func hashesAsPublished() {
        for vector in Self.vectors {
            let message = Array(vector.message.utf8)
            #expect(Digest(of: message).hex == vector.sha256)
            #expect(Digest(of: message, algorithm: .sha512).hex == vector.sha512)
        }
    }

    @Test func hashesPieceByPiece() {
        let message = Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
        for split in 0...message.count {
            let computation = DigestComputation(.sha256)
            Array(message[..<split]).withUnsafeBytes { computation.update($0) }
            Array(message[split...]).withUnsafeBytes { computation.update($0) }
            #expect(computation.finish().hex == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        }
    }

    @Test func parsesWhatItPrints() throws {
        for digest in [Digest(of: []), Digest(of: [1], algorithm: .sha512)] {
            #expect(try Digest(digest.description) == digest)
            let decoded = try JSONDecoder().decode(Digest.self, from: JSONEncoder().encode(digest))
            #expect(decoded == digest)
        }
        #expect(Digest(of: []).short == "sha256:e3b0c44298fc")
    }

    static let hex = String(repeating: "a", count: 64)

    @Test(arguments: [
        "", ":", "sha256", "sha256:", "sha256:abc", ":\(hex)", "sha256:\(hex)a", "sha256:\(hex.dropLast())",
        "sha256:\(hex.dropLast())A", "sha256:\(hex.dropLast())g", "SHA256:\(hex)", "sha256: \(hex.dropLast())",
        "sha256:\(hex)\n", " sha256:\(hex)", "sha512:\(hex)", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256-\(hex)",
        "sha256:\(hex.dropLast())\u{0}", "sha256:../../../../etc/passwd", "sha256:\(hex.dropLast())é",
        "sha256:\(hex.dropLast())/", "sha256+b64u:\(hex)", "sha256\u{301}:\(hex)", "sha256:\(hex):\(hex)",
    ])
    func refuses(text: String) {
        let error = #expect(throws: OCIError.self) { try Digest(text) }
        #expect(error?.code == .invalidDigest)
    }

    @Test func messagesNeverCarryWholeDocumentsOrControlCharacters() {
        let hostile = [
            String(repeating: "x", count: 1 << 20),
            // One character in Swift's eyes, a mebibyte in everyone else's.
            "e" + String(repeating: "\u{301}", count: 1 << 19),
        ]
        for text in hostile {
            let error = #expect(throws: OCIError.self) { try Digest(text) }
            #expect((error?.message.utf8.count ?? 0) < 2000)
        }
        for text in ["a\nERROR forged line", "\u{1b}[2Jcleared", "a\u{7f}\u{9b}b", "\u{202e}desrever"] {
            for error in [
                #expect(throws: OCIError.self) { try Digest(text) },
                #expect(throws: OCIError.self) { try Repository(text) },
                #expect(throws: OCIError.self) { try Tag(text) },
                #expect(throws: OCIError.self) { try ImageReference(text) },
                #expect(throws: OCIError.self) { try ImageReference("\(text).com/a:1") },
            ] {
                let scalars = error?.message.unicodeScalars ?? "".unicodeScalars
                #expect(!scalars.isEmpty)
                #expect(scalars.allSatisfy { ![.control, .format].contains($0.properties.generalCategory) })
            }
        }
    }
}
