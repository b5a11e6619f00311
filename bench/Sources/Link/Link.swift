import CLinux
import Glibc

/// Two sites of the world: the far side with the central registry, and the near side with the site's registry and the
/// copying client, joined by an emulated wide-area link.
final class Link {
    /// Addresses out of the range that RFC 2544 sets aside for benchmarks.
    static let farAddress = "198.18.0.1"
    static let nearAddress = "198.18.0.2"
    private static let congestionControl = "cubic"

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
        (far, near) = (try Namespace("far"), try Namespace("near"))
        for side in [far, near] {
            // What a server of a datacenter has unless its operator chose otherwise, whatever this host has. Where settings
            // can only be read, as in some containers, the link has what it has: `settings` says what that is.
            try? side.set("ipv4/tcp_congestion_control", Self.congestionControl)
            try? side.set("ipv6/conf/default/disable_ipv6", "1")
            let control = side.setting("ipv4/tcp_congestion_control")
            if control != Self.congestionControl {
                warn("the link has \(control) and not \(Self.congestionControl), which cannot be set here")
            }
        }
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

    /// What a link takes and this machine does not have; `nil` where it has all, and a link that fails is broken.
    static func obstacle(_ parameters: LinkParameters) -> String? {
        var device: String?
        if parameters.emulation == .forwarder {
            let descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC)
            if descriptor < 0 { device = errorText() } else { close(descriptor) }
        }
        return obstacle(
            isRoot: geteuid() == 0, status: kernelFile("/proc/self/status"), deviceFault: device,
            hasTools: Command.find("ip") != nil)
    }

    /// What is missing for a link, out of what was looked at.
    ///
    /// - Parameters:
    ///   - isRoot: whether this is root
    ///   - status: the process's `status`, for what root may do here
    ///   - deviceFault: why `/dev/net/tun` cannot be opened, where it is needed
    ///   - hasTools: whether `ip` is there
    static func obstacle(isRoot: Bool, status: String, deviceFault: String?, hasTools: Bool) -> String? {
        guard isRoot else {
            return "the emulated link needs root (network namespaces, TUN devices): run it with sudo"
        }
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        let capabilities = line?.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) } ?? 0
        // Devices and addresses, and namespaces with their mounts (linux/capability.h).
        for (name, bit) in [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21)] where capabilities >> bit & 1 == 0 {
            return "the emulated link needs \(name), which root does not have here, as in a container"
        }
        if let deviceFault { return "the emulated link needs /dev/net/tun: \(deviceFault)" }
        return hasTools ? nil : "the emulated link needs ip: install iproute2"
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
