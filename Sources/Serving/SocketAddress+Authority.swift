public import NIOCore

extension SocketAddress {
    /// The address as URLs and configuration files have it: `127.0.0.1:9091`, `[::1]:9091`; a path for a local socket.
    public var authority: String {
        guard let ipAddress, let port else { return pathname ?? description }
        return "\(ipAddress.contains(":") ? "[\(ipAddress)]" : ipAddress):\(port)"
    }
}
