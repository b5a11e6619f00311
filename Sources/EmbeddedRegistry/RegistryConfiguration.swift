/// How an embedded registry is served.
public struct RegistryConfiguration: Sendable, Hashable {
    /// Where it listens.
    public struct Address: Sendable, Hashable, CustomStringConvertible {
        /// A host's name or an address, without brackets.
        public var host: String
        /// The port; 0 for any that is free.
        public var port: Int

        /// - Parameters:
        ///   - host: a host's name or an address, without brackets
        ///   - port: 0 for any that is free
        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// Reads `HOST:PORT` or `[IPV6]:PORT`; `nil` for any other form.
        public init?(_ text: String) {
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
                return nil
            }
            var host = text[..<colon]
            if host.hasPrefix("["), host.hasSuffix("]") {
                host = host.dropFirst().dropLast()
            } else if host.contains(":") {
                return nil
            }
            guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
            self.init(host: String(host), port: Int(port))
        }

        public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    /// The files of a server's identity. They are read again when they change.
    public struct TLS: Sendable, Hashable {
        /// A PEM file with the certificate and those that lead to its authority.
        public var certificateFile: String
        /// A PEM file with the private key.
        public var keyFile: String

        /// - Parameters:
        ///   - certificateFile: a PEM file with the certificate chain
        ///   - keyFile: a PEM file with the private key
        public init(certificateFile: String, keyFile: String) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// Who may push.
    public enum Pushers: Sendable, Hashable {
        /// Nobody over the network.
        case nobody
        /// These of the users.
        case users(Set<String>)
        /// Anyone who reaches the registry.
        case anyone
    }

    /// Where it listens.
    public var address: Address
    /// Its identity; `nil` serves plain HTTP.
    public var tls: TLS?
    /// An htpasswd file of the users, read again when it changes; without one nobody is asked who they are.
    public var usersFile: String?
    /// Whether pulling is open to anyone although there are users.
    public var allowsAnonymousPull = false
    /// Who may push.
    public var pushers = Pushers.nobody
    /// Whether those who may push may delete.
    public var allowsDelete = false
    /// Connections at once; more wait until one ends.
    public var connections = 1024

    /// Read-only for anyone.
    public init(address: Address) { self.address = address }
}
