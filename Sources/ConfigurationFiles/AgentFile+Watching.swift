public import HTTP
public import OCI

extension AgentFile {
    /// Where the agent tells over HTTP how it is.
    public struct StatusServer: Hashable, Sendable {
        /// Where it listens.
        public let listen: ListenAddress
        /// The files of the server's certificate chain and key; `nil` for plain HTTP.
        public let tls: RegistrySettings.Identity?
    }

    /// What the agent logs, and how.
    public struct Log: Hashable, Sendable {
        /// How much is logged, from most to least.
        public enum Level: String, CaseIterable, Sendable {
            case trace, debug, info, notice, warning, error, critical
        }

        /// How a line is written.
        public enum Format: String, CaseIterable, Sendable {
            /// One JSON object.
            case json
            /// Time, level, message and `key=value`.
            case text
        }

        /// Events below it are left out.
        public var level = Level.info
        /// How a line is written; `nil` takes text on a terminal, and JSON otherwise.
        public var format: Format?

        /// The defaults.
        public init() {}
    }
}

extension AgentFile {
    /// Which of several agents of one site it is.
    public struct ShardSettings: Hashable, Sendable {
        /// Where the number of the agent comes from.
        public enum Index: Hashable, Sendable {
            /// The file says it.
            case number(Int)
            /// The number at the end of the host's name, as a StatefulSet gives it to its pods.
            case hostname
        }

        /// The number of the agent, from 0.
        public let index: Index
        /// How many agents serve the site.
        public let of: Int

        /// The shard; `nil` where the host's name ends in no number, or in one that is too large.
        ///
        /// - Parameter hostname: the host's name
        public func shard(hostname: String) -> Shard? {
            switch index {
            case .number(let number): Shard(index: number, of: of)
            case .hostname:
                // Without its domain: `rollcall-2.rollcall.svc`.
                hostname.prefix { $0 != "." }.split(separator: "-", omittingEmptySubsequences: false).last
                    .flatMap { $0.allSatisfy(\.isNumber) ? Int($0) : nil }.flatMap { Shard(index: $0, of: of) }
            }
        }
    }
}

extension AgentFile.ShardSettings {
    enum Key: String, MappingKey {
        case index, of
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'shard'")
        of = try keys.required(.of).integer(in: 2...Shard.maximum)
        let index = try keys.required(.index)
        self.index = try index.string() == "hostname" ? .hostname : .number(try index.integer(in: 0...of - 1))
    }
}

extension AgentFile.StatusServer {
    enum Key: String, MappingKey {
        case listen, tls
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'http'")
        listen = try keys.required(.listen).listenAddress(example: "127.0.0.1:9090")
        tls = try keys[.tls]?.identity()
    }
}

extension AgentFile.Log {
    enum Key: String, MappingKey {
        case level, format
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'log'")
        if let value = keys[.level] { level = try value.choice(of: Level.self) }
        format = try keys[.format]?.choice(of: Format.self)
    }
}

extension Value {
    /// One of the words that a type knows.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(of type: Choice.Type) throws(ConfigurationError)
        -> Choice
    {
        let text = try string()
        guard let choice = Choice(rawValue: text) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw error(.invalidValue, "\(name): '\(text.shown)' is not one of \(known)")
        }
        return choice
    }

    /// Where a server listens.
    func listenAddress(example: String) throws(ConfigurationError) -> ListenAddress {
        let text = try string()
        guard let address = ListenAddress(text) else {
            throw error(
                .invalidValue,
                "'\(text.shown)' is not an address to listen on: write HOST:PORT, such as \(example)")
        }
        return address
    }

    /// The files of a server's identity.
    func identity() throws(ConfigurationError) -> RegistrySettings.Identity {
        let keys = try mapping(RegistrySettings.IdentityKey.self, title: "'tls'")
        return RegistrySettings.Identity(
            certificate: try keys.required(.certificate).path(), key: try keys.required(.key).path())
    }
}
