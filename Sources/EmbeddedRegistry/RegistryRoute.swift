import OCI

/// What a request is about: the distribution-spec's end points, read from a path. Pure.
enum RegistryRoute: Hashable {
    /// `/v2/`: whether this is a registry.
    case base
    /// `/v2/_catalog`: the repositories, as distribution has it.
    case catalog
    /// `/v2/NAME/tags/list`
    case tags(Repository)
    /// `/v2/NAME/manifests/REFERENCE`
    case manifest(Repository, ManifestReference)
    /// `/v2/NAME/blobs/DIGEST`
    case blob(Repository, Digest)
    /// `/v2/NAME/blobs/uploads/`
    case uploads(Repository)
    /// `/v2/NAME/blobs/uploads/SESSION`
    case upload(Repository, String)
    /// `/v2/NAME/referrers/DIGEST`
    case referrers(Repository, Digest)

    /// - Parameter path: the path of the request's target, without its query
    /// - Throws: `RegistryProblem` for a path that is none of these, or a name, tag or digest outside its grammar
    init(path: Substring) throws(RegistryProblem) {
        guard path.utf8.count <= 2048, path == "/v2" || path.hasPrefix("/v2/") else {
            throw RegistryProblem(.notFound, "there is nothing here: a registry's paths begin with /v2/")
        }
        let parts = path.dropFirst(4).split(separator: "/", omittingEmptySubsequences: false)
        if parts == [] || parts == [""] {
            self = .base
            return
        }
        if parts == ["_catalog"] {
            self = .catalog
            return
        }
        // From the end: a repository may be called `blobs` or `tags/list`.
        let count = parts.count
        if count >= 4, parts[count - 3] == "blobs", parts[count - 2] == "uploads" {
            let session = parts[count - 1]
            let repository = try Self.repository(parts.dropLast(3))
            self = session.isEmpty ? .uploads(repository) : .upload(repository, String(session))
            return
        }
        if count >= 3, parts[count - 2] == "blobs", parts[count - 1] == "uploads" {
            // Without the slash at its end, which some clients leave out.
            self = .uploads(try Self.repository(parts.dropLast(2)))
            return
        }
        guard count >= 3 else { throw RegistryProblem(.notFound, "there is no such end point") }
        let last = try parts[count - 1].percentDecoded()
        let repository = try Self.repository(parts.dropLast(2))
        switch parts[count - 2] {
        case "tags" where last == "list": self = .tags(repository)
        case "manifests": self = .manifest(repository, try Self.reference(last))
        case "blobs": self = .blob(repository, try Self.digest(last))
        case "referrers": self = .referrers(repository, try Self.digest(last))
        default: throw RegistryProblem(.notFound, "there is no such end point")
        }
    }

    private static func repository(_ parts: ArraySlice<Substring>) throws(RegistryProblem) -> Repository {
        do {
            return try Repository(parts.joined(separator: "/"))
        } catch {
            throw RegistryProblem(.nameInvalid, "\(error)")
        }
    }

    private static func reference(_ text: String) throws(RegistryProblem) -> ManifestReference {
        if text.contains(":") { return .digest(try digest(text)) }
        do {
            return .tag(try Tag(text))
        } catch {
            // The spec has no code for it; a tag outside the grammar names nothing.
            throw RegistryProblem(.manifestUnknown, "\(error)")
        }
    }

    static func digest(_ text: String) throws(RegistryProblem) -> Digest {
        do {
            return try Digest(text)
        } catch {
            throw RegistryProblem(.digestInvalid, "\(error)")
        }
    }

    /// The repository; `nil` where it is about none.
    var repository: Repository? {
        switch self {
        case .base, .catalog: nil
        case .tags(let name), .manifest(let name, _), .blob(let name, _), .uploads(let name), .upload(let name, _),
            .referrers(let name, _):
            name
        }
    }
}

/// A request's query: `a=b&c=d`, percent-encoded. The first of a name counts.
struct QueryItems {
    private var items: [String: String] = [:]

    init(_ query: Substring?) throws(RegistryProblem) {
        for item in (query ?? "").split(separator: "&").prefix(64) {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try parts[0].percentDecoded()
            if items[name] == nil { items[name] = try parts.count > 1 ? parts[1].percentDecoded() : "" }
        }
    }

    subscript(name: String) -> String? { items[name] }
}

extension Substring {
    /// The text with `%XX` replaced by bytes.
    fileprivate func percentDecoded() throws(RegistryProblem) -> String {
        guard utf8.contains(UInt8(ascii: "%")) else { return String(self) }
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst()?.hexValue, let low = rest.popFirst()?.hexValue else {
                throw RegistryProblem(.notFound, "the path or the query has a '%' without two hex digits")
            }
            bytes.append(high << 4 | low)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw RegistryProblem(.notFound, "the path or the query is not UTF-8")
        }
        return text
    }
}

extension String {
    /// The text for a query: all but unreserved characters (RFC 3986 section 2.3) as `%XX`.
    var percentEncoded: String {
        var text = ""
        for byte in utf8 {
            let scalar = Unicode.Scalar(byte)
            if byte < 0x80,
                scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "-._~".unicodeScalars.contains(scalar)
            {
                text.unicodeScalars.append(scalar)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += byte < 16 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return text
    }
}

extension UInt8 {
    fileprivate var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
