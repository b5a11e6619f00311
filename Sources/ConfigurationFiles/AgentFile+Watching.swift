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
        public let level: Level
        /// How a line is written; `nil` takes text on a terminal, and JSON otherwise.
        public let format: Format?
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

        var setting: Setting {
            switch self {
            case .index:
                Setting(
                    .either(.integer(0...Shard.maximum - 1), .choice(["hostname"])), .required, example: "0",
                    """
                    Which one it is, from 0, below `of`; or the number at the end of the host's name, as a StatefulSet's \
                    pods have it.
                    """)
            case .of:
                Setting(.integer(2...Shard.maximum), .required, example: "2", "How many agents serve the site.")
            }
        }
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'shard'")
        of = try keys.value(.of).integer()
        let index = try keys.value(.index)
        self.index = try index.string() == "hostname" ? .hostname : .number(try index.integer(in: 0...of - 1))
    }
}

extension AgentFile.StatusServer {
    enum Key: String, MappingKey {
        case listen, tls

        var setting: Setting {
            switch self {
            case .listen:
                Setting(
                    .text("`HOST:PORT`"), .required, example: "127.0.0.1:9090",
                    "Where it listens; `0.0.0.0` for every interface.")
            case .tls:
                Setting(
                    .section(RegistrySettings.IdentityKey.self), .otherwise("plain HTTP"),
                    "PEM files of the server's certificate chain and private key; read again when they change.")
            }
        }
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'http'")
        listen = try keys.value(.listen).listenAddress(example: "127.0.0.1:9090")
        tls = try keys[.tls]?.identity()
    }
}

extension AgentFile.Log {
    enum Key: String, MappingKey {
        case level, format

        var setting: Setting {
            switch self {
            case .level:
                Setting(
                    .choice(of: AgentFile.Log.Level.self), .standard("info"),
                    """
                    Events below it are left out. `run` takes up a change of it as of everything else in this file, \
                    without a restart.
                    """)
            case .format:
                Setting(
                    .choice(of: AgentFile.Log.Format.self), .otherwise("text on a terminal, json otherwise"),
                    example: "json", "How a line is written: as one JSON object, or for people.")
            }
        }
    }

    init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: "'log'")
        level = try keys.value(.level).choice()
        format = try keys[.format]?.choice()
    }
}

extension Value {
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
            certificate: try keys.value(.certificate).path(), key: try keys.value(.key).path())
    }
}
