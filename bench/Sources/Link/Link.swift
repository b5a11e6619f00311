import CLinux
import Glibc

/// Two sites of the world: the far side with the central registry, and the near side with the site's registry and the
/// copying client, joined by an emulated wide-area link.
final class Link {
    /// Addresses out of the range that RFC 2544 sets aside for benchmarks.
    static let farAddress = "198.18.0.1"
    static let nearAddress = "198.18.0.2"

    let parameters: LinkParameters
    let far: Namespace
    let near: Namespace
    private let devices: [Int32]
    private let forwarder: Forwarder

    /// Makes both namespaces and starts the forwarder.
    ///
    /// - Throws: `BenchError` without root, `/dev/net/tun` or `ip`
    init(_ parameters: LinkParameters) throws {
        self.parameters = parameters
        Namespace.removeAbandoned()
        // What a server of a datacenter has unless its operator chose otherwise, whatever this host has.
        (far, near) = try NetworkSetting.with("ipv4/tcp_congestion_control", "cubic") {
            (try Namespace("far"), try Namespace("near"))
        }
        let farDevice = try Self.join(far, own: Self.farAddress, peer: Self.nearAddress)
        let nearDevice = try Self.join(near, own: Self.nearAddress, peer: Self.farAddress)
        devices = [farDevice, nearDevice]
        forwarder = try Forwarder(far: farDevice, near: nearDevice, parameters: parameters)
    }

    deinit {
        forwarder.stop()
        for device in devices { close(device) }
    }

    /// Why no link can be made here; `nil` where one can.
    static var obstacle: String? {
        do {
            _ = try Link(.wan)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// What the link has carried so far.
    var snapshot: Forwarder.Snapshot { forwarder.snapshot }

    /// The settings of TCP that figures depend on.
    var settings: [String: String] {
        var settings: [String: String] = [:]
        for key in ["tcp_congestion_control", "tcp_rmem", "tcp_wmem", "tcp_sack", "tcp_window_scaling"] {
            settings[key] = near.setting("ipv4/\(key)")
        }
        return settings
    }

    private static func join(_ side: Namespace, own: String, peer: String) throws -> Int32 {
        try side.set("ipv6/conf/default/disable_ipv6", "1")
        let device = try side.enter { bench_tun_open("wan0") }
        guard device >= 0 else {
            throw BenchError(
                .system, "cannot make a TUN device: \(errorText(-device)); it needs /dev/net/tun and CAP_NET_ADMIN")
        }
        do {
            try Command(["ip", "addr", "add", own, "peer", peer, "dev", "wan0"]).run(in: side)
            // The forwarder's queue is the link's; the device's must never be the one that overflows.
            try Command(["ip", "link", "set", "wan0", "mtu", "1500", "txqueuelen", "20000", "up"]).run(in: side)
        } catch {
            close(device)
            throw error
        }
        return device
    }
}
