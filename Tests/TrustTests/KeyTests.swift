import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

@testable import Trust

@Suite(.timeLimit(.minutes(5))) struct KeyTests {
    struct Vector: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let secret: String
        let publicKey: String
        let message: String
        let signature: String
    }

    /// RFC 8032, section 7.1.
    static let vectors = [
        Vector(
            testDescription: "TEST 1", secret: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            publicKey: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", message: "",
            signature:
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        Vector(
            testDescription: "TEST 2", secret: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", message: "72",
            signature:
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        Vector(
            testDescription: "TEST 3", secret: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            publicKey: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", message: "af82",
            signature:
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
        Vector(
            testDescription: "TEST SHA(abc)",
            secret: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            publicKey: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            message:
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            signature:
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ]

    static func bytes(_ hex: String) -> [UInt8] {
        var digits = hex.makeIterator()
        var bytes: [UInt8] = []
        while let high = digits.next()?.hexDigitValue, let low = digits.next()?.hexDigitValue {
            bytes.append(UInt8(high << 4 | low))
        }
        return bytes
    }

    @Test(arguments: vectors) func publishedVectorsHold(_ vector: Vector) throws {
        let key = try PrivateKey(secret: Self.bytes(vector.secret))
        #expect(key.publicKey.bytes == Self.bytes(vector.publicKey))
        let message = Self.bytes(vector.message)
        let signature = try key.sign(message)
        #expect(signature == Self.bytes(vector.signature))
        #expect(key.publicKey.verifies(signature, of: message))
        #expect(!key.publicKey.verifies(signature, of: message + [0]))
        for index in [0, 31, 32, 63] {
            var damaged = signature
            damaged[index] ^= 1
            #expect(!key.publicKey.verifies(damaged, of: message))
        }
        #expect(!key.publicKey.verifies(Array(signature.dropLast()), of: message))
        #expect(!key.publicKey.verifies([], of: message))
    }

    @Test func aKeySurvivesItsTextForms() throws {
        let key = try PrivateKey.generate()
        #expect(try PrivateKey(pem: key.pem()).publicKey == key.publicKey)
        #expect(
            try PrivateKey(pem: "a comment\r\n" + key.pem().replacing("\n", with: "\r\n")).publicKey == key.publicKey)
        #expect(try PublicKey(key.publicKey.description) == key.publicKey)
        #expect(key.publicKey.description.count == 52)
        #expect(try PrivateKey.generate().publicKey != key.publicKey)
    }

    @Test(arguments: [
        "", "ed25519:", "ed25519:AAAA", "rsa:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURp=",
        "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo", "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= ",
    ])
    func otherTextIsNoPublicKey(_ text: String) {
        #expect { try PublicKey(text) } throws: { ($0 as? TrustError)?.code == .invalidKey }
    }

    @Test func aPrivateKeyInTheFleetFileIsNamedAndNotShown() throws {
        let pem = try PrivateKey.generate().pem()
        #expect { try PublicKey(pem) } throws: {
            let text = "\($0)"
            return text.contains("private key, which must stay") && !text.contains(pem.dropFirst(40).prefix(20))
        }
    }

    @Test func otherTextIsNoPrivateKey() async throws {
        try await withTemporaryDirectory("keys") { directory in
            for (text, words) in [
                ("", "not a private key"), ("-----BEGIN PRIVATE KEY-----\n", "not a private key"),
                ("-----END PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----\n", "not a private key"),
                ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "malformed"),
                ("-----BEGIN PRIVATE KEY-----\n%%\n-----END PRIVATE KEY-----\n", "not a private key"),
                ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"),
            ] {
                #expect { try PrivateKey(pem: text) } throws: { "\($0)".contains(words) }
            }
            let rsa = directory.file("rsa.pem")
            try await runCommand([
                "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", rsa,
            ])
            #expect(chmod(rsa, 0o600) == 0)
            #expect { try PrivateKey(path: rsa) } throws: { "\($0)".contains("not an Ed25519 key") }
            let long = try directory.write("long", [UInt8](repeating: 0x41, count: PrivateKey.maximumFileSize + 1))
            #expect(chmod(long, 0o600) == 0)
            #expect { try PrivateKey(path: long) } throws: { "\($0)".contains("more than") }
            #expect { try PrivateKey(path: directory.file("absent")) } throws: { ($0 as? TrustError)?.code == .keyFile }
            #expect { try PrivateKey(path: directory.path) } throws: { "\($0)".contains("not a file") }
        }
    }

    @Test func aKeyFileIsItsOwnersAlone() async throws {
        try await withTemporaryDirectory("keys") { directory in
            let key = try PrivateKey.generate()
            let path = directory.file("site.key")
            try key.write(to: path)
            var status = stat()
            #expect(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            #expect(try PrivateKey(path: path).publicKey == key.publicKey)
            #expect { try PrivateKey.generate().write(to: path) } throws: { "\($0)".contains("not overwritten") }
            #expect(try PrivateKey(path: path).publicKey == key.publicKey)
            for mode: mode_t in [0o604, 0o640, 0o620, 0o666] {
                #expect(chmod(path, mode) == 0)
                #expect("mode \(String(mode, radix: 8))") { try PrivateKey(path: path) } throws: {
                    "\($0)".contains("chmod 600")
                }
            }
            #expect(chmod(path, 0o400) == 0)
            #expect(try PrivateKey(path: path).publicKey == key.publicKey)
        }
    }

    /// What we write OpenSSL reads, and the other way round.
    @Test func openSSLUnderstandsOurKeysAndSignatures() async throws {
        try await withTemporaryDirectory("keys") { directory in
            let theirs = directory.file("theirs.key")
            try await runCommand(["openssl", "genpkey", "-algorithm", "ED25519", "-out", theirs])
            #expect(chmod(theirs, 0o600) == 0)
            let ours = directory.file("ours.key")
            try PrivateKey.generate().write(to: ours)
            let message = try directory.write("message", Array("what was said".utf8))
            for path in [theirs, ours] {
                let key = try PrivateKey(path: path)
                let der = try await runCommand(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"])
                #expect(der.status == 0)
                #expect(Digest(of: der.output) == key.publicKey.id)
                #expect("ed25519:" + Data(der.output.suffix(32)).base64EncodedString() == key.publicKey.description)
                let pub = try directory.write("public.der", der.output)

                let signature = try directory.write("signature", key.sign(Array("what was said".utf8)))
                let verified = try await runCommand([
                    "openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", pub, "-rawin", "-in",
                    message,
                    "-sigfile", signature,
                ])
                #expect(verified.text.contains("Signature Verified Successfully"), "\(verified.errorText)")
                let signed = try await runCommand([
                    "openssl", "pkeyutl", "-sign", "-inkey", path, "-rawin", "-in", message,
                ])
                #expect(key.publicKey.verifies(signed.output, of: Array("what was said".utf8)))
            }
        }
    }
}
