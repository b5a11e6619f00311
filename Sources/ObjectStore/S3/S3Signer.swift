import CLibcrypto
import HTTP
import OCI

/// AWS Signature Version 4 in the `Authorization` header. Pure: time and credentials are given.
///
/// Source: "Signature Calculations for the Authorization Header" in the Amazon S3 API reference. As S3 wants it, paths are
/// encoded once and never normalized, unlike those of AWS's other services.
struct S3Signer: Hashable, Sendable {
    /// The region that the signature is for.
    let region: String
    /// The service's name in the credential scope.
    var service = "s3"

    /// The value of the `Authorization` header.
    ///
    /// - Parameters:
    ///   - method: the request's method
    ///   - path: the path as it is sent, percent-encoded by `percentEncode(path:)`
    ///   - query: the query as it is sent, from `canonicalQuery(_:)`; empty where there is none
    ///   - headers: every header that is signed, `Host` among them
    ///   - payloadHash: SHA-256 of the body, in hex
    ///   - credentials: whose signature it is
    ///   - time: the value of `X-Amz-Date`
    func authorization(
        _ method: String, path: String, query: String, headers: HTTPHeaders, payloadHash: String,
        credentials: S3Credentials, time: S3Time
    ) -> String {
        let (canonicalHeaders, signedHeaders) = Self.canonical(headers)
        let request = [method, path, query, canonicalHeaders, signedHeaders, payloadHash].joined(separator: "\n")
        let scope = "\(time.date)/\(region)/\(service)/aws4_request"
        let stringToSign = [
            "AWS4-HMAC-SHA256", time.text, scope, Digest(of: Array(request.utf8)).hex,
        ].joined(separator: "\n")
        var key = Array("AWS4\(credentials.secretAccessKey)".utf8)
        for part in [String(time.date), region, service, "aws4_request"] {
            key = hmacSHA256(key: key, Array(part.utf8))
        }
        let signature = hmacSHA256(key: key, Array(stringToSign.utf8)).hex
        return "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), "
            + "SignedHeaders=\(signedHeaders), Signature=\(signature)"
    }

    /// Names in lower case and in order, values of one name joined by commas, runs of blanks as one.
    private static func canonical(_ headers: HTTPHeaders) -> (lines: String, names: String) {
        var values: [String: [String]] = [:]
        for (name, value) in headers.fields {
            let words = value.split { $0 == " " || $0 == "\t" }
            values[name.lowercased(), default: []].append(words.joined(separator: " "))
        }
        let names = values.keys.sorted()
        let lines = names.map { "\($0):\((values[$0] ?? []).joined(separator: ","))\n" }
        return (lines.joined(), names.joined(separator: ";"))
    }

    /// A query in the one form that the signature allows: encoded, then ordered by name and value.
    ///
    /// - Parameter items: names and values, not encoded
    static func canonicalQuery(_ items: [(name: String, value: String)]) -> String {
        items.map { (name: $0.name.queryEncoded, value: $0.value.queryEncoded) }
            .sorted { ($0.name, $0.value) < ($1.name, $1.value) }
            .map { "\($0.name)=\($0.value)" }
            .joined(separator: "&")
    }

    /// Encodes a path: everything but RFC 3986's unreserved characters and `/`.
    static func percentEncode(path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).map(\.queryEncoded).joined(separator: "/")
    }
}

/// A time in the form that signatures have: `20150830T123600Z`.
struct S3Time: Hashable, Sendable {
    /// The whole text.
    let text: String
    /// Its day: `20150830`.
    var date: Substring { text.prefix(8) }

    /// - Parameter unixTime: seconds since 1970; years after 9999 and before 0 are cut to those
    init(unixTime: Double) {
        let seconds = Int64(min(max(unixTime.isNaN ? 0 : unixTime, -62_167_219_200), 253_402_300_799))
        let (day, second) = (seconds.flooredQuotient(86_400), seconds - seconds.flooredQuotient(86_400) * 86_400)
        // Days are counted from 0000-03-01, so that leap days come last (the proleptic Gregorian calendar).
        let shifted = day + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * month + 2) / 5 + 1
        let year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0)
        func digits(_ number: Int64, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        text =
            digits(year, 4) + digits(month < 10 ? month + 3 : month - 9, 2) + digits(dayOfMonth, 2) + "T"
            + digits(second / 3600, 2) + digits(second / 60 % 60, 2) + digits(second % 60, 2) + "Z"
    }
}

extension Int64 {
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

/// HMAC with SHA-256 (RFC 2104), by libcrypto.
///
/// - Returns: 32 bytes
func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { buffer, count in
        var length: UInt32 = 0
        // It fails only where libcrypto has no SHA-256; the signature is then empty, and the store refuses it.
        _ = HMAC(EVP_sha256(), key, Int32(clamping: key.count), message, message.count, buffer.baseAddress, &length)
        count = Int(length)
    }
}

extension [UInt8] {
    /// Two lower-case hexadecimal digits for each byte.
    var hex: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
