import Glibc

extension Product {
    /// The process's user and host, as `USER@HOST`.
    public static var processOwner: String {
        var name = [CChar](repeating: 0, count: 256)
        // What is filled in is cut off, never unterminated: the last byte is not given away.
        let host = gethostname(&name, name.count - 1) == 0 ? String(utf8: name) : "unknown"
        return "\(self.name(ofUser: getuid()))@\(host)"
    }

    /// A user's name; `uid-NUMBER` where the system knows none, as of a container's arbitrary user.
    public static func name(ofUser id: UInt32) -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        return buffer.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, getpwuid_r(id, &entry, base, buffer.count, &found) == 0, found != nil,
                let name = entry.pw_name
            else { return nil }
            return String(cString: name)
        } ?? "uid-\(id)"
    }
}

extension String {
    /// The bytes before the first zero.
    fileprivate init(utf8 bytes: [CChar]) {
        self.init(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
