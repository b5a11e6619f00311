import Glibc
import HTTP

/// Which URLs a registry may send us to: token realms, redirects and upload locations.
///
/// A compromised or spoofed registry must not turn an agent into a probe of its own network, such as of a cloud's
/// metadata service (go-containerregistry checks the same three places).
enum TargetPolicy {
    /// Why a target is refused, in words; `nil` where it is allowed.
    ///
    /// HTTPS never goes on to plain HTTP. Link-local addresses are refused, and private and loopback ones too unless
    /// the registry itself is at such an address; its own host is always allowed. Only addresses are judged, not names: what
    /// a name resolves to is the operator's own resolver's answer.
    static func refusal(of target: HTTPURL, from registry: HTTPURL) -> String? {
        if registry.scheme == "https", target.scheme != "https" {
            return "plain HTTP, although the registry is spoken to over HTTPS"
        }
        if target.host == registry.host { return nil }
        let home = Reach(host: registry.host)
        switch Reach(host: target.host) {
        case .public: return nil
        case .private: return home == .private || home == .loopback ? nil : "a private address"
        case .loopback: return home == .loopback ? nil : "a loopback address"
        case .linkLocal: return "a link-local address"
        }
    }

    /// How far an address reaches. Names count as public, `localhost` excepted.
    enum Reach: Equatable {
        case `public`, `private`, loopback, linkLocal

        init(host: String) {
            let name = host.hasSuffix(".") ? String(host.dropLast()) : host
            if name == "localhost" || name.hasSuffix(".localhost") {
                self = .loopback
                return
            }
            var v6 = in6_addr()
            var v4 = in_addr()
            let bare = name.hasPrefix("[") ? String(name.dropFirst().prefix { $0 != "]" && $0 != "%" }) : name
            // inet_aton also reads the short, octal and hexadecimal forms that getaddrinfo accepts, such as 0x7f.1.
            if bare.contains(":"), inet_pton(AF_INET6, bare, &v6) == 1 {
                self = Reach(v6: withUnsafeBytes(of: &v6) { Array($0) })
            } else if inet_aton(bare, &v4) != 0 {
                self = Reach(v4: withUnsafeBytes(of: &v4) { Array($0) })
            } else {
                self = .public
            }
        }

        private init(v4 bytes: [UInt8]) {
            switch (bytes[0], bytes[1]) {
            case (127, _), (0, _): self = .loopback
            case (169, 254): self = .linkLocal
            case (10, _), (172, 16...31), (192, 168), (100, 64...127): self = .private
            default: self = .public
            }
        }

        private init(v6 bytes: [UInt8]) {
            let isZero = { (range: Range<Int>) in bytes[range].allSatisfy { $0 == 0 } }
            if isZero(0..<10), bytes[10] == 0xFF, bytes[11] == 0xFF {
                self = Reach(v4: Array(bytes[12...]))
            } else if isZero(0..<15), bytes[15] <= 1 {
                self = .loopback
            } else if bytes[0] == 0xFE, bytes[1] & 0xC0 == 0x80 {
                self = .linkLocal
            } else if bytes[0] & 0xFE == 0xFC {
                self = .private
            } else {
                self = .public
            }
        }
    }
}
