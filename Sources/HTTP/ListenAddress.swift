/// Where a server listens: `HOST:PORT`, with brackets around an IPv6 address.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// A host's name or an address, without brackets.
    public let host: String
    /// The port; 0 takes one that is free.
    public let port: Int

    /// - Parameters:
    ///   - host: a host's name or an address, without brackets
    ///   - port: 0 takes one that is free
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
        guard !host.isEmpty, !host.contains("/"), host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
