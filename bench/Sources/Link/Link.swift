import CLinux
import Glibc

/// Two sites of the world: the far side with the central registry, and the near side with the site's registry and the
/// copying client, joined by an emulated wide-area link.
final class Link {
    /// Addresses out of the range that RFC 2544 sets aside for benchmarks.
    static let farAddress = "198.18.0.1"
    static let nearAddress = "198.18.0.2"

    /// What carries the packets.
    private enum Carrier {
        /// A thread of ours between two TUN devices.
        case forwarder(Forwarder, devices: [Int32])
        /// The kernel, between the ends of a pair of devices.
        case netem
    }

    let parameters: LinkParameters
    let far: Namespace
    let near: Namespace
    private let carrier: Carrier

    /// Makes both namespaces and what joins them.
    ///
    /// - Throws: `BenchError` without root, `ip`, and `/dev/net/tun` or netem
    init(_ parameters: LinkParameters) throws {
        self.parameters = parameters
        Namespace.removeAbandoned()
        // What a server of a datacenter has unless its operator chose otherwise, whatever this host has.
        (far, near) = try NetworkSetting.with("ipv4/tcp_congestion_control", "cubic") {
            (try Namespace("far"), try Namespace("near"))
        }
        for side in [far, near] { try side.set("ipv6/conf/default/disable_ipv6", "1") }
        switch parameters.emulation {
        case .forwarder:
            let farDevice = try Self.join(far, own: Self.farAddress, peer: Self.nearAddress)
            let nearDevice = try Self.join(near, own: Self.nearAddress, peer: Self.farAddress)
            carrier = .forwarder(
                try Forwarder(far: farDevice, near: nearDevice, parameters: parameters),
                devices: [farDevice, nearDevice])
        case .netem:
            try Command(Netem.pair(near: near.name)).run(in: far)
            for (side, own, peer) in [
                (far, Self.farAddress, Self.nearAddress), (near, Self.nearAddress, Self.farAddress),
            ] {
                for words in Netem.end(own: own, peer: peer, parameters) { try Command(words).run(in: side) }
            }
            carrier = .netem
        }
    }

    deinit {
        // The devices of a pair go with their namespaces.
        guard case .forwarder(let forwarder, let devices) = carrier else { return }
        forwarder.stop()
        for device in devices { close(device) }
    }

    /// Why no link can be made here; `nil` where one can.
    static func obstacle(_ parameters: LinkParameters) -> String? {
        do {
            _ = try Link(parameters)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// What the link has carried so far.
    var snapshot: Forwarder.Snapshot {
        switch carrier {
        case .forwarder(let forwarder, devices: _): return forwarder.snapshot
        case .netem:
            let counters = Netem.counters((try? near.enter { kernelFile("/proc/thread-self/net/dev") }) ?? "")
            return Forwarder.Snapshot(down: counters.received, up: counters.sent)
        }
    }

    /// The settings of TCP that figures depend on.
    var settings: [String: String] {
        var settings: [String: String] = [:]
        for key in ["tcp_congestion_control", "tcp_rmem", "tcp_wmem", "tcp_sack", "tcp_window_scaling"] {
            settings[key] = near.setting("ipv4/\(key)")
        }
        return settings
    }

    private static func join(_ side: Namespace, own: String, peer: String) throws -> Int32 {
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
