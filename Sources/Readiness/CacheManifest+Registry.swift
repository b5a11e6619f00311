public import OCI

extension CacheManifest {
    /// Which registry a site verified: what it looked at, in its own words.
    public struct Registry: Hashable, Sendable, Codable {
        /// The longest URL, in bytes.
        public static let maximumLength = 300

        /// The registry's URL, without a user's name or password; `nil` for one of the agent's own, in a directory.
        public let url: String?
        /// The SHA-256 of the rules by which repositories are named there, one line `SOURCE DESTINATION` each in their order;
        /// `nil` where every repository has the name that it has at the source.
        public let mapping: Digest?

        /// - Parameters:
        ///   - url: the registry's URL, without a user's name or password; `nil` for one of the agent's own
        ///   - mapping: how repositories are named there
        public init(url: String?, mapping: RepositoryMapping) {
            self.url = url
            let lines = mapping.rules.map { "\($0.source) \($0.destination)\n" }
            self.mapping = lines.isEmpty ? nil : Digest(of: Array(lines.joined().utf8))
        }

        /// Whether it is another registry than one of this URL: another host or port. Of the agent's own registry, which
        /// clients may reach in ways that the agent does not know of, nothing is said.
        func isOther(than expected: String) -> Bool {
            guard let url else { return false }
            return Self.authority(of: url) != Self.authority(of: expected)
        }

        /// Host and port of a URL, in one form.
        private static func authority(of url: String) -> String {
            let text = url.lowercased()
            let (scheme, rest): (Substring, Substring)
            if let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") {
                (scheme, rest) = (text[..<colon], text[colon...].dropFirst(3))
            } else {
                (scheme, rest) = ("https", text[...])
            }
            var authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
            if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
            let port = authority.split(separator: ":", omittingEmptySubsequences: false).last ?? ""
            let hasPort = authority.contains(":") && !port.isEmpty && port.allSatisfy(\.isNumber)
            return hasPort ? String(authority) : "\(authority):\(scheme == "http" ? 80 : 443)"
        }
    }
}
