import HTTP
import OCI
import Testing

@testable import ObjectStore

/// A published example of Signature Version 4: a request as it is written there, and its signature.
struct SignedExample: Sendable, CustomTestStringConvertible {
    var name: String
    var method = "GET"
    /// Not encoded.
    var path = "/"
    /// Not encoded.
    var query: [(String, String)] = []
    var headers: [(String, String)] = []
    var body = ""
    var signature: String

    var testDescription: String { name }

    func header(_ name: String, _ value: String) -> SignedExample {
        var example = self
        example.headers.append((name, value))
        return example
    }
}

@Suite struct S3SignerTests {
    /// The signature test suite for Signature Version 4 that AWS publishes (awslabs/aws-c-auth,
    /// tests/aws-signing-test-suite/v4, Apache License 2.0): the header signatures of those cases whose path is signed as
    /// it is, since S3 does not normalize paths.
    static let suite: [SignedExample] = [
        .init(name: "get-vanilla", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        .init(
            name: "get-vanilla-with-session-token",
            headers: [("X-Amz-Security-Token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")],
            signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
        .init(
            name: "post-sts-header-before", method: "POST", headers: [("X-Amz-Security-Token", Self.longToken)],
            signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
        .init(
            name: "post-sts-header-after", method: "POST",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        .init(
            name: "get-vanilla-query-order-key-case", query: [("Param2", "value2"), ("Param1", "value1")],
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        .init(
            name: "get-vanilla-query-order-encoded",
            query: [("Param-3", "Value3"), ("Param", "Value2"), ("\u{1234}", "Value1")],
            signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
        .init(
            name: "get-vanilla-empty-query-key", query: [("Param1", "value1")],
            signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        .init(
            name: "get-vanilla-query-unreserved", query: [(Self.unreserved, Self.unreserved)],
            signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        .init(
            name: "get-vanilla-utf8-query", query: [("\u{1234}", "bar")],
            signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        .init(
            name: "get-utf8", path: "/\u{1234}",
            signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        .init(
            name: "get-unreserved", path: "/\(Self.unreserved)",
            signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        .init(
            name: "get-space-unnormalized", path: "/example space/",
            signature: "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        .init(
            name: "get-relative-unnormalized", path: "/example/..",
            signature: "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"),
        .init(
            name: "get-relative-relative-unnormalized", path: "/example1/example2/../..",
            signature: "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b"),
        .init(
            name: "get-slash-dot-slash-unnormalized", path: "/./",
            signature: "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"),
        .init(
            name: "get-slash-pointless-dot-unnormalized", path: "/./example",
            signature: "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff"),
        .init(
            name: "get-slash-unnormalized", path: "//",
            signature: "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e"),
        .init(
            name: "get-slashes-unnormalized", path: "//example//",
            signature: "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"),
        .init(
            name: "get-header-key-duplicate",
            headers: [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
            signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
        .init(
            name: "get-header-value-order",
            headers: [
                ("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2"),
            ], signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
        .init(
            name: "get-header-value-trim", headers: [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        .init(
            name: "get-header-value-multiline", headers: [("My-Header1", "value1\n  value2\n     value3")],
            signature: "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"),
        .init(
            name: "post-header-key-sort", method: "POST", headers: [("My-Header1", "value1")],
            signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
        .init(
            name: "post-header-value-case", method: "POST", headers: [("My-Header1", "VALUE1")],
            signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        .init(
            name: "post-vanilla-query", method: "POST", query: [("Param1", "value1")],
            signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        .init(
            name: "post-x-www-form-urlencoded", method: "POST",
            headers: [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "13"), Self.formHash],
            body: "Param1=value1", signature: "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
        .init(
            name: "post-x-www-form-urlencoded-parameters", method: "POST",
            headers: [
                ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), ("Content-Length", "13"),
                Self.formHash,
            ], body: "Param1=value1", signature: "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
    ]

    private static let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    private static let formHash = (
        "X-Amz-Content-Sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
    )
    private static let longToken =
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuw"
        + "thAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcH"
        + "NVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oL"
        + "xBA=="

    @Test(arguments: suite) func signsAsThePublishedSuite(_ example: SignedExample) throws {
        let example = example.header("Host", "example.amazonaws.com").header("X-Amz-Date", "20150830T123600Z")
        let authorization = try authorization(
            of: example, S3Signer(region: "us-east-1", service: "service"), key: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", unixTime: 1_440_938_160)
        #expect(authorization.hasSuffix(", Signature=\(example.signature)"))
    }

    /// "Examples: Signature Calculations" in the Amazon S3 API reference, "Authenticating Requests: Using the Authorization
    /// Header".
    static let s3Reference: [SignedExample] = [
        .init(
            name: "GET Object", path: "/test.txt", headers: [("Range", "bytes=0-9")],
            signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        .init(
            name: "PUT Object", method: "PUT", path: "/test$file.text",
            headers: [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            body: "Welcome to Amazon S3.",
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        .init(
            name: "GET Bucket Lifecycle", query: [("lifecycle", "")],
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        .init(
            name: "Get Bucket (List Objects)", query: [("max-keys", "2"), ("prefix", "J")],
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ]

    @Test(arguments: s3Reference) func signsAsTheS3Reference(_ example: SignedExample) throws {
        let example = example.header("Host", "examplebucket.s3.amazonaws.com").header("x-amz-date", "20130524T000000Z")
            .header("x-amz-content-sha256", Digest(of: Array(example.body.utf8)).hex)
        let authorization = try authorization(
            of: example, S3Signer(region: "us-east-1"), key: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", unixTime: 1_369_353_600)
        #expect(authorization.hasSuffix(", Signature=\(example.signature)"))
    }

    @Test func writesTheWholeHeader() throws {
        let example = SignedExample(
            name: "", headers: [("Host", "h"), ("X-Amz-Date", "20150830T123600Z")], signature: "")
        let authorization = try authorization(
            of: example, S3Signer(region: "r"), key: "K", secret: "s", unixTime: 1_440_938_160)
        #expect(
            authorization.hasPrefix(
                "AWS4-HMAC-SHA256 Credential=K/20150830/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature="))
    }

    @Test(arguments: [
        (0.0, "19700101T000000Z"), (951_782_399.9, "20000228T235959Z"), (951_782_400, "20000229T000000Z"),
        (1_709_164_800, "20240229T000000Z"), (4_107_542_400, "21000301T000000Z"), (1_735_689_599, "20241231T235959Z"),
        (-1, "19691231T235959Z"), (.nan, "19700101T000000Z"), (.infinity, "99991231T235959Z"),
        (-.infinity, "00000101T000000Z"),
    ])
    func writesTimes(_ unixTime: Double, _ text: String) {
        #expect(S3Time(unixTime: unixTime).text == text)
    }

    /// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
    @Test(arguments: [
        (
            [UInt8](repeating: 0x0b, count: 20), "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xaa, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ])
    func computesHMAC(_ key: [UInt8], _ message: String, _ expected: String) {
        #expect(hmacSHA256(key: key, Array(message.utf8)).hex == expected)
    }

    private func authorization(
        of example: SignedExample, _ signer: S3Signer, key: String, secret: String, unixTime: Double
    ) throws -> String {
        let credentials = try #require(
            S3Credentials(accessKeyID: key, secretAccessKey: secret, sessionToken: nil, origin: "test"))
        var headers: HTTPHeaders = [:]
        for (name, value) in example.headers { headers.add(name, value) }
        return signer.authorization(
            example.method, path: S3Signer.percentEncode(path: example.path),
            query: S3Signer.canonicalQuery(example.query.map { (name: $0.0, value: $0.1) }), headers: headers,
            payloadHash: Digest(of: Array(example.body.utf8)).hex, credentials: credentials,
            time: S3Time(unixTime: unixTime))
    }
}
