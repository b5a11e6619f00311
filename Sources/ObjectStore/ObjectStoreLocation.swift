/// Where the central object store is, as configuration files write it: `file:///srv/rollcall`.
public struct ObjectStoreLocation: Hashable, Sendable, CustomStringConvertible {
    /// The absolute path of a directory store's root, without a slash at its end.
    public let directory: String

    /// Parses a `file` URL (RFC 8089: no host, or `localhost`; percent-encoding is decoded).
    ///
    /// - Throws: `ObjectStoreError.invalidLocation` for any other scheme, a relative path, a query or a fragment.
    public init(_ url: String) throws(ObjectStoreError) {
        let shown = url.count <= 200 ? url : "\(url.prefix(200))…"
        func refusal(_ message: String) -> ObjectStoreError { ObjectStoreError(.invalidLocation, message, at: shown) }

        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else {
            throw refusal("not the URL of an object store: write file:///ABSOLUTE/PATH")
        }
        let scheme = url[..<colon].lowercased()
        guard scheme == "file" else {
            throw refusal("this version has no object store of the scheme '\(scheme)': write file:///ABSOLUTE/PATH")
        }
        var rest = url[url.index(colon, offsetBy: 3)...]
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
        directory = path
    }

    /// The object store at this location. Nothing is read yet: a missing directory shows at the first operation.
    public func open() -> any ObjectStore { DirectoryStore(root: directory) }

    /// The location as a URL; bytes that a URL cannot carry are percent-encoded.
    public var description: String {
        let hex = Array("0123456789ABCDEF".utf8)
        var url = Array("file://".utf8)
        for byte in directory.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"), UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "@"), UInt8(ascii: "+"):
                url.append(byte)
            default:
                url += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: url, as: UTF8.self)
    }
}

extension String {
    /// Decodes RFC 3986 percent-encoding; `nil` for a malformed escape or bytes that are not UTF-8.
    fileprivate init?(percentDecoding text: Substring) {
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
}
