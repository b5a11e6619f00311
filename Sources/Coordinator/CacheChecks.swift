import Console
import Glibc
import ObjectStore

/// Whether what is kept of an S3 store has a place.
enum CacheChecks {
    /// What the objects of one store may take: 1 GiB.
    static let needed: Int64 = 1 << 30

    static func finding(of location: ObjectStoreLocation, _ access: ObjectStoreAccess) -> Checkup.Finding {
        guard case .s3 = location else { return .init("cache", .skipped, "of a directory nothing is kept here") }
        guard let directory = ObjectStoreLocation.kept(access) else {
            return .init(
                "cache", .warning,
                "nothing is kept: each command fetches every object again, and has writers race at the store anew",
                advice: "name a directory with \(ObjectStoreLocation.cacheVariable)")
        }
        return finding(of: directory)
    }

    /// - Parameter directory: an absolute path; made where it is not there
    static func finding(of directory: String) -> Checkup.Finding {
        // Where it is made, if it is not there.
        var place = directory
        while place != "/", Glibc.access(place, F_OK) != 0 {
            place = place.lastIndex(of: "/").map { String(place[..<$0]) } ?? ""
            if place.isEmpty { place = "/" }
        }
        var figures = statvfs()
        guard Glibc.access(place, W_OK | X_OK) == 0, statvfs(place, &figures) == 0 else {
            return .init(
                "cache", of: directory, .warning,
                "cannot be written to (\(String(cString: strerror(errno)))), so each command fetches every object again",
                advice: "make it this user's, or name another directory with \(ObjectStoreLocation.cacheVariable)")
        }
        let free = Int64(clamping: figures.f_bavail).multipliedReportingOverflow(by: Int64(clamping: figures.f_frsize))
        let words = "\(Quantity.bytes(free.overflow ? .max : free.partialValue)) are free"
        guard free.overflow || free.partialValue >= needed else {
            return .init(
                "cache", of: directory, .warning, "only \(words), and it takes up to \(Quantity.bytes(needed))",
                advice: "free space, or name another directory with \(ObjectStoreLocation.cacheVariable)")
        }
        return .init("cache", of: directory, .ok, words)
    }
}
