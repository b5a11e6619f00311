import FoundationEssentials
import OCI
import Testing

@testable import Trust

@Suite(.timeLimit(.minutes(5))) struct EnvelopeTests {
    static let type = "application/vnd.rollcall.test+json"

    /// The example of DSSE's protocol.md.
    @Test func encodingIsThatOfTheSpecification() {
        #expect(
            String(
                decoding: Envelope.preAuthenticationEncoding(
                    "http://example.com/HelloWorld", Array("hello world".utf8)),
                as: UTF8.self) == "DSSEv1 29 http://example.com/HelloWorld 11 hello world")
        #expect(Envelope.preAuthenticationEncoding("", []) == Array("DSSEv1 0  0 ".utf8))
        // Lengths are in bytes.
        #expect(Envelope.preAuthenticationEncoding("é", Array("ü".utf8)) == Array("DSSEv1 2 é 2 ü".utf8))
    }

    /// The envelope of the same page; its signature is of an ECDSA key, which no site has.
    @Test func theExampleOfTheSpecificationIsRead() throws {
        let text = """
            {
              "payload": "aGVsbG8gd29ybGQ=",
              "payloadType": "http://example.com/HelloWorld",
              "signatures": [
                {
                  "sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
                }
              ]
            }
            """
        let envelope = try #require(try Envelope(ifEnvelope: Array(text.utf8)))
        #expect(envelope.payloadType == "http://example.com/HelloWorld")
        #expect(envelope.payload == Array("hello world".utf8))
        #expect(envelope.signatures.map(\.keyID) == [""])
        #expect(envelope.signer(among: [try PrivateKey.generate().publicKey]) == nil)
    }

    @Test func whatWasSignedIsVerified() throws {
        let (old, new, other) = (try PrivateKey.generate(), try PrivateKey.generate(), try PrivateKey.generate())
        let signed = try Envelope(signing: Array("{}".utf8), as: Self.type, with: [old, new])
        let envelope = try #require(try Envelope(ifEnvelope: signed.documentBytes()))
        #expect(envelope == signed)
        #expect(envelope.signatures.map(\.keyID) == [old, new].map(\.publicKey.id.description))
        for key in [old, new] { #expect(envelope.signer(among: [other.publicKey, key.publicKey]) == key.publicKey) }
        #expect(envelope.signer(among: [other.publicKey]) == nil)
        #expect(envelope.signer(among: []) == nil)
    }

    @Test func whatWasChangedIsNot() throws {
        let key = try PrivateKey.generate()
        let document = try Envelope(signing: Array("{\"a\":1}".utf8), as: Self.type, with: [key]).documentBytes()
        let text = String(decoding: document, as: UTF8.self)
        for (from, to) in [
            (Data("{\"a\":1}".utf8).base64EncodedString(), Data("{\"a\":2}".utf8).base64EncodedString()),
            (Self.type, "application/vnd.rollcall.other+json"),
        ] {
            try #require(text.contains(from))
            let envelope = try #require(try Envelope(ifEnvelope: Array(text.replacing(from, with: to).utf8)))
            #expect(envelope.signer(among: [key.publicKey]) == nil)
        }
    }

    @Test func keyIDsAreHintsOnly() throws {
        let key = try PrivateKey.generate()
        let text = String(
            decoding: try Envelope(signing: [1], as: Self.type, with: [key]).documentBytes(), as: UTF8.self)
        for to in ["", "sha256:another"] {
            let renamed = text.replacing(key.publicKey.id.description, with: to)
            let envelope = try #require(try Envelope(ifEnvelope: Array(renamed.utf8)))
            #expect(envelope.signer(among: [key.publicKey]) == key.publicKey)
        }
    }

    @Test func bothAlphabetsOfBase64AreRead() throws {
        let key = try PrivateKey.generate()
        let payload = [UInt8](0...255)
        let text = String(
            decoding: try Envelope(signing: payload, as: Self.type, with: [key]).documentBytes(), as: UTF8.self)
        let standard = Data(payload).base64EncodedString()
        let urlSafe = standard.replacing("+", with: "-").replacing("/", with: "_")
        try #require(standard != urlSafe)
        for form in [urlSafe, urlSafe.replacing("=", with: "")] {
            let envelope = try #require(try Envelope(ifEnvelope: Array(text.replacing(standard, with: form).utf8)))
            #expect(envelope.payload == payload)
            #expect(envelope.signer(among: [key.publicKey]) == key.publicKey)
        }
    }

    @Test(arguments: ["", "{}", "[]", "{\"schema\":\"x\"}", "{\"payloadType\":null}", "text", "{\"payloadType\":1}"])
    func otherDocumentsAreNotSigned(_ text: String) throws {
        #expect(try Envelope(ifEnvelope: Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        #"{"payloadType":"t"}"#, #"{"payloadType":"t","payload":"","signatures":[]}"#,
        #"{"payloadType":"t","payload":"%","signatures":[{"sig":""}]}"#,
        #"{"payloadType":"t","payload":"","signatures":[{"sig":"%"}]}"#,
        #"{"payloadType":"t","payload":"","signatures":[{"keyid":"a"}]}"#,
        #"{"payloadType":"t","payload":"","signatures":[\#(Array(repeating: #"{"sig":""}"#, count: 9).joined(separator: ","))]}"#,
        #"{"payloadType":"\#(String(repeating: "t", count: 201))","payload":"","signatures":[{"sig":""}]}"#,
    ])
    func malformedEnvelopesAreRefused(_ text: String) {
        #expect { try Envelope(ifEnvelope: Array(text.utf8)) } throws: { ($0 as? TrustError)?.code == .invalidEnvelope }
    }

    @Test func signingNeedsAKeyAndTakesEight() throws {
        let key = try PrivateKey.generate()
        for count in [0, 9] {
            #expect(throws: TrustError.self) {
                try Envelope(signing: [], as: Self.type, with: Array(repeating: key, count: count))
            }
        }
    }
}
