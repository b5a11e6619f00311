import HTTP

/// Where the central object store is, as configuration files write it: `file:///srv/rollcall` or
/// `s3://BUCKET/PREFIX?endpoint=URL`.
public enum ObjectStoreLocation: Hashable, Sendable, CustomStringConvertible {
    /// The absolute path of a directory store's root, without a slash at its end.
    case directory(String)
    /// A bucket of an S3 store, or a part of one.
    case s3(S3Location)

    /// Parses a `file` URL (RFC 8089: no host, or `localhost`; percent-encoding is decoded) or an `s3` URL.
    ///
    /// - Throws: `ObjectStoreError.invalidLocation` for any other scheme, and where the URL is malformed.
    public init(_ url: String) throws(ObjectStoreError) {
        // A mistyped URL may hold what was meant to be secret: no query, and no user information, is shown.
        func refusal(_ message: String) -> ObjectStoreError {
            ObjectStoreError(.invalidLocation, message, at: url.shownAsURL)
        }
        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else {
            throw refusal("not the URL of an object store: write file:///ABSOLUTE/PATH or s3://BUCKET/PREFIX")
        }
        let rest = url[url.index(colon, offsetBy: 3)...]
        let scheme = url[..<colon].lowercased()
        switch scheme {
        case "file": self = .directory(try Self.directory(rest, refusal))
        case "s3": self = .s3(try S3Location(rest: rest))
        default:
            throw refusal(
                "this version has no object store of the scheme '\(scheme.shownAsURL)': write file:///ABSOLUTE/PATH or"
                    + " s3://BUCKET/PREFIX")
        }
    }

    private static func directory(
        _ text: Substring, _ refusal: (String) -> ObjectStoreError
    ) throws(ObjectStoreError) -> String {
        var rest = text
        if rest.hasPrefix("localhost/") { rest = rest.dropFirst("localhost".count) }
        guard rest.hasPrefix("/") else {
            throw refusal("a file URL names no host: write three slashes, file:///ABSOLUTE/PATH")
        }
        guard !rest.contains("?"), !rest.contains("#") else {
            throw refusal("a file URL takes no query and no fragment: write '?' as %3F and '#' as %23 in a path")
        }
        guard var path = String(percentDecoding: rest), !path.utf8.contains(0) else {
            throw refusal("the path's percent-encoding is malformed")
        }
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard path != "/" else {
            throw refusal("the file system's root cannot be an object store: name a directory")
        }
        return path
    }

    /// The object store at this location. Nothing is read or sent yet: a missing directory or bucket shows at the first
    /// operation.
    ///
    /// - Parameter access: what an S3 store is opened with
    /// - Throws: `ObjectStoreError.invalidLocation` where an S3 location's parts make no URL
    public func open(_ access: ObjectStoreAccess = ObjectStoreAccess()) throws(ObjectStoreError) -> any ObjectStore {
        switch self {
        case .directory(let root): DirectoryStore(root: root)
        case .s3(let location): try S3Store(location, access)
        }
    }

    /// The location as a URL; bytes that a URL cannot carry are percent-encoded.
    public var description: String {
        switch self {
        case .directory(let path): "file://\(String(percentEncoding: path, keeping: "/=@+"))"
        case .s3(let location): location.description
        }
    }
}

extension String {
    /// Decodes RFC 3986 percent-encoding; `nil` for a malformed escape or bytes that are not UTF-8.
    init?(percentDecoding text: Substring) {
        var decoded: [UInt8] = []
        var bytes = text.utf8.makeIterator()
        func nibble(_ byte: UInt8?) -> UInt8? {
            byte.flatMap { Character(UnicodeScalar($0)).hexDigitValue }.map(UInt8.init)
        }
        while let byte = bytes.next() {
            guard byte == UInt8(ascii: "%") else {
                decoded.append(byte)
                continue
            }
            guard let high = nibble(bytes.next()), let low = nibble(bytes.next()) else { return nil }
            decoded.append(high << 4 | low)
        }
        self.init(validating: decoded, as: UTF8.self)
    }

    /// Percent-encodes all but RFC 3986's unreserved characters and some others.
    init(percentEncoding text: String, keeping kept: String) {
        self = text.unicodeScalars.map { kept.unicodeScalars.contains($0) ? String($0) : String($0).queryEncoded }
            .joined()
    }
}
