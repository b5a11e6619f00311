import HTTP

extension AgentFile.Host {
    enum Key: String, MappingKey {
        case ca, certificate, key, insecure, proxy, connections

        var setting: Setting {
            switch self {
            case .ca:
                Setting(
                    .path, .otherwise("the system's"), example: "/etc/rollcall/lab-1-ca.pem",
                    "A PEM file of the certificate authorities to trust instead of the system's.")
            case .certificate:
                Setting(
                    .path, .otherwise("none"), example: "/etc/rollcall/agent.pem",
                    "A PEM file of a client certificate. With `key`, or neither.")
            case .key:
                Setting(
                    .path, .otherwise("none"), example: "/etc/rollcall/agent-key.pem",
                    "A PEM file of the client certificate's private key.")
            case .insecure:
                Setting(
                    .bool, .standard("false"),
                    "Whether any certificate is trusted: for tests only, and not beside `ca`.")
            case .proxy:
                Setting(
                    .orNone(.text("a URL")), .otherwise("what `https_proxy`, `http_proxy` and `no_proxy` say"),
                    example: "http://proxy.example:3128",
                    "The proxy for this host. Its URL carries no user name or password.")
            case .connections:
                Setting(
                    .integer(1...256), .otherwise("`limits.connections`"), example: "8",
                    "Connections for content to this host at once, and small requests beside them, as there.")
            }
        }
    }

    fileprivate init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(Key.self, title: value.name)
        tls = TLSConfiguration(
            caFile: try keys[.ca]?.path(), certificateFile: try keys[.certificate]?.path(),
            keyFile: try keys[.key]?.path(), skipsVerification: try keys.value(.insecure).bool())
        guard (tls.certificateFile == nil) == (tls.keyFile == nil) else {
            throw value.error(.missingKey, "\(value.name) has only one of 'certificate' and 'key': write both")
        }
        guard !tls.skipsVerification || tls.caFile == nil else {
            throw value.error(
                .invalidValue,
                "\(value.name) has both 'ca' and 'insecure': an authority is of no use where any"
                    + " certificate is trusted")
        }
        proxy = try keys[.proxy].map { proxy throws(ConfigurationError) in
            try proxy.orNone()?.parsed(HTTPURL.init(_:)).redacted ?? ""
        }
        connections = try keys[.connections]?.integer()
    }
}

extension Value {
    func hosts() throws(ConfigurationError) -> [String: AgentFile.Host] {
        var hosts: [String: AgentFile.Host] = [:]
        for (key, value) in try pairs() {
            let text = try key.keyText()
            // The URL's parser is the one that decides whom a connection goes to.
            guard !text.contains("/"), !text.contains("@"), let url = try? HTTPURL("https://\(text)"), url.query == nil
            else {
                throw key.error(.invalidValue, "'\(text.shown)' is not a host: write HOST or HOST:PORT")
            }
            let name = text.hasSuffix(":443") ? "\(url.host):443" : url.authority
            guard hosts.updateValue(try AgentFile.Host(value), forKey: name) == nil else {
                throw key.error(.invalidValue, "the host '\(name)' is listed twice")
            }
        }
        return hosts
    }
}
