import FoundationEssentials
import Glibc

/// What the kernel may receive ahead, in bytes, for each of this process's connections to a port of the machine: twice what was
/// asked for (socket(7)).
public func receiveBuffers(ofConnectionsTo port: Int) throws -> [Int32] {
    var sizes: [Int32] = []
    let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { Int32($0) }
    for descriptor in descriptors {
        var peer = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isConnected = withUnsafeMutablePointer(to: &peer) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) == 0 }
        }
        guard isConnected, Int(UInt16(bigEndian: peer.sin_port)) == port else { continue }
        var size: Int32 = 0
        var width = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, &width)
        sizes.append(size)
    }
    return sizes
}
