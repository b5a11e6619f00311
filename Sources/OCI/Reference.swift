/// What a manifest is asked for by: a tag or a digest (the `<reference>` of the distribution-spec).
public enum ManifestReference: Hashable, Sendable, CustomStringConvertible {
    /// A tag, which can move.
    case tag(Tag)
    /// A digest, which cannot.
    case digest(Digest)

    /// The path segment.
    public var description: String {
        switch self {
        case .tag(let tag): tag.name
        case .digest(let digest): digest.description
        }
    }
}

/// One image at one registry: `HOST[:PORT]/REPOSITORY:TAG` or `HOST[:PORT]/REPOSITORY@DIGEST`.
///
/// The host is always said: Rollcall has no default registry, since a disconnected fleet has none.
public struct ImageReference: Hashable, Sendable {
    /// The registry's host, with its port where one is said.
    public let host: String
    /// The repository within the registry.
    public let repository: Repository
    /// The tag or the digest; with both said (`:tag@digest`), the digest, as every container engine reads it.
    public let reference: ManifestReference

    /// - Throws: `OCIError` saying which part is missing or malformed, with an example of the form.
    public init(_ string: String) throws(OCIError) {
        guard let slash = string.firstIndex(of: "/"), slash != string.startIndex,
            !string.contains("://")
        else {
            throw OCIError(
                .invalidReference,
                "'\(string.abridged)' names no registry: write HOST[:PORT]/REPOSITORY:TAG, without a scheme")
        }
        let host = String(string[..<slash])
        // A first component is a host only with a dot, a port or the name localhost: 'platform/api:1' is a repository.
        guard host.contains(".") || host.contains(":") || host == "localhost" else {
            throw OCIError(
                .invalidReference,
                "'\(string.abridged)' names no registry host: what stands before its first '/' has neither a dot nor a port"
            )
        }
        guard Self.isHost(host) else {
            throw OCIError(
                .invalidReference, "what stands before the first '/' of '\(string.abridged)' is not a host name")
        }
        var rest = string[string.index(after: slash)...]
        if let at = rest.firstIndex(of: "@") {
            let digest = try Digest(String(rest[rest.index(after: at)...]))
            rest = rest[..<at]
            if let colon = rest.lastIndex(of: ":") {
                _ = try Tag(String(rest[rest.index(after: colon)...]))
                rest = rest[..<colon]
            }
            reference = .digest(digest)
        } else if let colon = rest.lastIndex(of: ":") {
            reference = .tag(try Tag(String(rest[rest.index(after: colon)...])))
            rest = rest[..<colon]
        } else {
            throw OCIError(
                .invalidReference, "'\(string.abridged)' ends in neither a tag nor a digest: add ':TAG' or '@sha256:…'")
        }
        self.host = host
        self.repository = try Repository(String(rest))
    }

    /// Whether text is a host name or an IPv6 address in brackets, with a port from 1 to 65535 where one is said. The host
    /// becomes part of URLs and of paths such as `certs.d/HOST`, so `..` and the like must not pass.
    private static func isHost(_ text: String) -> Bool {
        var name = Substring(text)
        if let close = text.lastIndex(of: "]") {
            name = text[...close]
        } else if let colon = text.firstIndex(of: ":") {
            name = text[..<colon]
        }
        let rest = text[name.endIndex...]
        guard rest.isEmpty || isPort(rest) else { return false }
        if name.hasPrefix("[") {
            let address = name.dropFirst().dropLast()
            return address.contains(":")
                && address.utf8.allSatisfy { byte in
                    (byte | 0x20).isLowerHexDigit || ":.".utf8.contains(byte)
                }
        }
        return name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
                && label.first.map(isAlphanumeric) == true && label.last.map(isAlphanumeric) == true
        }
    }

    private static func isPort(_ text: Substring) -> Bool {
        let digits = text.utf8.dropFirst()
        return text.hasPrefix(":") && (1...5).contains(digits.count)
            && digits.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            && (1...65535).contains(Int(text.dropFirst()) ?? 0)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}

extension ImageReference: CustomStringConvertible {
    public var description: String {
        switch reference {
        case .tag(let tag): "\(host)/\(repository):\(tag)"
        case .digest(let digest): "\(host)/\(repository)@\(digest)"
        }
    }
}
