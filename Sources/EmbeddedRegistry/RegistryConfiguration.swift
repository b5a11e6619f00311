/// How an embedded registry is served.
public struct RegistryConfiguration: Sendable, Hashable {
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

    /// The host's name or the address to listen on, without brackets.
    public var host: String
    /// The port to listen on; 0 takes one that is free.
    public var port: Int
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
    /// Connections at once, where the process may have so many files open; more wait until one ends.
    public var connections = 1024

    /// Read-only for anyone.
    ///
    /// - Parameters:
    ///   - host: the host's name or the address to listen on, without brackets
    ///   - port: the port to listen on; 0 takes one that is free
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// How many connections a process takes that may have so many files open: each download has a file beside its connection,
    /// and whatever else the process does has files too.
    func connectionLimit(ofFiles limit: Int) -> Int { min(connections, max(16, (limit - 512) / 2)) }
}
