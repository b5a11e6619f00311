/// A content digest, `algorithm:encoded`, of a registered algorithm.
///
/// Implements [image-spec v1.1.1, descriptor.md, Digests](https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests):
/// `sha256` (64 lower-case hex digits) and `sha512` (128). Other algorithms are refused, since content that cannot be
/// verified must not be copied.
public struct Digest: Hashable, Sendable {
    /// A registered hash algorithm.
    public enum Algorithm: String, Hashable, Sendable {
        /// SHA-256: required of every implementation.
        case sha256
        /// SHA-512: optional in the specification.
        case sha512

        /// The length of the encoded part in hex digits.
        public var hexLength: Int {
            switch self {
            case .sha256: 64
            case .sha512: 128
            }
        }
    }

    /// The hash algorithm.
    public let algorithm: Algorithm
    /// The hash, in lower-case hex digits.
    public let hex: String

    /// Parses `algorithm:encoded`.
    ///
    /// - Throws: `OCIError.invalidDigest` for an unknown algorithm, a wrong length or a character other than `0-9a-f`.
    public init(_ string: String) throws(OCIError) {
        guard let colon = string.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            throw OCIError(.invalidDigest, "'\(string.abridged)' is not a digest: expected sha256:<64 hex digits>")
        }
        guard let algorithm = Algorithm(rawValue: String(string[..<colon])) else {
            throw OCIError(
                .invalidDigest,
                "'\(string.abridged)' uses an unknown digest algorithm: sha256 and sha512 are supported")
        }
        let encoded = string[string.utf8.index(after: colon)...]
        guard encoded.utf8.count == algorithm.hexLength, encoded.utf8.allSatisfy(\.isLowerHexDigit) else {
            throw OCIError(
                .invalidDigest,
                "'\(string.abridged)' is not a digest: expected \(algorithm.hexLength) lower-case hex digits"
                    + " after '\(algorithm.rawValue):'")
        }
        self.algorithm = algorithm
        self.hex = String(encoded)
    }

    /// The digest of a finished computation.
    init(algorithm: Algorithm, hash: some Sequence<UInt8>) {
        self.algorithm = algorithm
        self.hex = String(hexEncoding: hash)
    }
}

extension Digest: CustomStringConvertible, Comparable, Codable {
    /// `algorithm:encoded`.
    public var description: String { "\(algorithm.rawValue):\(hex)" }

    /// The algorithm and the first twelve digits, for tables and progress lines. Never an identity.
    public var short: String { "\(algorithm.rawValue):\(hex.prefix(12))" }

    public static func < (left: Digest, right: Digest) -> Bool {
        (left.algorithm.rawValue, left.hex) < (right.algorithm.rawValue, right.hex)
    }

    public init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension UInt8 {
    var isLowerHexDigit: Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self)
    }
}

extension String {
    /// Lower-case hex digits of some bytes.
    init(hexEncoding bytes: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        var encoded: [UInt8] = []
        for byte in bytes {
            encoded.append(digits[Int(byte >> 4)])
            encoded.append(digits[Int(byte & 15)])
        }
        self = String(decoding: encoded, as: UTF8.self)
    }

    /// For messages: at most 200 scalars, so that a message never carries a whole document, and nothing that could forge
    /// a log line or move a terminal's cursor. Nor what stands before an `@` that begins no digest: where the text is a URL
    /// after all, that was meant to be a password.
    var abridged: String {
        if let at = lastIndex(of: "@"), !self[at...].dropFirst().isDigestLike || self[..<at].contains("@") {
            return "…@" + String(self[at...].dropFirst()).abridged
        }
        var shown = String.UnicodeScalarView()
        for scalar in unicodeScalars.prefix(200) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: shown.append("\u{fffd}")
            default: shown.append(scalar)
            }
        }
        return String(shown) + (unicodeScalars.count > 200 ? "…" : "")
    }
}

extension Substring {
    /// Whether it begins as digests do.
    fileprivate var isDigestLike: Bool { hasPrefix("sha256:") || hasPrefix("sha512:") }
}
