import CLibcurl

/// An absolute `http` or `https` URL, read by the parser that also sends the request.
///
/// Policy (same origin, plain HTTP allowed, credentials for this host) is decided on the same reading as the
/// connection: two parsers that disagree are how credentials leak. Parsing, resolution (RFC 3986 section 5) and
/// writing are libcurl's URL API; path and query keep their bytes, since signed `Location` queries are opaque.
public struct HTTPURL: Hashable, Sendable, CustomStringConvertible {
    /// `http` or `https`.
    public let scheme: String
    /// The host in lower case, IPv6 addresses in brackets.
    public let host: String
    /// The port, the scheme's default where none is said.
    public let port: Int
    /// The path with its percent-encoding, starting with `/`.
    public let path: String
    /// The query with its percent-encoding, without `?`; `nil` where there is none.
    public let query: String?

    /// - Throws: `HTTPError.invalidURL` for anything but an absolute `http` or `https` URL without user information.
    public init(_ string: String) throws(HTTPError) {
        // Also where a parser would find none: 'https://user:12/secret@host' has the host 'user'.
        guard !string.contains("@") else { throw Self.carriesUserInformation(string) }
        self = try Self.parse([string], shown: string)
    }

    /// Resolves a `Location` or `Link` value against this URL (RFC 3986 section 5.2).
    ///
    /// - Throws: `HTTPError.invalidURL` where the result is not `http` or `https`, or carries user information.
    public func resolving(_ location: String) throws(HTTPError) -> HTTPURL {
        try Self.parse([description, location], shown: location)
    }

    /// This URL with `name=value` appended to its query as text; what the query held is not touched.
    public func appendingQuery(_ item: String) -> HTTPURL {
        HTTPURL(scheme: scheme, host: host, port: port, path: path, query: query.map { "\($0)&\(item)" } ?? item)
    }

    /// This URL with another path and query.
    ///
    /// - Parameters:
    ///   - path: percent-encoded, starting with `/`
    ///   - query: percent-encoded, without `?`
    public func with(path: String, query: String? = nil) -> HTTPURL {
        HTTPURL(scheme: scheme, host: host, port: port, path: path, query: query)
    }

    /// `host` or `host:port`, the port where it is not the scheme's default: the form that credential files use.
    public var authority: String { port == defaultPort ? host : "\(host):\(port)" }

    /// Whether scheme, host and port are equal: the border that credentials never cross.
    public func isSameOrigin(as other: HTTPURL) -> Bool {
        scheme == other.scheme && host == other.host && port == other.port
    }

    /// The URL without its query, for messages and logs.
    public var redacted: String { "\(scheme)://\(authority)\(path)" }

    /// The whole URL with its query: for the wire, not for messages.
    public var description: String { query.map { "\(redacted)?\($0)" } ?? redacted }

    private var defaultPort: Int { scheme == "https" ? 443 : 80 }

    private init(scheme: String, host: String, port: Int, path: String, query: String?) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.query = query
    }

    /// Sets the texts one after the other on one handle, each resolved against what came before.
    private static func parse(_ texts: [String], shown: String) throws(HTTPError) -> HTTPURL {
        let display = shown.shownAsURL
        guard let handle = curl_url() else {
            throw HTTPError(.other, "out of memory", url: display)
        }
        defer { curl_url_cleanup(handle) }
        for text in texts {
            let code = curl_url_set(handle, CURLUPART_URL, text, UInt32(CURLU_DISALLOW_USER))
            guard code == CURLUE_OK else {
                if code == CURLUE_USER_NOT_ALLOWED { throw carriesUserInformation(shown) }
                throw HTTPError(.invalidURL, "not a URL: \(String(cString: curl_url_strerror(code)))", url: display)
            }
        }
        func part(_ part: CURLUPart, flags: UInt32 = 0) -> String? {
            var value: UnsafeMutablePointer<CChar>?
            guard curl_url_get(handle, part, &value, flags) == CURLUE_OK, let value else { return nil }
            defer { curl_free(value) }
            return String(cString: value)
        }
        guard let scheme = part(CURLUPART_SCHEME)?.lowercased(), scheme == "http" || scheme == "https" else {
            throw HTTPError(.invalidURL, "expected a URL that starts with https:// or http://", url: display)
        }
        guard let host = part(CURLUPART_HOST), !host.isEmpty,
            let port = part(CURLUPART_PORT, flags: UInt32(CURLU_DEFAULT_PORT)).flatMap({ Int($0) })
        else {
            throw HTTPError(.invalidURL, "the URL names no host", url: display)
        }
        return HTTPURL(
            scheme: scheme, host: host.lowercased(), port: port, path: part(CURLUPART_PATH) ?? "/",
            query: part(CURLUPART_QUERY))
    }

    private static func carriesUserInformation(_ text: String) -> HTTPError {
        HTTPError(
            .invalidURL, "a URL must not carry a user name or password: use the credentials file", url: text.shownAsURL)
    }
}

extension String {
    /// A text that should be a URL, as messages show it: at most 200 characters, without its query, and without what stands
    /// before its last `@`. However malformed the text is, that was meant to be a user name and a password.
    public var shownAsURL: String {
        let end = firstIndex(of: "?") ?? endIndex
        guard let at = lastIndex(of: "@") else { return Self.cut(self[..<end]) }
        // A password with a question mark, or a query with an '@': nobody can tell.
        guard end > at else { return "…" }
        return "…" + Self.cut(self[at..<end])
    }

    private static func cut(_ text: Substring) -> String { String(text.prefix(200)) }
}
